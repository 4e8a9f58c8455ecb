import { connect } from "node:net";
import { setMaxListeners } from "node:events";
import { setTimeout as pause } from "node:timers/promises";

/**
 * Connections without a valid token that try to keep others out, all from one address: they show wrong tokens as fast as
 * those are refused, send bodies and headers byte by byte, and upgrade and then say nothing. Whatever is closed comes
 * back. k6 can do none of that.
 *
 * @typedef {{origin: string, text: string, drip?: string, again?: boolean, pause: number}} Plan what is sent at once; what
 *   is sent again and again after it; whether the request is repeated over the same connection; how long a connection
 *   that ended stays away (ms)
 */

/** The address they come from, which no good client has. */
const FROM = "127.0.0.2";

/** How often those who are slow send something (ms). */
const DRIP_EVERY = 500;

/** Pauses of those who show tokens, and of those who want to stay (ms). */
const [HURRY, RETURN] = [10, 3_000];

const UPGRADE = "GET /v1/ws HTTP/1.1\r\nHost: load\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: signal.v1\r\n";

const FORM = "POST /turn HTTP/1.1\r\nHost: load\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4000\r\n\r\n";

/** How many of each kind there are for a service; the silent ones are more than a node may have connections. */
const [TOKENS, SLOW, SILENT] = [4, 30, 400];

/** @param {string} origin of a node @returns {Plan[]} */
function againstNode(origin) {
  const tokens = { origin, text: `${UPGRADE}Authorization: Bearer e30.e30.e30\r\n\r\n`, again: true, pause: HURRY };
  const headers = { origin, text: UPGRADE, drip: "x-slow: 1\r\n", pause: RETURN };
  const silent = { origin, text: `${UPGRADE}\r\n`, pause: RETURN };
  return [...Array(TOKENS).fill(tokens), ...Array(SLOW).fill(headers), ...Array(SILENT).fill(silent)];
}

/** @param {string} origin of a credential service @returns {Plan[]} */
function againstCredentials(origin) {
  return Array(SLOW).fill({ origin, text: FORM, drip: "x", pause: RETURN });
}

/**
 * Starts them all.
 * @param {{nodes: string[], credentials: string[]}} targets origins
 */
export function startStrangers({ nodes, credentials }) {
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  /** @type {Record<string, number>} */
  const answers = {};
  const heard = (/** @type {Buffer} */ bytes) => {
    const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(bytes.toString("latin1", 0, 12)) ?? [];
    if (status) answers[status] = (answers[status] ?? 0) + 1;
  };
  const plans = [...nodes.flatMap(againstNode), ...credentials.flatMap(againstCredentials)];
  const all = plans.map((plan) => comeBack(plan, over.signal, heard));
  const stop = async () => {
    over.abort();
    await Promise.all(all);
    return answers;
  };
  return { stop };
}

/** @param {Plan} plan @param {AbortSignal} over @param {(bytes: Buffer) => void} heard */
async function comeBack(plan, over, heard) {
  while (!over.aborted) {
    await visit(plan, over, heard);
    await pause(plan.pause * (0.5 + Math.random()), null, { signal: over }).catch(() => {});
  }
}

/** One connection, until one of the two sides ends it. @param {Plan} plan @param {AbortSignal} over @param {(bytes: Buffer) => void} heard */
function visit({ origin, text, drip, again }, over, heard) {
  const { hostname, port } = new URL(origin);
  return new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    const socket = connect({ host: hostname, port: Number(port), localAddress: FROM });
    const dripping = setInterval(() => drip && socket.write(drip), DRIP_EVERY);
    const end = () => socket.destroy();
    over.addEventListener("abort", end, { once: true });
    socket.on("connect", () => socket.write(text));
    socket.on("data", (bytes) => {
      heard(bytes);
      if (again) socket.write(text);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearInterval(dripping);
      over.removeEventListener("abort", end);
      resolve();
    });
  });
}
