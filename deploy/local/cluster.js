import { Group } from "./processes.js";
import { findPrograms } from "./tools.js";
import { mintToken } from "./tokens.js";
import { randomBytes } from "node:crypto";
import { startHaproxy } from "./haproxy.js";
import { startNode } from "./services.js";
import { startRedis } from "./redis.js";
import { startRelays } from "./relays.js";

/**
 * A whole cluster as plain processes on loopback: Redis, coturn, nodes with their credential services,
 * and haproxy in front. Ports are free ones, secrets are random, nothing is left behind.
 * For each country that a relay serves, haproxy has a further port, whose callers come from there.
 *
 * @typedef {Record<string, string>} Env
 *
 * @typedef {object} ClusterOptions
 * @property {string} binaries the folder Cargo builds into, for instance `target/debug`
 * @property {number} [nodes]
 * @property {string} [ttl] of TURN credentials, for instance `600s`
 * @property {import("./relays.js").RelayPlan[]} [relays] the first is where people go of whom nothing is known
 * @property {"file" | "redis"} [secrets] where the secrets of the relays are
 * @property {(index: number) => Env} [nodeEnv] further settings of a node, counted from 0
 * @property {(index: number) => Env} [credentialsEnv] further settings of its credential service
 * @property {(line: string) => void} [progress] hears what has been started
 * @property {(signal: NodeJS.Signals) => void} [interrupted] called after a signal has stopped the cluster
 *
 * @typedef {object} Cluster
 * @property {import("./services.js").SignalNode[]} nodes
 * @property {import("./haproxy.js").Balancer} balancer
 * @property {import("./coturn.js").Turn[]} relays in the order of the options
 * @property {string} relaysFile where programs of ours read of them
 * @property {Env} secrets settings by which they find the secrets of the relays
 * @property {string} turnSecret that secret, where it is in a file
 * @property {import("./redis.js").Redis} redis
 * @property {string} dir sockets, secrets and logs
 * @property {(sub: string, room: string, rights?: string[]) => string} token makes a token, good for an hour
 * @property {Promise<Error>} failed resolves when a process ends that was not asked to
 * @property {() => Promise<void>} stop
 */

/** @type {import("./relays.js").RelayPlan[]} */
const ONE_RELAY = [{ region: "default" }];

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
async function start(group, programs, options) {
  const { nodes: count = 2, ttl = "600s", relays: plans = ONE_RELAY, nodeEnv = none, credentialsEnv = none, progress = () => {} } = options;
  const [jwtSecret, turnSecret] = [newSecret(), newSecret()];
  const redis = await startRedis(group, programs.redis, "redis");
  progress(`Redis answers on port ${redis.port}`);
  const secret = options.secrets === "redis" ? null : turnSecret;
  const { relays, relaysFile, secrets } = await startRelays(group, programs, { plans, secret, progress });
  const [jwtSecretFile, redisUrlFile] = [group.write("jwt-secret", jwtSecret), group.write("redis-url", redis.url)];
  const shared = { jwtSecretFile, redisUrlFile, relaysFile, secrets, ttl };
  const nodes = [];
  for (let index = 0; index < count; index += 1) {
    const settings = { number: index + 1, nodeEnv: nodeEnv(index), credentialsEnv: credentialsEnv(index) };
    nodes.push(await startNode(group, programs, shared, settings));
    progress(`node ${index + 1} of ${count} and its credential service are ready`);
  }
  const balancer = await startHaproxy(group, programs.haproxy, nodes, plans.flatMap(({ countries = [] }) => countries));
  progress("haproxy balances between them");
  const token = (/** @type {string} */ sub, /** @type {string} */ room, /** @type {string[]} */ can = ["signal"]) => mintToken(jwtSecret, { sub, room, can });
  return { nodes, balancer, relays, relaysFile, turnSecret, secrets, redis, dir: group.dir, token, failed: group.failed, stop: () => group.stop() };
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
