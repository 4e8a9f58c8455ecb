import { createHmac, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { join } from "node:path";
import { LOOPBACK, onFreePort } from "./ports.js";
import { parseKeys } from "./keys.js";
import { fillIn } from "./templates.js";

/**
 * coturn, the relay, on loopback and for loopback.
 *
 * @typedef {object} Turn
 * @property {string} region
 * @property {number} port
 * @property {string} url for an RTCIceServer
 * @property {import("./processes.js").Child} process the newest one
 * @property {() => Promise<void>} restart starts the relay on the same port, once its process has ended
 *
 * @typedef {{secret: string} | {redis: import("./redis.js").Redis} | {user: string, password: string}} Admission
 *   who may use a relay: holders of credentials signed with a secret, or with one of those in Redis, which may change;
 *   or whoever knows a password that never does
 */

/** How long one STUN request is waited for (ms). */
const ANSWER_WITHIN = 500;

export const REALM = "local.test";

/** RFC 8489, section 5: message types and the fixed word of every header. */
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const MAGIC_COOKIE = 0x2112a442;

/**
 * Starts coturn and returns once it answers a STUN Binding request.
 * @param {import("./processes.js").Group} group
 * @param {string} program
 * @param {{region: string, admission: Admission}} options
 * @returns {Promise<Turn>}
 */
export function startCoturn(group, program, { region, admission }) {
  const name = `coturn-${region}`;
  return onFreePort(async (port) => {
    const words = { port, name, admission: admissionLines(admission, join(group.dir, `${name}.db`)), realm: REALM, dir: group.dir };
    const config = group.write(`${name}.conf`, fillIn("coturn/local.conf", words));
    const begin = () => group.start({ name, program, args: ["-c", config] }, (starting) => starting.ready(() => bind(port)));
    const { child } = await begin();
    const restart = async () => void (turn.process = (await begin()).child);
    const url = `turn:${LOOPBACK}:${port}?transport=udp`;
    /** @type {Turn} */
    const turn = { region, port, url, process: child, restart };
    return turn;
  });
}

/**
 * Makes what the credential service makes.
 * @param {string} secret
 * @param {string} subject
 * @param {number} ttl in seconds, below zero for a credential that has expired
 */
export function signCredential(secret, subject, ttl) {
  const username = `${Math.floor(Date.now() / 1000) + ttl}:${subject}`;
  return { username, credential: createHmac("sha1", secret).update(username).digest("base64") };
}

/** Lines of coturn.conf. @param {Admission} admission @param {string} db a file that coturn makes and we leave empty */
function admissionLines(admission, db) {
  if ("user" in admission) return `lt-cred-mech\nuser=${admission.user}:${admission.password}\nuserdb=${db}`;
  if ("secret" in admission) return `use-auth-secret\n${parseKeys(admission.secret).map((key) => `static-auth-secret=${key}`).join("\n")}\nuserdb=${db}`;
  const { port, password } = admission.redis;
  return `use-auth-secret\nredis-userdb="ip=${LOOPBACK} port=${port} password=${password} dbname=0 connect_timeout=3"`;
}

/** Whether a server answers a STUN Binding request. @param {number} port @param {string} [host] @returns {Promise<boolean>} */
export function bind(port, host = LOOPBACK) {
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
    socket.connect(port, host, () => socket.send(request));
  });
}

/** A header without attributes: type, length, cookie, transaction. */
function bindingRequest() {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(BINDING_REQUEST, 0);
  header.writeUInt32BE(MAGIC_COOKIE, 4);
  return Buffer.concat([header, randomBytes(12)]);
}
