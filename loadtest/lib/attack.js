import { setTimeout as pause } from "node:timers/promises";
import { startStrangers } from "./strangers.js";

/** How long a cluster is attacked (s). */
const ATTACKED_FOR = { smoke: 6, small: 30, full: 120 };

/** How often the memory of the nodes is read meanwhile (ms). */
const LOOK_EVERY = 250;

/**
 * Lets strangers come to every node and credential service of a cluster, and measures how much memory the nodes take beside
 * what they had before.
 * @param {import("../../deploy/local/cluster.js").Cluster} cluster
 * @param {(line: string) => void} say
 * @param {string} profile
 * @returns {Promise<{growth: number, answers: Record<string, number>}>}
 */
export async function attack({ nodes }, say, profile) {
  const before = await Promise.all(nodes.map(memoryOf));
  const strangers = startStrangers({ nodes, credentials: nodes.map(({ credentials }) => credentials) });
  const end = Date.now() + ATTACKED_FOR[profile] * 1000;
  let growth = 0;
  while (Date.now() < end) {
    await pause(LOOK_EVERY);
    const now = await Promise.all(nodes.map(memoryOf));
    growth = Math.max(growth, ...now.map((bytes, index) => bytes / before[index]));
  }
  const answers = await strangers.stop();
  say(`strangers were answered ${JSON.stringify(answers)}; a node took ${growth.toFixed(2)} times its memory`);
  return { growth, answers };
}

/** The resident memory of a node in bytes. @param {{admin: string}} node */
async function memoryOf({ admin }) {
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  const [, bytes] = /^process_resident_memory_bytes (\S+)$/m.exec(metrics) ?? [];
  return Number(bytes);
}
