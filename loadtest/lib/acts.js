import { attack } from "./attack.js";

/**
 * What is done to the local cluster while k6 holds its rooms, by question.
 *
 * @typedef {import("../../deploy/local/cluster.js").Cluster} Cluster
 * @typedef {(line: string) => void} Say
 */

/** Kills one node without a word, and starts it again. @param {Cluster} cluster @param {Say} say */
async function killNode({ nodes: [node], balancer }, say) {
  node.process.kill();
  say(`${node.name} ${await node.process.ended}`);
  await node.restart();
  await balancer.sends(node.name);
  say(`${node.name} is back`);
}

/** Long enough for a drain: deploy/local/processes.js kills earlier by default (ms). */
const END_WITHIN = 20_000;

/** Stops and starts every node, one after the other, as a deployment does. @param {Cluster} cluster @param {Say} say */
async function restartAll({ nodes, balancer }, say) {
  for (const node of nodes) {
    await node.process.stop({ within: END_WITHIN });
    say(`${node.name} has drained and ${await node.process.ended}`);
    await node.restart();
    await balancer.sends(node.name);
    say(`${node.name} is back`);
  }
}

/** @type {Record<string, (cluster: Cluster, say: Say, profile: string) => Promise<object | void>>} */
export const acts = { "attack": attack, "reconnect-storm": killNode, "rolling-restart": restartAll };
