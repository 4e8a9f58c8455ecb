import { range, sleep } from "./wait.js";
import { beginAtZero } from "./metrics.js";

/**
 * Plays every room of this virtual user at once, each from a moment of its own within the ramp.
 * @param {{rooms: number, ramp: number}} sizes
 * @param {(index: number) => Promise<void>} play
 */
export async function crowd({ rooms, ramp }, play) {
  beginAtZero();
  await Promise.all(range(rooms).map(async (index) => {
    await sleep(Math.random() * ramp * 1000);
    await play(index).catch(explain);
  }));
}

/** Fails the virtual user with a reason: k6 prints an error object that nobody caught as `[object Object]`. @param {any} error */
function explain(error) {
  console.error(String(error.stack ?? error));
  throw error;
}

/** Makes a function that says whether so many seconds have passed. @param {number} seconds */
export function timer(seconds) {
  const end = Date.now() + seconds * 1000;
  return () => Date.now() >= end;
}
