import { join } from "node:path";
import { COUNTRY_HEADER } from "./haproxy.js";
import { LOOPBACK } from "./ports.js";

/**
 * The programs of this repository: a signaling node and, beside it, the credential service that only
 * this node can ask, over a socket in the cluster's folder. Both take free ports and say which.
 *
 * @typedef {import("./processes.js").Child} Child
 * @typedef {import("./processes.js").Group} Group
 * @typedef {Record<string, string>} Env
 *
 * @typedef {object} SignalNode
 * @property {string} name `node-1` and so on
 * @property {string} origin of the demo page and the WebSocket
 * @property {string} admin of `/metrics`, `/readyz` and the like
 * @property {Child} process the newest one
 * @property {() => Promise<void>} restart starts the node on the same addresses, once its process has ended
 * @property {CredentialService} credentials
 *
 * @typedef {{origin: string, admin: string, socket: string, process: Child}} CredentialService
 *
 * @typedef {object} Shared what the services of a cluster have in common
 * @property {string} jwtSecretFile
 * @property {string} redisUrlFile
 * @property {string} relaysFile where the credential services read of the relays
 * @property {Env} secrets where they have the secrets of the relays
 * @property {string} ttl of TURN credentials, for instance `600s`
 */

/**
 * Starts a node after its credential service.
 * @param {Group} group
 * @param {import("./tools.js").Programs} programs
 * @param {Shared} shared
 * @param {{number: number, nodeEnv: Env, credentialsEnv: Env}} options counted from 1; further settings
 * @returns {Promise<SignalNode>}
 */
export async function startNode(group, programs, shared, { number, nodeEnv, credentialsEnv }) {
  const name = `node-${number}`;
  const credentials = await startCredentials(group, programs.credentials, shared, { number, env: credentialsEnv });
  const env = {
    SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_BACKEND: "redis",
    SIGNAL_NODE_REDIS_URL_FILE: shared.redisUrlFile,
    SIGNAL_NODE_JWT_SECRET_FILE: shared.jwtSecretFile,
    SIGNAL_NODE_CREDENTIALS_URL: `unix:${credentials.socket}`,
    SIGNAL_NODE_TRUSTED_PROXIES: `${LOOPBACK}/32`,
    SIGNAL_NODE_REGION_HEADER: COUNTRY_HEADER,
    // Nobody has to notice that a node goes: the balancer goes first.
    SIGNAL_NODE_DRAIN_DELAY: "0s",
    SIGNAL_NODE_DRAIN_DEADLINE: "2s",
    ...nodeEnv,
  };
  const begin = (/** @type {Env} */ addresses) => startService(group, { name, program: programs.node, env: { ...env, ...addresses } });
  const { child, ready } = await begin({});
  const restart = async () => {
    const again = await begin({ SIGNAL_NODE_LISTEN: ready.public, SIGNAL_NODE_ADMIN_LISTEN: ready.admin });
    node.process = again.child;
  };
  const node = { name, origin: `http://${ready.public}`, admin: `http://${ready.admin}`, process: child, restart, credentials };
  return node;
}

/**
 * @param {Group} group
 * @param {string} program
 * @param {Shared} shared
 * @param {{number: number, env: Env}} options
 * @returns {Promise<CredentialService>}
 */
async function startCredentials(group, program, shared, { number, env }) {
  const name = `credentials-${number}`;
  const socket = join(group.dir, `${name}.sock`);
  const { child, ready } = await startService(group, {
    name,
    program,
    env: {
      TURN_CRED_LISTEN: `${LOOPBACK}:0`,
      TURN_CRED_ADMIN_LISTEN: `${LOOPBACK}:0`,
      TURN_CRED_INTERNAL_LISTEN: `unix:${socket}`,
      TURN_CRED_CONFIG: shared.relaysFile,
      ...shared.secrets,
      TURN_CRED_JWT_SECRET_FILE: shared.jwtSecretFile,
      TURN_CRED_TTL: shared.ttl,
      ...env,
    },
  });
  return { origin: `http://${ready.public}`, admin: `http://${ready.admin}`, socket, process: child };
}

/**
 * Starts a program of this repository and returns once it has said where it listens.
 * @param {Group} group
 * @param {{name: string, program: string, env: Env}} what
 * @returns {Promise<{child: Child, ready: Record<string, string>}>}
 */
export function startService(group, what) {
  return group.start(what, (child) => child.announcement((line) => line.event === "listening"));
}
