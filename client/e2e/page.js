import { setTimeout as wait } from "node:timers/promises";

/**
 * Drives the demo page through what it offers to people and through its read-only hook `window.demo`.
 *
 * @typedef {import("playwright-core").Page} Page
 * @typedef {{id: string, name: string, connectionState: string, framesDecoded: number, away: boolean,
 *   local: string | null, remote: string | null, protocol: string | null, roundTripTime: number | null,
 *   dataRoundTrip: number | null}} PeerReading
 */

/** How long a call may take to come about on a busy machine (ms). */
export const CALL_WITHIN = 20_000;

/** How often a page is looked at (ms). */
const LOOK_EVERY = 100;

/**
 * Opens the demo page and, unless told otherwise, joins with the test pattern.
 * @param {import("playwright-core").BrowserContext} context
 * @param {string} origin for instance `http://127.0.0.1:8080`
 * @param {{room?: string, name?: string, token?: string, auto?: boolean, relay?: boolean, pattern?: boolean,
 *   prepare?: (page: Page) => void | Promise<void>}} [options] `prepare` is called before anything is loaded
 * @returns {Promise<{page: Page, faults: string[]}>} `faults` collects exceptions and console errors of the page
 */
export async function openDemo(context, origin, { room = "demo", name = "Ana", token, auto = true, relay = false, pattern = true, prepare } = {}) {
  const page = await context.newPage();
  await prepare?.(page);
  /** @type {string[]} */
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error.stack ?? error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  const query = new URLSearchParams({ room, name });
  for (const [flag, on] of Object.entries({ auto, relay, pattern })) if (on) query.set(flag, "1");
  await page.goto(`${origin}/?${query}${token ? `#token=${token}` : ""}`);
  if (auto) await page.waitForFunction(() => window.demo.room?.state === "joined", null, { timeout: CALL_WITHIN });
  return { page, faults };
}

/**
 * Waits until `count` peers are connected and each has shown `frames` pictures; returns their facts.
 * @param {Page} page
 * @param {number} count
 * @param {{frames?: number, timeout?: number}} [options] `timeout` in milliseconds
 * @returns {Promise<PeerReading[]>}
 */
export async function connectedPeers(page, count, { frames = 10, timeout = CALL_WITHIN } = {}) {
  const there = (/** @type {{count: number, frames: number}} */ wanted) => {
    const peers = window.demo.peers();
    const good = peers.filter((peer) => peer.connectionState === "connected" && peer.local && peer.framesDecoded >= wanted.frames);
    return peers.length === wanted.count && good.length === wanted.count && good.every((peer) => peer.dataRoundTrip !== null);
  };
  await page.waitForFunction(there, { count, frames }, { timeout });
  return readPeers(page);
}

/** Waits until a peer has shown `more` further pictures: media flows now, not only once. @param {Page} page @param {number} more */
export async function moreFrames(page, more, { timeout = CALL_WITHIN } = {}) {
  const before = Object.fromEntries((await readPeers(page)).map(({ id, framesDecoded }) => [id, framesDecoded]));
  const moved = (/** @type {{before: Record<string, number>, more: number}} */ wanted) =>
    window.demo.peers().every((peer) => peer.framesDecoded >= (wanted.before[peer.id] ?? 0) + wanted.more);
  await page.waitForFunction(moved, { before, more }, { timeout });
}

/** Returns the newest facts of every peer. @param {Page} page @returns {Promise<PeerReading[]>} */
export function readPeers(page) {
  return page.evaluate(() => window.demo.peers());
}

/** Returns the ICE errors of the call. @param {Page} page @returns {Promise<{code: number, text: string, url: string}[]>} */
export function readIceErrors(page) {
  return page.evaluate(() => window.demo.iceErrors);
}

/** Returns the id and rank of the page's own member. @param {Page} page */
export function readSelf(page) {
  return page.evaluate(() => ({ ...window.demo.room.self }));
}

/** Returns what the status line says. @param {Page} page */
export function readStatus(page) {
  return page.textContent("#status");
}

/**
 * Waits until `condition`, run inside the page, comes true; unlike Playwright's own waiting it may be asynchronous.
 * @template T
 * @param {Page} page
 * @param {(argument: any) => T | Promise<T>} condition
 * @param {any} [argument]
 * @returns {Promise<T>}
 */
export async function until(page, condition, argument, { timeout = CALL_WITHIN } = {}) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const result = await page.evaluate(condition, argument);
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`did not come true within ${timeout} ms: ${condition}`);
    await wait(LOOK_EVERY);
  }
}
