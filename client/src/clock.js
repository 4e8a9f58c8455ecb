/**
 * Time as a value that is passed in, so that tests move it instead of waiting for it.
 *
 * @typedef {object} Clock
 * @property {() => number} now milliseconds that never run backwards
 * @property {() => number} date milliseconds since 1970, for comparing with the expiry of a token
 * @property {(ms: number, run: () => void) => () => void} after runs once later; returns a function that cancels
 */

/** A browser's timer overflows beyond 2^31 - 1 ms and would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** @type {Clock} */
export const systemClock = {
  now: () => performance.now(),
  date: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, LONGEST_TIMER));
    return () => clearTimeout(timer);
  },
};
