import { Group } from "./processes.js";
import { findPrograms } from "./tools.js";
import { mintToken } from "./tokens.js";
import { randomBytes } from "node:crypto";
import { startCoturn } from "./coturn.js";
import { startHaproxy } from "./haproxy.js";
import { startNode } from "./services.js";
import { startRedis } from "./redis.js";

/**
 * A whole cluster as plain processes on loopback: Redis, coturn, nodes with their credential services,
 * and haproxy in front. Ports are free ones, secrets are random, nothing is left behind.
 *
 * @typedef {Record<string, string>} Env
 *
 * @typedef {object} ClusterOptions
 * @property {string} binaries the folder Cargo builds into, for instance `target/debug`
 * @property {number} [nodes]
 * @property {string} [ttl] of TURN credentials, for instance `600s`
 * @property {(index: number) => Env} [nodeEnv] further settings of a node, counted from 0
 * @property {(index: number) => Env} [credentialsEnv] further settings of its credential service
 * @property {(line: string) => void} [progress] hears what has been started
 * @property {(signal: NodeJS.Signals) => void} [interrupted] called after a signal has stopped the cluster
 *
 * @typedef {object} Cluster
 * @property {import("./services.js").SignalNode[]} nodes
 * @property {import("./haproxy.js").Balancer} balancer
 * @property {import("./coturn.js").Turn} turn
 * @property {import("./redis.js").Redis} redis
 * @property {string} dir sockets, secrets and logs
 * @property {(sub: string, room: string, rights?: string[]) => string} token makes a token, good for an hour
 * @property {Promise<Error>} failed resolves when a process ends that was not asked to
 * @property {() => Promise<void>} stop
 */

/**
 * Starts a cluster and returns once all of it answers. If a part does not start, all are stopped.
 * @param {ClusterOptions} options
 * @returns {Promise<Cluster>}
 */
export async function startCluster({ binaries, interrupted = endBy, ...options }) {
  const programs = findPrograms(binaries);
  const group = new Group({ interrupted });
  try {
    return await start(group, programs, options);
  } catch (error) {
    await group.stop();
    throw error;
  }
}

/**
 * @param {Group} group
 * @param {import("./tools.js").Programs} programs
 * @param {Omit<ClusterOptions, "binaries" | "interrupted">} options
 * @returns {Promise<Cluster>}
 */
async function start(group, programs, { nodes: count = 2, ttl = "600s", nodeEnv = none, credentialsEnv = none, progress = () => {} }) {
  const [jwtSecret, turnSecret] = [newSecret(), newSecret()];
  const redis = await startRedis(group, programs.redis);
  progress(`Redis answers on port ${redis.port}`);
  const turn = await startCoturn(group, programs.coturn, turnSecret);
  progress(`coturn answers on port ${turn.port}`);
  const shared = {
    jwtSecretFile: group.write("jwt-secret", jwtSecret),
    turnSecretFile: group.write("turn-secret", turnSecret),
    redisUrlFile: group.write("redis-url", redis.url),
    turnUrl: turn.url,
    ttl,
  };
  const nodes = [];
  for (let index = 0; index < count; index += 1) {
    const settings = { number: index + 1, nodeEnv: nodeEnv(index), credentialsEnv: credentialsEnv(index) };
    nodes.push(await startNode(group, programs, shared, settings));
    progress(`node ${index + 1} of ${count} and its credential service are ready`);
  }
  const balancer = await startHaproxy(group, programs.haproxy, nodes);
  progress("haproxy balances between them");
  const token = (/** @type {string} */ sub, /** @type {string} */ room, /** @type {string[]} */ can = ["signal"]) => mintToken(jwtSecret, { sub, room, can });
  return { nodes, balancer, turn, redis, dir: group.dir, token, failed: group.failed, stop: () => group.stop() };
}

/** A key for HMAC: 256 bits as text. */
function newSecret() {
  return randomBytes(32).toString("hex");
}

/** Lets the signal do to this process what it would have done without us. @param {NodeJS.Signals} signal */
function endBy(signal) {
  process.kill(process.pid, signal);
}

/** @returns {Env} */
function none() {
  return {};
}
