import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { LOOPBACK, findPort, onFreePort } from "./ports.js";
import { fillIn } from "./templates.js";

/**
 * haproxy, the balancer in front of the nodes.
 *
 * @typedef {object} Balancer
 * @property {string} origin
 * @property {Record<string, string>} origins by country: where the balancer says that people come from there
 * @property {import("./processes.js").Child} process
 * @property {(name: string) => Promise<void>} sends returns once new connections may go to that node
 */

/** HAProxy's manual, "show servers state": the columns of a server's name and state, and the state of one that is up. */
const [NAME, STATE, UP] = [3, 5, "2"];

/** What nodes are told a caller's country by. */
export const COUNTRY_HEADER = "X-Client-Country";

/** How long one request is waited for (ms). */
const ANSWER_WITHIN = 1_000;

/**
 * Starts haproxy and returns once the demo page comes through it.
 * @param {import("./processes.js").Group} group
 * @param {string} program
 * @param {import("./services.js").SignalNode[]} nodes
 * @param {string[]} [countries] as two letters
 * @returns {Promise<Balancer>}
 */
export function startHaproxy(group, program, nodes, countries = []) {
  const servers = nodes.map(({ name, origin, admin }) => `    server ${name} ${new URL(origin).host} port ${new URL(admin).port}`).join("\n");
  const socket = join(group.dir, "haproxy.sock");
  return onFreePort(async (port) => {
    const doors = await Promise.all(countries.map(async (country) => ({ country, port: await findPort() })));
    const words = { port, servers, socket, header: COUNTRY_HEADER, countries: doors.map(door).join("\n") };
    const config = group.write("haproxy.cfg", fillIn("haproxy/local.cfg", words));
    const originAt = (/** @type {number} */ at) => `http://${LOOPBACK}:${at}`;
    const origin = originAt(port);
    const origins = Object.fromEntries(doors.map((at) => [at.country, originAt(at.port)]));
    // -db: stay in the foreground.
    const { child } = await group.start({ name: "haproxy", program, args: ["-db", "-f", config] }, (starting) => starting.ready(() => answers(origin)));
    return { origin, origins, process: child, sends: (name) => child.ready(() => isUp(socket, name)) };
  });
}

/** Lines of haproxy.cfg: who comes in here is in that country. @param {{country: string, port: number}} door */
function door({ country, port }) {
  return `    bind ${LOOPBACK}:${port}\n    http-request set-header ${COUNTRY_HEADER} ${country} if { dst_port ${port} }`;
}

/** @param {string} origin */
async function answers(origin) {
  try {
    const { ok } = await fetch(origin, { signal: AbortSignal.timeout(ANSWER_WITHIN) });
    return ok;
  } catch {
    return false;
  }
}

/** @param {string} socket @param {string} name */
async function isUp(socket, name) {
  const question = connect(socket);
  question.write("show servers state nodes\n");
  const servers = (await text(question).catch(() => "")).split("\n").map((line) => line.split(" "));
  return servers.some((server) => server[NAME] === name && server[STATE] === UP);
}
