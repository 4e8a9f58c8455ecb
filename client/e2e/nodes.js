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

/** @param {SignalNode} node @param {string} token */
async function idOf({ origin }, token) {
  const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/ws`, ["signal.v1", `bearer.${token}`]);
  const [text] = await once(socket, "message");
  socket.close();
  return JSON.parse(text).node;
}
