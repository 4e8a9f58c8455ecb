/**
 * Tokens: where they come from, and when to fetch the next one.
 *
 * @typedef {string | (() => string | Promise<string>)} TokenSource a token, or a function that returns a
 *   fresh one each time it is called
 */

/** A token is renewed this long before it expires (ms), or halfway if it lives shorter than twice that. */
export const RENEW_BEFORE = 60_000;

/** Renewals keep at least this distance (ms), should a provider return tokens that are already old. */
const RENEW_AT_MOST_EVERY = 5000;

/**
 * Returns how long a JWT that was just fetched lives, in milliseconds, or null if it does not say. The signature is the
 * server's business; this only reads the dates on the label.
 *
 * The clock of the device may be wrong by hours. `exp - iat` is the issuer's clock alone; the date of the device only
 * tells how much of that is over, where it makes sense.
 * @param {string} token
 * @param {number} now milliseconds since 1970, as the device believes
 * @returns {number | null}
 */
export function lifeOf(token, now) {
  const { exp, iat } = datesOf(token);
  if (typeof exp !== "number") return null;
  const left = exp * 1000 - now;
  if (typeof iat !== "number" || iat >= exp) return left > 0 ? left : null;
  const life = (exp - iat) * 1000;
  return left > 0 ? Math.min(left, life) : life;
}

/** @param {string} token @returns {{exp?: unknown, iat?: unknown}} */
function datesOf(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload)) ?? {};
  } catch {
    return {};
  }
}

/**
 * Returns how long to wait before a token is renewed, in milliseconds.
 * @param {number} left how long it lives yet, in milliseconds
 */
export function renewIn(left) {
  return Math.max(RENEW_AT_MOST_EVERY, left - RENEW_BEFORE, left / 2);
}

/** Keeps the newest token and fetches another when that one was refused or is over. */
export class Tokens {
  /** @type {TokenSource | undefined} */
  #source;
  /** @type {string | undefined} */
  #newest;
  /** When the newest token is over, by a clock that nobody sets; null if it does not say. @type {number | null} */
  #overAt = null;
  #clock;

  /**
   * @param {TokenSource | undefined} source
   * @param {import("./clock.js").Clock} clock
   */
  constructor(source, clock) {
    this.#source = source;
    this.#clock = clock;
  }

  /** Whether a refused token can be replaced by another. */
  get renewable() {
    return typeof this.#source === "function";
  }

  /** How long the newest token lives yet, in milliseconds, if it says so. */
  get left() {
    return this.#overAt === null ? null : this.#overAt - this.#clock.now();
  }

  /** Returns the newest token, fetching one if there is none; undefined means anonymous. */
  async get() {
    if (typeof this.#source === "string") return this.#source;
    if (this.left !== null && this.left <= 0) this.drop();
    return this.#newest ?? this.renew();
  }

  /** Fetches a fresh token and returns it; the newest one stays if that fails. */
  async renew() {
    if (typeof this.#source !== "function") return this.#source;
    this.#newest = await this.#source();
    const life = this.#newest === undefined ? null : lifeOf(this.#newest, this.#clock.date());
    this.#overAt = life === null ? null : this.#clock.now() + life;
    return this.#newest;
  }

  /** Forgets the newest token: the server refused it. */
  drop() {
    this.#newest = undefined;
    this.#overAt = null;
  }
}
