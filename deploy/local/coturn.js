import { createHmac, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { LOOPBACK, onFreePort } from "./ports.js";
import { fillIn } from "./templates.js";

/**
 * coturn, the relay, on loopback and for loopback.
 *
 * @typedef {object} Turn
 * @property {number} port
 * @property {string} url for an RTCIceServer
 * @property {import("./processes.js").Child} process the newest one
 * @property {() => Promise<void>} restart starts the relay on the same port, once its process has ended
 * @property {(subject: string, options: {ttl: number, secret?: string}) => {username: string, credential: string}} credential
 *   makes what the credential service makes; `ttl` in seconds and below zero for one that has expired
 */

/** How long one STUN request is waited for (ms). */
const ANSWER_WITHIN = 500;

const REALM = "local.test";

/** RFC 8489, section 5: message types and the fixed word of every header. */
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const MAGIC_COOKIE = 0x2112a442;

/**
 * Starts coturn and returns once it answers a STUN Binding request.
 * @param {import("./processes.js").Group} group
 * @param {string} program
 * @param {string} secret shared with the credential services
 * @returns {Promise<Turn>}
 */
export function startCoturn(group, program, secret) {
  return onFreePort(async (port) => {
    const config = group.write("coturn.conf", fillIn("coturn/local.conf", { port, secret, realm: REALM, dir: group.dir }));
    const begin = () => group.start({ name: "coturn", program, args: ["-c", config] }, (starting) => starting.ready(() => bind(port)));
    const { child } = await begin();
    const restart = async () => void (turn.process = (await begin()).child);
    const url = `turn:${LOOPBACK}:${port}?transport=udp`;
    /** @type {Turn} */
    const turn = { port, url, process: child, restart, credential: (subject, options) => credential(subject, { secret, ...options }) };
    return turn;
  });
}

/** @param {string} subject @param {{ttl: number, secret: string}} options */
function credential(subject, { ttl, secret }) {
  const username = `${Math.floor(Date.now() / 1000) + ttl}:${subject}`;
  return { username, credential: createHmac("sha1", secret).update(username).digest("base64") };
}

/** @param {number} port @returns {Promise<boolean>} */
function bind(port) {
  return new Promise((resolve) => {
    const request = bindingRequest();
    const socket = createSocket("udp4");
    const end = (/** @type {boolean} */ answered) => {
      clearTimeout(timer);
      socket.close();
      resolve(answered);
    };
    const timer = setTimeout(() => end(false), ANSWER_WITHIN);
    socket.on("error", () => end(false)); // ICMP: nobody listens there yet
    socket.on("message", (answer) => end(answer.readUInt16BE(0) === BINDING_SUCCESS && answer.subarray(4, 20).equals(request.subarray(4))));
    socket.connect(port, LOOPBACK, () => socket.send(request));
  });
}

/** A header without attributes: type, length, cookie, transaction. */
function bindingRequest() {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(BINDING_REQUEST, 0);
  header.writeUInt32BE(MAGIC_COOKIE, 4);
  return Buffer.concat([header, randomBytes(12)]);
}
