/**
 * What one RTCPeerConnection sends: which track each of its transceivers carries.
 *
 * A transceiver that has sent is kept and used again for the next track of its kind, since an m-line is never
 * removed and `addTrack` takes no transceiver that has sent. One without a track has a direction that does not
 * send, so the other side sees the track removed from its stream instead of a picture that stands still.
 *
 * A transceiver stays with the label it was made for, so that descriptions name the label of each m-line. All tracks
 * of a label belong to the first stream that was published under it, whose id is in the SDP: the other side then has
 * one stream per label, whichever tracks come and go.
 *
 * @typedef {import("./publication.js").Publication} Publication
 * @typedef {{label: string, track: MediaStreamTrack | null}} Slot
 */
export class Senders {
  #pc;
  #offer;
  /** What each transceiver is to carry; `sender.track` follows later. @type {Map<RTCRtpTransceiver, Slot>} */
  #slots = new Map();
  /** The first stream of each label. @type {Map<string, MediaStream>} */
  #first = new Map();
  /** The labels that are published. @type {Set<string>} */
  #published = new Set();
  /** Whether the browser asks for a negotiation after the current changes. */
  #negotiates = false;

  /**
   * @param {RTCPeerConnection} pc
   * @param {() => void} offer makes an offer for what the browser needs none for: a label that is over
   */
  constructor(pc, offer) {
    this.#pc = pc;
    this.#offer = offer;
  }

  /** The label of each m-line that is used for a publication, by `mid`. @returns {Record<string, string>} */
  get labels() {
    const used = [...this.#slots].filter(([{ mid }, { label }]) => mid !== null && this.#published.has(label));
    return Object.fromEntries(used.map(([{ mid }, { label }]) => [mid, label]));
  }

  /**
   * Sends what is published and nothing else. Negotiates only where a track comes or goes: one that is
   * replaced by another of its kind is so without.
   * @param {Iterable<Publication>} publications
   * @returns {Promise<unknown>}
   */
  publish(publications) {
    const byLabel = new Map([...publications].map((publication) => [publication.label, publication]));
    const over = [...this.#published].some((label) => !byLabel.has(label));
    const labels = new Set([...byLabel.keys(), ...this.#published]);
    this.#published = new Set(byLabel.keys());
    this.#negotiates = false;
    const changes = [...labels].flatMap((label) => this.#publishAs(label, byLabel.get(label)));
    if (over && !this.#negotiates) this.#offer();
    return Promise.all(changes);
  }

  /**
   * @param {string} label
   * @param {Publication | undefined} publication
   */
  #publishAs(label, publication) {
    const wanted = publication?.tracks ?? [];
    const slots = [...this.#slots].filter(([, slot]) => slot.label === label);
    const carried = slots.map(([, { track }]) => track);
    // Those that send come first: they need no negotiation for another track.
    const free = slots.filter(([, { track }]) => !track || !wanted.includes(track)).sort(([, a], [, b]) => Number(!a.track) - Number(!b.track));
    const changes = [];
    for (const track of wanted.filter((track) => !carried.includes(track))) {
      const index = free.findIndex(([{ receiver }]) => receiver.track.kind === track.kind);
      if (publication?.shape.hint) track.contentHint = publication.shape.hint;
      if (index < 0 && publication) this.#add(track, publication);
      else if (index >= 0) changes.push(this.#setTrack(...free.splice(index, 1)[0], track));
    }
    for (const [transceiver, slot] of free) changes.push(this.#setTrack(transceiver, slot, null));
    for (const [transceiver, slot] of this.#slots) if (slot.label === label && publication) changes.push(this.#limit(transceiver, publication.shape));
    return changes;
  }

  /**
   * `addTrack` and not `addTransceiver`: only what it makes is joined with an m-line of the other side's offer.
   * @param {MediaStreamTrack} track
   * @param {Publication} publication
   */
  #add(track, { label, stream, shape }) {
    const first = this.#first.get(label) ?? stream;
    if (first) this.#first.set(label, first);
    const sender = this.#pc.addTrack(track, ...(first ? [first] : []));
    const transceiver = this.#pc.getTransceivers().find((other) => other.sender === sender);
    this.#negotiates = true;
    if (!transceiver) return;
    this.#slots.set(transceiver, { label, track });
    if (shape.codecs) prefer(transceiver, track.kind, shape.codecs);
  }

  /**
   * @param {RTCRtpTransceiver} transceiver
   * @param {import("./publication.js").Shape} shape
   */
  async #limit({ sender }, { maxBitrate }) {
    const parameters = maxBitrate === undefined ? null : sender.getParameters();
    if (!parameters?.encodings?.length) return;
    for (const encoding of parameters.encodings) {
      if (maxBitrate === null) delete encoding.maxBitrate;
      else encoding.maxBitrate = maxBitrate;
    }
    await this.#unlessClosed(sender.setParameters(parameters));
  }

  /**
   * @param {RTCRtpTransceiver} transceiver
   * @param {Slot} slot
   * @param {MediaStreamTrack | null} track
   */
  async #setTrack(transceiver, slot, track) {
    if (slot.track === track) return;
    slot.track = track;
    const wanted = direction(transceiver.direction, track !== null);
    this.#negotiates ||= wanted !== transceiver.direction;
    transceiver.direction = wanted;
    await this.#unlessClosed(transceiver.sender.replaceTrack(track));
  }

  /** Ignores the rejection of a closed RTCPeerConnection: `publish` runs again for the next one. @param {Promise<void>} change */
  async #unlessClosed(change) {
    try {
      await change;
    } catch (error) {
      if (this.#pc.signalingState !== "closed") throw error;
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

/**
 * Puts codecs first, of those that the browser has; the others stay, so that there is one that both sides have.
 * @param {RTCRtpTransceiver} transceiver
 * @param {string} kind
 * @param {readonly string[]} names
 */
function prefer(transceiver, kind, names) {
  const known = RTCRtpReceiver.getCapabilities(kind)?.codecs ?? [];
  const wanted = names.map((name) => `${kind}/${name}`.toLowerCase());
  const rank = (/** @type {{mimeType: string}} */ { mimeType }) => (wanted.indexOf(mimeType.toLowerCase()) + wanted.length + 1) % (wanted.length + 1);
  if (known.some((codec) => rank(codec) < wanted.length)) transceiver.setCodecPreferences([...known].sort((a, b) => rank(a) - rank(b)));
}
