import { MAIN, isLabel } from "./publication.js";

/**
 * What the other side publishes. Its descriptions name the label of each m-line, so they are read before the browser
 * takes a description over, and compared with the tracks that are there once it has. A label without a track is muted
 * while the description names it, and removed otherwise. A client that names no labels publishes one stream, `main`.
 *
 * @typedef {import("./publication.js").Kind} Kind
 *
 * @typedef {object} RemoteStream
 * @property {string} label
 * @property {MediaStream} stream its tracks come and go
 * @property {Readonly<Record<Kind, boolean>>} muted the kinds that were sent and are not for now
 *
 * @typedef {{remote: RemoteStream, kinds: Set<string>, isNew: boolean}} Entry
 */
export class RemoteStreams {
  #emit;
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** By `mid`. @type {Map<string, string>} */
  #labels = new Map();
  /** By label. @type {Map<string, RemoteStream>} */
  streams = new Map();

  /** @param {(event: "added" | "changed" | "removed", remote: RemoteStream) => void} emit */
  constructor(emit) {
    this.#emit = emit;
  }

  /** Takes over the labels of a description that the browser is about to take over. @param {unknown} labels */
  describe(labels) {
    this.#labels = new Map(Object.entries(labels ?? {}).filter(([, label]) => isLabel(label)));
  }

  /**
   * Takes a track that the browser announced; returns the label it belongs to, and its stream.
   * @param {RTCTrackEvent} event
   */
  add({ track, streams, transceiver }) {
    const label = this.#labels.get(transceiver?.mid ?? "") ?? MAIN;
    const known = this.#entries.get(label);
    const stream = streams[0] ?? known?.remote.stream ?? new MediaStream();
    if (!stream.getTracks().includes(track)) stream.addTrack(track);
    const entry = known ?? { remote: { label, stream, muted: { audio: false, video: false } }, kinds: new Set(), isNew: true };
    entry.remote.stream = stream;
    entry.kinds.add(track.kind);
    this.#entries.set(label, entry);
    return { label, stream };
  }

  /** Says what the description that was just taken over has changed. */
  settle() {
    const named = new Set(this.#labels.values());
    for (const [label, entry] of this.#entries) {
      const { remote } = entry;
      const sent = new Set(remote.stream.getTracks().map(({ kind }) => kind));
      if (sent.size === 0 && !named.has(label)) this.#remove(label, remote);
      else this.#compare(entry, sent);
    }
  }

  /** The connection is gone, and all that came over it. */
  clear() {
    this.#labels.clear();
    for (const [label, { remote }] of this.#entries) this.#remove(label, remote);
  }

  /**
   * @param {Entry} entry
   * @param {Set<string>} sent
   */
  #compare(entry, sent) {
    const { remote, kinds, isNew } = entry;
    const muted = { audio: kinds.has("audio") && !sent.has("audio"), video: kinds.has("video") && !sent.has("video") };
    const same = muted.audio === remote.muted.audio && muted.video === remote.muted.video;
    Object.assign(remote, { muted });
    entry.isNew = false;
    this.streams.set(remote.label, remote);
    if (isNew) this.#emit("added", remote);
    else if (!same) this.#emit("changed", remote);
  }

  /**
   * @param {string} label
   * @param {RemoteStream} remote
   */
  #remove(label, remote) {
    this.#entries.delete(label);
    if (this.streams.delete(label)) this.#emit("removed", remote);
  }
}
