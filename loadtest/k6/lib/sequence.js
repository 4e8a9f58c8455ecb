/**
 * Numbers that every sender puts into what it says, and what a receiver concludes from them.
 *
 * A sender counts 1, 2, 3 … for each stream: one per receiver, and one for what is said to all. Pure, and no part
 * of the protocol: it would notice a node that numbers rightly and delivers wrongly.
 */

/** The stream of what is said to everyone in the room. */
export const ALL = "all";

/** What one sender has said. */
export class Said {
  #counts = new Map();

  /** Counts one more message and returns its number. @param {string} stream a receiver's id, or `ALL` */
  next(stream) {
    const n = this.total(stream) + 1;
    this.#counts.set(stream, n);
    return n;
  }

  /** How many were said. @param {string} stream */
  total(stream) {
    return this.#counts.get(stream) ?? 0;
  }
}

/** One stream as one receiver hears it. */
class Track {
  missing = new Set();

  /** @param {number} highest the last number from before this receiver listened */
  constructor(highest) {
    this.highest = highest;
  }

  /** @param {number} n @returns {"new" | "late" | "again"} */
  take(n) {
    if (n > this.highest) {
      for (let skipped = this.highest + 1; skipped < n; skipped += 1) this.missing.add(skipped);
      this.highest = n;
      return "new";
    }
    return this.missing.delete(n) ? "late" : "again";
  }
}

/** What one receiver has heard. */
export class Heard {
  #tracks = new Map();
  delivered = 0;
  duplicated = 0;
  reordered = 0;

  /**
   * Takes in one message.
   * @param {string} from
   * @param {string} stream `ALL`, or the receiver's own id
   * @param {number} n its number
   * @param {{late?: boolean}} [options] `late`: the receiver came when the stream was running, so the first number is the start
   */
  take(from, stream, n, { late = false } = {}) {
    const name = `${from} ${stream}`;
    if (!this.#tracks.has(name)) this.#tracks.set(name, new Track(late ? n - 1 : 0));
    const verdict = this.#tracks.get(name).take(n);
    if (verdict === "again") this.duplicated += 1;
    else this.delivered += 1;
    if (verdict === "late") this.reordered += 1;
    return verdict;
  }

  /**
   * How many of `total` messages have not arrived.
   * @param {string} from
   * @param {string} stream
   * @param {number} total
   */
  lost(from, stream, total) {
    const track = this.#tracks.get(`${from} ${stream}`);
    return track ? track.missing.size + Math.max(0, total - track.highest) : total;
  }
}
