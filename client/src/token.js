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
 * Returns when a JWT expires as milliseconds since 1970, or null if it does not say. The signature
 * is the server's business; this only reads the date on the label.
 * @param {string} token
 * @returns {number | null}
 */
export function expiry(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const { exp } = JSON.parse(atob(payload));
    return typeof exp === "number" ? exp * 1000 : null;
  } catch {
    return null;
  }
}

/**
 * Returns how long to wait before a token is renewed, in milliseconds.
 * @param {number} expiresAt milliseconds since 1970
 * @param {number} now milliseconds since 1970
 */
export function renewIn(expiresAt, now) {
  const left = expiresAt - now;
  return Math.max(RENEW_AT_MOST_EVERY, left - RENEW_BEFORE, left / 2);
}

/** Keeps the newest token and fetches another when that one was refused or is over. */
export class Tokens {
  /** @type {TokenSource | undefined} */
  #source;
  /** @type {string | undefined} */
  #newest;

  /** @param {TokenSource} [source] */
  constructor(source) {
    this.#source = source;
  }

  /** Whether a refused token can be replaced by another. */
  get renewable() {
    return typeof this.#source === "function";
  }

  /** When the newest token expires, in milliseconds since 1970, if it says so. */
  get expiresAt() {
    return this.#newest === undefined ? null : expiry(this.#newest);
  }

  /**
   * Returns the newest token, fetching one if there is none; undefined means anonymous.
   * @param {number} now milliseconds since 1970
   */
  async get(now) {
    if (typeof this.#source === "string") return (this.#newest = this.#source);
    const expiresAt = this.expiresAt;
    if (expiresAt !== null && expiresAt <= now) this.drop();
    this.#newest ??= await this.#source?.();
    return this.#newest;
  }

  /** Fetches a fresh token and returns it; the newest one stays if that fails. */
  async renew() {
    const fresh = typeof this.#source === "function" ? await this.#source() : this.#source;
    return (this.#newest = fresh);
  }

  /** Forgets the newest token: the server refused it. */
  drop() {
    this.#newest = undefined;
  }
}
