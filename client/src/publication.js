/**
 * What this member sends to the others, by label: a camera and a screen are two publications, and each is muted,
 * replaced and stopped by itself. Every peer reads the same ones.
 *
 * @typedef {"audio" | "video"} Kind
 *
 * @typedef {object} PublishOptions what is left out stays as it was under this label
 * @property {string} [label] `main` if none is given
 * @property {readonly string[] | null} [to] ids of the members that get it; null: everyone
 * @property {number | null} [maxBitrate] bit/s of each track at most; null: what the browser finds right
 * @property {readonly string[]} [codecs] those to prefer, such as `VP9` or `opus`, best first; they count when a track is first sent
 * @property {"motion" | "detail" | "text" | "speech" | "music"} [hint] what the tracks show, for the browser's encoder
 *
 * @typedef {Omit<PublishOptions, "label">} Shape
 */

/** The label of what `publish(stream)` and the option `stream` of `join` send. */
export const MAIN = "main";

/** How long a label may be, in characters. */
const LONGEST_LABEL = 64;

/** Whether `label` can name a publication. @param {unknown} label @returns {label is string} */
export function isLabel(label) {
  return typeof label === "string" && label.length > 0 && label.length <= LONGEST_LABEL;
}

export class Publication {
  #changed;
  /** What is sent under this label; null when it was stopped. @type {MediaStream | null} */
  stream = null;
  /** The kinds that are not sent for now. @type {Readonly<Record<Kind, boolean>>} */
  muted = { audio: false, video: false };
  /** To whom it is sent, and how. @type {Readonly<Shape>} */
  shape = {};

  /**
   * @param {string} label
   * @param {() => Promise<void>} changed
   */
  constructor(label, changed) {
    this.label = label;
    this.#changed = changed;
  }

  /** The tracks that are to be sent. @returns {MediaStreamTrack[]} */
  get tracks() {
    return (this.stream?.getTracks() ?? []).filter(({ kind }) => !this.muted[/** @type {Kind} */ (kind)]);
  }

  /** Sends something else; a track that replaces one of its kind needs no negotiation. @param {MediaStream | MediaStreamTrack | null} media */
  replace(media) {
    this.stream = media === null || "getTracks" in media ? media : new MediaStream([media]);
    if (media === null) this.muted = { audio: false, video: false };
    return this.#changed();
  }

  /**
   * Sends a kind no more, or again; the others are told by the event `changed`. The track itself goes on.
   * @param {Kind} kind
   * @param {boolean} muted
   */
  mute(kind, muted) {
    this.muted = { ...this.muted, [kind]: muted };
    return this.#changed();
  }

  /** Bounds the bitrate of each track from now on. @param {Pick<Shape, "maxBitrate">} limits */
  limit({ maxBitrate = null }) {
    this.shape = { ...this.shape, maxBitrate };
    return this.#changed();
  }

  /** Whether a member gets it. @param {string} peer its id */
  isFor(peer) {
    return this.shape.to?.includes(peer) ?? true;
  }

  /** Ends the publication; the others are told by the event `removed`. The tracks themselves go on. */
  stop() {
    return this.replace(null);
  }
}

export class Publications {
  #changed;
  /** @type {Map<string, Publication>} */
  #labelled = new Map();

  /** @param {() => Promise<void>} changed makes every peer send what is published now */
  constructor(changed) {
    this.#changed = changed;
  }

  /** Those that were not stopped. */
  *[Symbol.iterator]() {
    for (const publication of this.#labelled.values()) if (publication.stream) yield publication;
  }

  /**
   * @param {MediaStream | MediaStreamTrack | null} media null: nothing under this label
   * @param {PublishOptions} [options]
   */
  async publish(media, { label = MAIN, ...shape } = {}) {
    if (!isLabel(label)) throw new TypeError(`a label is a text of 1 to ${LONGEST_LABEL} characters, not ${JSON.stringify(label)}`);
    const publication = this.#labelled.get(label) ?? new Publication(label, this.#changed);
    this.#labelled.set(label, publication);
    publication.shape = media === null ? {} : { ...publication.shape, ...shape };
    await publication.replace(media);
    return publication;
  }
}
