import { LOOPBACK, onFreePort } from "./ports.js";
import { fillIn } from "./templates.js";

/**
 * haproxy, the balancer in front of the nodes.
 *
 * @typedef {{origin: string, process: import("./processes.js").Child}} Balancer
 */

/** How long one request is waited for (ms). */
const ANSWER_WITHIN = 1_000;

/**
 * Starts haproxy and returns once the demo page comes through it.
 * @param {import("./processes.js").Group} group
 * @param {string} program
 * @param {import("./services.js").SignalNode[]} nodes
 * @returns {Promise<Balancer>}
 */
export function startHaproxy(group, program, nodes) {
  const servers = nodes.map(({ name, origin, admin }) => `    server ${name} ${new URL(origin).host} port ${new URL(admin).port}`).join("\n");
  return onFreePort(async (port) => {
    const config = group.write("haproxy.cfg", fillIn("haproxy/local.cfg", { port, servers }));
    const origin = `http://${LOOPBACK}:${port}`;
    // -db: stay in the foreground.
    const { child } = await group.start({ name: "haproxy", program, args: ["-db", "-f", config] }, (starting) => starting.ready(() => answers(origin)));
    return { origin, process: child };
  });
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
