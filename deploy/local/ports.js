import { createServer } from "node:net";
import { createSocket } from "node:dgram";

/**
 * Ports for programs that cannot choose one themselves. Between finding a port and using it somebody
 * else may take it, so whoever starts such a program tries again on another.
 */

/** All of a cluster is on this address. */
export const LOOPBACK = "127.0.0.1";

/** How often a program is tried on a new port. */
const ATTEMPTS = 3;

/** How many ports are looked at for one that is free for both protocols. */
const SEARCHES = 20;

/** Returns a port that was free for TCP and UDP a moment ago. @returns {Promise<number>} */
export async function findPort() {
  for (let searched = 0; searched < SEARCHES; searched += 1) {
    const port = await probeTcp();
    if (await isFreeForUdp(port)) return port;
  }
  throw new Error(`no port of ${LOOPBACK} is free for both TCP and UDP`);
}

/**
 * Runs `attempt` with a free port, and with others while it fails.
 * @template T
 * @param {(port: number) => Promise<T>} attempt
 * @returns {Promise<T>}
 */
export async function onFreePort(attempt) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt(await findPort());
    } catch (error) {
      if (tried === ATTEMPTS || /** @type {any} */ (error).final) throw error;
    }
  }
}

/** @returns {Promise<number>} */
function probeTcp() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, LOOPBACK, () => {
      const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

/** @param {number} port @returns {Promise<boolean>} */
function isFreeForUdp(port) {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", () => socket.close(() => resolve(false)));
    socket.bind({ port, address: LOOPBACK, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}
