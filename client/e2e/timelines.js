import { setTimeout as wait } from "node:timers/promises";
import { CALL_WITHIN } from "./page.js";

/**
 * Asks a cluster for timelines, as a back end does.
 *
 * @typedef {{rule: string, severity: string, at: number, peer: string, about?: string, text: string, todo: string}} Finding
 */

/** How long a failure may take until it is reported: a page notices some after a quarter of a minute (ms). */
const EXPLAINED_WITHIN = 2 * CALL_WITHIN;

const LOOK_EVERY = 100;

/** @param {import("../../deploy/local/cluster.js").Cluster} cluster @param {string} room @returns {Promise<{events: any[], findings: Finding[]}>} */
export async function readTimeline({ nodes, token }, room) {
  const answer = await fetch(`${nodes.at(-1)?.origin}/v1/rooms/${room}/timeline`, { headers: { authorization: `Bearer ${token("ops", room, ["admin"])}` } });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}

/**
 * Waits until a timeline is as wanted, and returns it.
 * @param {import("../../deploy/local/cluster.js").Cluster} cluster
 * @param {string} room
 * @param {(timeline: {events: any[], findings: Finding[]}) => boolean} wanted
 */
export async function readTimelineOnce(cluster, room, wanted) {
  const deadline = Date.now() + EXPLAINED_WITHIN;
  for (;;) {
    const timeline = await readTimeline(cluster, room);
    if (wanted(timeline)) return timeline;
    if (Date.now() > deadline) throw new Error(`not as wanted: ${JSON.stringify(timeline, null, 1)}`);
    await wait(LOOK_EVERY);
  }
}

/** Waits until a rule has found something in a room, and returns what. @param {import("../../deploy/local/cluster.js").Cluster} cluster @param {string} room @param {string} rule */
export async function readFindings(cluster, room, rule) {
  const found = (/** @type {{findings: Finding[]}} */ { findings }) => findings.filter((finding) => finding.rule === rule);
  return found(await readTimelineOnce(cluster, room, (timeline) => found(timeline).length > 0));
}
