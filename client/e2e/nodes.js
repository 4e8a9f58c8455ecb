import assert from "node:assert/strict";
import WebSocket from "ws";
import { once } from "node:events";

/**
 * Which of a cluster's nodes a page is connected to. A node draws its id when it starts and says it in
 * `welcome`, so each is asked.
 *
 * @typedef {import("../../deploy/local/cluster.js").Cluster} Cluster
 * @typedef {import("../../deploy/local/services.js").SignalNode} SignalNode
 */

/** Settings for nodes that are told to stop in a test: time for the balancer to notice, and to hand people over. */
export const DRAIN = { SIGNAL_NODE_DRAIN_DELAY: "2s", SIGNAL_NODE_DRAIN_DEADLINE: "10s" };

/** A node told to stop may take this long before it is killed (ms). */
const DRAINED_WITHIN = 20_000;

/** Finds the node with an id. @param {Cluster} cluster @param {string} id @returns {Promise<SignalNode>} */
export async function nodeCalled(cluster, id) {
  const running = cluster.nodes.filter(({ process }) => process.alive);
  const ids = await Promise.all(running.map((node) => idOf(node, cluster.token("nobody", "nowhere"))));
  const found = running[ids.indexOf(id)];
  assert.ok(found, `${id} is none of ${ids.join(", ")}`);
  return found;
}

/** Ends a node without asking; returns when (ms since 1970). @param {SignalNode} node */
export function killNode({ process }) {
  process.kill();
  return Date.now();
}

/** Starts a killed or stopped node again and returns once the balancer sends people there. @param {Cluster} cluster @param {SignalNode} node */
export async function reviveNode(cluster, node) {
  await node.process.ended;
  await node.restart();
  await cluster.balancer.sends(node.name);
}

/** Tells a node to stop, makes sure that it ended by itself, and starts it again. @param {Cluster} cluster @param {SignalNode} node */
export async function restartNode(cluster, node) {
  const { process } = node;
  await process.stop({ within: DRAINED_WITHIN });
  assert.equal(await process.ended, "ended with code 0");
  await reviveNode(cluster, node);
}

/** @param {SignalNode} node @param {string} token */
async function idOf({ origin }, token) {
  const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/ws`, ["signal.v1", `bearer.${token}`]);
  const [text] = await once(socket, "message");
  socket.close();
  return JSON.parse(text).node;
}
