import assert from "node:assert/strict";
import { CALL_WITHIN, until } from "./page.js";

/**
 * Records what a page sees of its call while things break around it, and asks for it afterwards.
 *
 * @typedef {import("playwright-core").Page} Page
 * @typedef {{left: string[], states: string[], joined: {recovery: string, at: number}[], gap: number}} Seen
 *   who left and why; the room's states; when the member came back and how; the longest time without a new picture (ms)
 */

/** Starts recording in each page. @param {Page[]} pages */
export async function watch(pages) {
  await Promise.all(pages.map((page) => page.evaluate(record)));
}

/** Returns what a page has seen since. @param {Page} page @returns {Promise<Seen>} */
export function readSeen(page) {
  return page.evaluate(() => window.seen.read());
}

/** Waits until the page's member has come back for the `count`th time; returns the time of it since `from` (ms) and how. @param {Page} page */
export async function back(page, from, count = 1) {
  const { at, recovery } = await until(page, (wanted) => window.seen.joined[wanted - 1], count);
  return { after: at - from, recovery };
}

/** Sends a kept signal each way, once, and waits until it is there. @param {Page[]} pages */
export async function exchange(pages, word) {
  await Promise.all(pages.map((page) => page.evaluate((data) => void window.demo.room.signal(data), word)));
  await Promise.all(pages.map((page) => page.waitForFunction((data) => window.seen.signals.includes(data), word, { timeout: CALL_WITHIN })));
  const heard = await Promise.all(pages.map((page) => page.evaluate((data) => window.seen.signals.filter((other) => other === data).length, word)));
  assert.deepEqual(heard, pages.map(() => 1));
}

/** Runs inside the page. */
function record() {
  const { room } = window.demo;
  const seen = { left: [], states: [], joined: [], signals: [], gap: 0 };
  room.on("peerLeft", ({ peer, reason }) => seen.left.push(`${peer.id} ${reason}`));
  room.on("state", (state) => seen.states.push(state));
  room.on("joined", ({ recovery }) => seen.joined.push({ recovery, at: Date.now() }));
  room.on("signal", ({ data }) => seen.signals.push(data));
  let frames = 0;
  let since = performance.now();
  const count = async () => {
    const facts = await Promise.all([...room.peers.values()].map(({ pc }) => pc?.getStats()));
    const videos = facts.flatMap((report) => [...(report?.values() ?? [])]).filter(({ type, kind }) => type === "inbound-rtp" && kind === "video");
    const decoded = videos.reduce((total, { framesDecoded }) => total + framesDecoded, 0);
    const now = performance.now();
    seen.gap = Math.max(seen.gap, now - since);
    if (decoded !== frames) since = now;
    frames = decoded;
    setTimeout(count, 50);
  };
  count();
  window.seen = { ...seen, read: () => ({ left: seen.left, states: seen.states, joined: seen.joined, gap: Math.round(seen.gap) }) };
}
