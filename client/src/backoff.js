/**
 * How long to wait before the next attempt: full jitter, so that a thousand clients that lost
 * one node spread over the whole interval instead of coming in step.
 */

/** Upper bound of the first wait, in milliseconds: most losses are one dropped socket. */
export const FIRST_WAIT = 800;

/** Upper bound of every wait, in milliseconds: a third of the default grace, so that at least two attempts fall into it. */
export const LONGEST_WAIT = 10_000;

/**
 * Returns the wait before attempt number `attempt` (0 is the first after a loss), in milliseconds.
 * @param {number} attempt
 * @param {() => number} random uniform in [0, 1)
 */
export function backoff(attempt, random) {
  return random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(attempt, 16));
}

/**
 * Returns a uniformly distributed wait between `from` and `to` milliseconds.
 * @param {number} from
 * @param {number} to
 * @param {() => number} random
 */
export function between(from, to, random) {
  return from + random() * (to - from);
}
