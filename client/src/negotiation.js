/**
 * Perfect negotiation for one RTCPeerConnection (W3C WebRTC §10.7): both sides may offer at any
 * time; when offers cross, the polite side rolls back and the impolite one ignores.
 *
 * Messages are handled as they arrive and not one after the other: the browser's own operations
 * chain orders them, and waiting here would hide a collision from the flags below.
 *
 * What the browser rejects is handed to `failed`, since nobody else waits for it.
 *
 * @typedef {{description?: RTCSessionDescriptionInit, candidate?: RTCIceCandidateInit, labels?: unknown}} Message
 */
export class Negotiation {
  #pc;
  #send;
  #failed;
  #remote;
  #polite;
  #mayOffer;
  #makingOffer = false;
  #ignoreOffer = false;
  #settingRemoteAnswer = false;
  /** Whether something was to be told by an offer that has not been made. */
  #untold = false;

  /**
   * @param {object} options
   * @param {RTCPeerConnection} options.pc
   * @param {boolean} options.polite
   * @param {boolean} options.mayOffer false: wait for the other side's first offer
   * @param {(message: Message) => void} options.send
   * @param {(error: Error) => void} options.failed
   * @param {import("./remote-streams.js").RemoteStreams} options.remote
   */
  constructor({ pc, polite, mayOffer, send, failed, remote }) {
    this.#pc = pc;
    this.#send = send;
    this.#failed = failed;
    this.#remote = remote;
    this.#polite = polite;
    this.#mayOffer = mayOffer;
    pc.onnegotiationneeded = () => this.#mayOffer && this.#offer();
    pc.onicecandidate = ({ candidate }) => send({ candidate: candidate?.toJSON() ?? { candidate: "" } });
  }

  /** Whether an offer or answer of the other side was taken over. */
  get begun() {
    return this.#pc.remoteDescription !== null;
  }

  /**
   * Whether the first offer of this side is under way, and nothing agreed on. Chromium that rolls such an offer back at times
   * never sends a candidate afterwards, so that the polite side takes a new connection for the other side's offer.
   */
  get isOpening() {
    return !this.begun && (this.#makingOffer || this.#pc.signalingState === "have-local-offer");
  }

  /**
   * Offers again: the pending offer if there is one, which may have been lost, else one that
   * restarts ICE.
   */
  again() {
    this.#mayOffer = true;
    if (this.#makingOffer || this.remind()) return;
    if (this.begun) this.#restartIce();
    else this.#offer();
  }

  /** Offers for what the browser needs no offer for, after the negotiation that is under way. */
  tell() {
    this.#untold = true;
    this.#emitWhenStable();
  }

  /** Repeats an offer that has no answer yet; returns whether there was one. */
  remind() {
    const open = this.#pc.signalingState === "have-local-offer";
    if (open) this.#describeTo(this.#pc.localDescription);
    return open;
  }

  /**
   * Takes one message of the other side.
   * @param {Message} message
   */
  async receive({ description, candidate, labels }) {
    try {
      if (description) await this.#describe(description, labels);
      else await this.#pc.addIceCandidate(candidate?.candidate ? candidate : undefined);
    } catch (error) {
      // A candidate of an ignored offer, or one that precedes any offer, has no place to go.
      const placeless = !description && (this.#ignoreOffer || !this.begun);
      if (!placeless) this.#report(error);
    }
  }

  /**
   * @param {RTCSessionDescriptionInit} description
   * @param {unknown} labels
   */
  async #describe(description, labels) {
    const pc = this.#pc;
    const ready = !this.#makingOffer && (pc.signalingState === "stable" || this.#settingRemoteAnswer);
    const collision = description.type === "offer" && !ready;
    this.#ignoreOffer = !this.#polite && collision;
    if (this.#ignoreOffer) return;
    if (description.type === "answer") return this.#takeAnswer(description, labels);
    await this.#takeOver(description, labels);
    this.#mayOffer = true;
    await pc.setLocalDescription();
    this.#describeTo(pc.localDescription);
    this.#emitWhenStable();
  }

  /**
   * An answer without an open offer repeats one that was taken already.
   * @param {RTCSessionDescriptionInit} answer
   * @param {unknown} labels
   */
  async #takeAnswer(answer, labels) {
    if (this.#pc.signalingState !== "have-local-offer") return;
    try {
      this.#settingRemoteAnswer = true;
      await this.#takeOver(answer, labels);
    } finally {
      this.#settingRemoteAnswer = false;
    }
    this.#emitWhenStable();
  }

  #emitWhenStable() {
    if (!this.#untold || !this.begun || this.#makingOffer || this.#pc.signalingState !== "stable") return;
    this.#untold = false;
    this.#offer();
  }

  /**
   * @param {RTCSessionDescriptionInit} description
   * @param {unknown} labels
   */
  async #takeOver(description, labels) {
    this.#remote.describe(labels);
    await this.#pc.setRemoteDescription(description);
    this.#remote.settle();
  }

  async #offer() {
    try {
      this.#makingOffer = true;
      await this.#pc.setLocalDescription();
      this.#describeTo(this.#pc.localDescription);
    } catch (error) {
      this.#report(error);
    } finally {
      this.#makingOffer = false;
    }
  }

  #restartIce() {
    try {
      this.#pc.restartIce();
    } catch (error) {
      this.#report(error);
    }
  }

  /** A connection that was closed meanwhile rejects whatever was under way. @param {unknown} error */
  #report(error) {
    if (this.#pc.signalingState !== "closed") this.#failed(asError(error));
  }

  /** @param {RTCSessionDescription | null} description */
  #describeTo(description) {
    if (description && this.#pc.signalingState !== "closed") this.#send({ description: { type: description.type, sdp: description.sdp } });
  }
}

/** @param {unknown} error @returns {Error} */
export function asError(error) {
  return error instanceof Error ? error : new Error(String(error));
}
