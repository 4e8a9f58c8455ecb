import { connect } from "node:net";
import { randomBytes } from "node:crypto";
import { LOOPBACK, onFreePort } from "./ports.js";
import { fillIn } from "./templates.js";

/**
 * Redis, where rooms are kept, and where coturn can keep its secrets.
 *
 * @typedef {object} Redis
 * @property {number} port
 * @property {string} password
 * @property {string} url holds the password: to be handed on in a file
 * @property {import("./processes.js").Child} process the newest one
 * @property {() => Promise<void>} restart starts it empty on the same port, once its process has ended
 */

/** How long one PING is waited for (ms). */
const ANSWER_WITHIN = 500;

/**
 * Starts Redis and returns once it answers a PING.
 * @param {import("./processes.js").Group} group
 * @param {string} program
 * @param {string} name of the process, its configuration and its log
 * @returns {Promise<Redis>}
 */
export function startRedis(group, program, name) {
  const password = randomBytes(24).toString("hex");
  return onFreePort(async (port) => {
    const config = group.write(`${name}.conf`, fillIn("redis/local.conf", { port, password, dir: group.dir }));
    const begin = () => group.start({ name, program, args: [config] }, (starting) => starting.ready(() => ping(port, password)));
    const { child } = await begin();
    const restart = async () => {
      redis.process = (await begin()).child;
    };
    const redis = { port, password, url: `redis://:${password}@${LOOPBACK}:${port}`, process: child, restart };
    return redis;
  });
}

/** Whether it answers who knows this password, or a user and one. @param {number} port @param {string} password @param {string} [host] @returns {Promise<boolean>} */
export function ping(port, password, host = LOOPBACK) {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: ANSWER_WITHIN });
    const end = (/** @type {boolean} */ answered) => {
      socket.destroy();
      resolve(answered);
    };
    let heard = "";
    socket.on("connect", () => socket.write(`AUTH ${password}\r\nPING\r\n`));
    socket.on("data", (data) => {
      heard += data;
      if (heard === "+OK\r\n+PONG\r\n") end(true);
      else if (heard.startsWith("-")) end(false);
    });
    socket.on("error", () => end(false));
    socket.on("timeout", () => end(false));
  });
}
