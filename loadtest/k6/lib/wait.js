/** Waiting. A timer that nobody needs any more keeps k6 from ending, so each of them is cleared. */

/** @param {number} ms */
export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** How often a condition is looked at (ms). */
const LOOK_EVERY = 25;

/**
 * Waits until something is true, and returns whether it came to be.
 * @param {() => boolean} condition
 * @param {number} ms the longest wait
 */
export async function until(condition, ms) {
  const deadline = Date.now() + ms;
  while (!condition()) {
    if (Date.now() >= deadline) return false;
    await sleep(LOOK_EVERY);
  }
  return true;
}

/**
 * Waits for a promise, but not for ever.
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @param {string} what for the error
 * @returns {Promise<T>}
 */
export async function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** @param {number} count */
export function range(count) {
  return Array.from({ length: count }, (_, index) => index);
}
