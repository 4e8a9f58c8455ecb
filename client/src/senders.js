/**
 * What one RTCPeerConnection sends: which track each of its transceivers carries.
 *
 * A transceiver that has sent is kept and used again for the next track of its kind, since an m-line is never
 * removed and `addTrack` takes no transceiver that has sent. One without a track has a direction that does not
 * send, so the other side sees the track removed from its stream instead of a picture that stands still.
 *
 * All tracks belong to the first stream that was published, whose id is in the SDP: the other side then has one
 * stream for as long as anything is sent, whichever tracks come and go.
 */
export class Senders {
  #pc;
  /** The track each transceiver is to carry; `sender.track` follows later. @type {Map<RTCRtpTransceiver, MediaStreamTrack | null>} */
  #tracks = new Map();
  /** @type {MediaStream | null} */
  #first = null;

  /** @param {RTCPeerConnection} pc */
  constructor(pc) {
    this.#pc = pc;
  }

  /**
   * Sends the tracks of `stream` and nothing else. Negotiates only where a track comes or goes: one that is
   * replaced by another of its kind is so without.
   * @param {MediaStream | null} stream
   * @returns {Promise<unknown>}
   */
  publish(stream) {
    const wanted = stream?.getTracks() ?? [];
    const carried = [...this.#tracks.values()];
    const free = this.#withoutAnyOf(wanted);
    const changes = [];
    for (const track of wanted.filter((track) => !carried.includes(track))) {
      const index = free.findIndex(({ receiver }) => receiver.track.kind === track.kind);
      if (index < 0) this.#add(track, (this.#first ??= stream));
      else changes.push(this.#carry(free.splice(index, 1)[0], track));
    }
    for (const transceiver of free) changes.push(this.#carry(transceiver, null));
    return Promise.all(changes);
  }

  /** Returns the transceivers that carry none of `wanted`; those that send come first, as they need no negotiation. @param {MediaStreamTrack[]} wanted */
  #withoutAnyOf(wanted) {
    const free = [...this.#tracks].filter(([, track]) => !track || !wanted.includes(track));
    return free.sort(([, a], [, b]) => Number(!a) - Number(!b)).map(([transceiver]) => transceiver);
  }

  /**
   * `addTrack` and not `addTransceiver`: only what it makes is joined with an m-line of the other side's offer.
   * @param {MediaStreamTrack} track
   * @param {MediaStream | null} stream
   */
  #add(track, stream) {
    const sender = this.#pc.addTrack(track, ...(stream ? [stream] : []));
    const transceiver = this.#pc.getTransceivers().find((other) => other.sender === sender);
    if (transceiver) this.#tracks.set(transceiver, track);
  }

  /**
   * @param {RTCRtpTransceiver} transceiver
   * @param {MediaStreamTrack | null} track
   */
  async #carry(transceiver, track) {
    if (this.#tracks.get(transceiver) === track) return;
    this.#tracks.set(transceiver, track);
    transceiver.direction = direction(transceiver.direction, track !== null);
    try {
      await transceiver.sender.replaceTrack(track);
    } catch (error) {
      if (this.#pc.signalingState === "closed") return; // the next connection sends what is published then
      throw error;
    }
  }
}

/**
 * Returns `current` with or without the sending half.
 * @param {RTCRtpTransceiverDirection} current
 * @param {boolean} sends
 * @returns {RTCRtpTransceiverDirection}
 */
function direction(current, sends) {
  const receives = current === "sendrecv" || current === "recvonly";
  if (sends) return receives ? "sendrecv" : "sendonly";
  return receives ? "recvonly" : "inactive";
}
