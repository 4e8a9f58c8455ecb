import { connect } from "node:net";
import { join } from "node:path";
import { LOOPBACK, onFreePort } from "../../deploy/local/ports.js";
import { REALM } from "../../deploy/local/coturn.js";
import { fillIn } from "../../deploy/local/templates.js";
import { findOnPath } from "../../deploy/local/tools.js";

/** Relays with something wrong in their configuration, or in their network. */

const USER = { username: "ana", credential: "wonderland" };

/**
 * Starts coturn with further lines of configuration, for the user `ana`.
 * @param {import("../../deploy/local/processes.js").Group} group
 * @param {string} name
 * @param {string} [lines]
 * @returns {Promise<{port: number, host: string, servers: (...transports: string[]) => RTCIceServer[]}>} `servers` for these transports
 */
export function startRelay(group, name, lines = "") {
  return onFreePort(async (port) => {
    const admission = `lt-cred-mech\nuser=${USER.username}:${USER.credential}\nuserdb=${join(group.dir, `${name}.db`)}\n${lines}`;
    const config = group.write(`${name}.conf`, fillIn("coturn/local.conf", { port, name, admission, realm: REALM, dir: group.dir }));
    await group.start({ name, program: findOnPath("turnserver") ?? "turnserver", args: ["-c", config] }, (starting) => starting.ready(() => accepts(port)));
    return { port, host: `${LOOPBACK}:${port}`, servers: (...transports) => serversAt(port, ...transports) };
  });
}

/** The ICE servers of a relay at a port, by transport. @param {number} port @param {string[]} transports @returns {RTCIceServer[]} */
export function serversAt(port, ...transports) {
  return [{ urls: transports.map((transport) => `turn:${LOOPBACK}:${port}?transport=${transport}`), ...USER }];
}

/** Whether something accepts TCP there. @param {number} port @returns {Promise<boolean>} */
function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, LOOPBACK, () => socket.end(() => resolve(true)));
    socket.on("error", () => resolve(false));
  });
}
