import { resolve } from "node:path";
import { startCluster } from "../../deploy/local/cluster.js";
import { acts } from "./acts.js";

/**
 * What a question is asked of.
 *
 * @typedef {object} Asked
 * @property {Record<string, string>} env where scripts find it
 * @property {() => Promise<object | void>} [act] what is done to it once everybody is in
 * @property {Promise<Error>} [failed] resolves when a part of it ends that was not asked to
 * @property {() => Promise<void>} stop
 */

/** All connections of a load machine come from one address, so the limit of a node must be out of the way. */
const MANY_CONNECTIONS = "1000000";

/** In `abuse` it must bite: above what the good clients of `full` use, below what can be opened. */
const FEW_CONNECTIONS = { smoke: "20", small: "120", full: "1000" };

/** While a node drains, the balancer asks twice, half a second apart, whether it is ready. */
const PATIENT = { SIGNAL_NODE_DRAIN_DELAY: "2s", SIGNAL_NODE_DRAIN_DEADLINE: "15s" };

/** Fewer connections than strangers want, and more than one address may have; rooms of a subject that seconds suffice for. */
const SMALL = { SIGNAL_NODE_MAX_CONNECTIONS: "400", SIGNAL_NODE_ROOMS_PER_CLIENT: "10" };

/** Lower limits, so that passing them takes seconds. */
const STRICT = { SIGNAL_NODE_RATE: "50/s,burst=200" };

/**
 * Starts a cluster for one question.
 * @param {string} question
 * @param {{binaries: string, nodes: number, profile: string, say: (line: string) => void, limits?: Record<string, string>}} options
 *   `limits`: settings of the nodes, in place of what the question asks with
 * @returns {Promise<Asked>}
 */
export async function localCluster(question, { binaries, nodes, profile, say, limits = {} }) {
  const env = { ...nodeEnv(question, profile), ...limits };
  const cluster = await startCluster({ binaries, nodes, nodeEnv: () => env, credentialsEnv: () => OPEN_HANDED });
  const [{ credentials }] = cluster.nodes;
  const act = acts[question];
  return {
    env: {
      URL: `${cluster.balancer.origin.replace(/^http/, "ws")}/v1/ws`,
      JWT_SECRET_FILE: `${cluster.dir}/jwt-secret`,
      TURN_SECRET_FILE: `${cluster.dir}/turn-secret`,
      CREDENTIALS: credentials.origin,
    },
    act: act && (() => act(cluster, say, profile)),
    failed: cluster.failed,
    stop: cluster.stop,
  };
}

/** @param {{url: string, secretFile: string, credentials?: string}} options @returns {Asked} */
export function existingCluster({ url, secretFile, credentials = "" }) {
  return { env: { URL: url, JWT_SECRET_FILE: resolve(secretFile), CREDENTIALS: credentials }, stop: async () => {} };
}

/** Requests of one address for credentials: as with connections. */
const OPEN_HANDED = { TURN_CRED_RATE_PER_IP: "1000000/m" };

/** @param {string} question @param {string} profile */
function nodeEnv(question, profile) {
  if (question === "abuse") return { ...STRICT, SIGNAL_NODE_MAX_CONNECTIONS_PER_IP: FEW_CONNECTIONS[profile] };
  if (question === "attack") return SMALL;
  const many = { SIGNAL_NODE_MAX_CONNECTIONS_PER_IP: MANY_CONNECTIONS };
  return question === "rolling-restart" ? { ...many, ...PATIENT } : many;
}
