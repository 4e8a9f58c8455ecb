/**
 * The latest states and frames of the connection, for a report of a fault. It holds no token, no SDP, no address and nothing
 * that an application has sent: of a frame it keeps the fields named here.
 *
 * @typedef {"state" | "sent" | "received"} Happening
 * @typedef {{at: number, what: Happening, [field: string]: any}} LogEntry `at` in milliseconds of the client's clock
 */

/** How many entries are kept. */
const KEPT = 200;

const FIELDS = Object.freeze(["type", "id", "room", "mid", "seq", "try", "from", "to", "recovery", "code", "reason", "retry", "after", "phase", "retryIn"]);

export class Journal {
  #clock;
  #log;
  /** Oldest first. @type {LogEntry[]} */
  entries = [];

  /**
   * @param {import("./clock.js").Clock} clock
   * @param {((entry: LogEntry) => void) | undefined} log is told of each entry
   */
  constructor(clock, log) {
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * @param {Happening} what
   * @param {Record<string, any>} details a frame or a state
   */
  add(what, details) {
    const kept = FIELDS.filter((name) => details[name] != null).map((name) => [name, details[name]]);
    const entry = { at: this.#clock.now(), what, ...Object.fromEntries(kept) };
    if (this.entries.push(entry) > KEPT) this.entries.shift();
    this.#log?.(entry);
  }
}
