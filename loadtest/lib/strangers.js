import { connect } from "node:net";
import { setMaxListeners } from "node:events";
import { setTimeout as pause } from "node:timers/promises";

/**
 * Connections without a valid token that try to keep others out. Whatever is closed comes back. k6 can do none of that. Each
 * kind comes from one address, in a network (IPv4 by /24) that nobody else is in.
 *
 * - `tokens` show wrong tokens as fast as those are refused, over a connection that is kept alive where it is;
 * - `slow` send headers or a body byte by byte;
 * - `untaken` ask on and take no answer;
 * - `idle` send nothing;
 * - `silent` upgrade and say no hello;
 * - `rebound` upgrade as pages whose name was resolved to the node;
 * - `malformed` upgrade and send frames that break RFC 6455.
 *
 * @typedef {"tokens" | "slow" | "untaken" | "idle" | "silent" | "rebound" | "malformed"} Kind
 * @typedef {{kind: Kind, origin: string, text: string | Buffer}} Plan `text` is sent at once
 */

/** How often those who are slow send something (ms). */
const DRIP_EVERY = 500;

/** How often those who take no answers ask for another one (ms). */
const ASK_EVERY = 20;

/** How long a connection that ended stays away, by kind (ms). */
const PAUSES = { tokens: 10, slow: 3_000, untaken: 3_000, idle: 3_000, silent: 3_000, rebound: 500, malformed: 500 };

/** Where each kind comes from; good clients come from 127.0.0.1. */
const ADDRESSES = { tokens: "127.0.10.1", slow: "127.0.11.1", untaken: "127.0.12.1", idle: "127.0.13.1", silent: "127.0.14.1", rebound: "127.0.15.1", malformed: "127.0.16.1" };

/** How many of each kind there are for a listener; the silent ones are more than a node may have connections. */
const COUNTS = { tokens: 2, slow: 20, untaken: 2, idle: 100, silent: 400, rebound: 2, malformed: 1 };

const WRONG = "Authorization: Bearer e30.e30.e30\r\n";

/** The first byte of a close frame of a server (RFC 6455, section 5.5.1). */
const CLOSE = 0x88;

/** No mask (RFC 6455, section 5.1), a reserved opcode (5.2), and a control frame in pieces (5.5). */
const MALFORMED = [[0x81, 0x01, 0x78], [0x83, 0x80, 0, 0, 0, 0], [0x09, 0x80, 0, 0, 0, 0]];

/** @param {string} host @param {string} [headers] */
function upgrade(host, headers = "") {
  return `GET /v1/ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: signal.v1\r\n${headers}\r\n`;
}

/** @param {string} path @param {string} [headers] */
function get(path, headers = "") {
  return `GET ${path} HTTP/1.1\r\nHost: load\r\n${headers}\r\n`;
}

/** @param {string} origin of a listener @param {[Kind, string | Buffer][]} kinds @returns {Plan[]} */
function against(origin, kinds) {
  return kinds.flatMap(([kind, text]) => Array(COUNTS[kind]).fill({ kind, origin, text }));
}

/** What comes to every listener. @type {[Kind, string][]} */
const EVERYWHERE = [["slow", "GET / HTTP/1.1\r\nHost: load\r\nx-slow: "], ["idle", ""]];

/** @param {{origin: string, admin: string}} node @returns {Plan[]} */
function againstNode({ origin, admin }) {
  const rebound = `rebound.example:${new URL(origin).port}`;
  const malformed = MALFORMED.map((frame) => /** @type {[Kind, Buffer]} */ (["malformed", Buffer.concat([Buffer.from(upgrade("load")), Buffer.from(frame)])]));
  return [
    ...against(origin, [...EVERYWHERE, ...malformed, ["tokens", upgrade("load", WRONG)], ["tokens", get("/v1/rooms/demo", WRONG)], ["silent", upgrade("load")]]),
    ...against(origin, [["untaken", get("/client/signal-client.js")], ["rebound", upgrade(rebound, `Origin: http://${rebound}\r\n`)]]),
    ...against(admin, [...EVERYWHERE, ["untaken", get("/metrics")], ["tokens", get("/v1/rooms/demo", WRONG)]]),
  ];
}

/** @param {{origin: string, admin: string}} service @returns {Plan[]} */
function againstCredentials({ origin, admin }) {
  const form = "POST /turn HTTP/1.1\r\nHost: load\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4000\r\n\r\n";
  const wrong = `POST /v1/ice-servers HTTP/1.1\r\nHost: load\r\n${WRONG}Content-Length: 2\r\n\r\n{}`;
  return [
    ...against(origin, [...EVERYWHERE, ["slow", form], ["tokens", wrong], ["untaken", get("/v1/openapi.json")]]),
    ...against(admin, [...EVERYWHERE, ["untaken", get("/metrics")]]),
  ];
}

/**
 * Starts them all.
 * @param {{nodes: {origin: string, admin: string}[], credentials: {origin: string, admin: string}[]}} targets
 */
export function startStrangers({ nodes, credentials }) {
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  /** How often there was which status, or code of a close frame. @type {Record<string, number>} */
  const answers = {};
  const heard = (/** @type {Buffer} */ bytes) => {
    for (const code of codesIn(bytes)) answers[code] = (answers[code] ?? 0) + 1;
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

/** The status that a chunk begins with, and the code of a close frame behind its headers and other short frames. @param {Buffer} bytes */
export function codesIn(bytes) {
  const [, status] = /^HTTP\/1\.1 (\d{3})/.exec(bytes.toString("latin1", 0, 12)) ?? [];
  let rest = status ? bytes.subarray(bytes.indexOf("\r\n\r\n") + 4) : bytes;
  // A server's frames have no mask; of 126 bytes or more, the length stands in the next two.
  while (rest.length > 3 && rest[0] !== CLOSE && rest[1] < 127) rest = rest.subarray(rest[1] === 126 ? 4 + rest.readUInt16BE(2) : 2 + rest[1]);
  const code = rest[0] === CLOSE && rest.length > 3 ? String(rest.readUInt16BE(2)) : undefined;
  return [status, code].filter((found) => found !== undefined);
}

/** @param {Plan} plan @param {AbortSignal} over @param {(bytes: Buffer) => void} heard */
async function comeBack(plan, over, heard) {
  // Not all in the same moment: the kernel would drop most of them before the node sees any.
  await pause(Math.random() * 1_000, null, { signal: over }).catch(() => {});
  while (!over.aborted) {
    await visit(plan, over, heard);
    await pause(PAUSES[plan.kind] * (0.5 + Math.random()), null, { signal: over }).catch(() => {});
  }
}

/** One connection, until one of the two sides ends it. @param {Plan} plan @param {AbortSignal} over @param {(bytes: Buffer) => void} heard */
function visit({ kind, origin, text }, over, heard) {
  const { hostname, port } = new URL(origin);
  return new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    const socket = connect({ host: hostname, port: Number(port), localAddress: ADDRESSES[kind] });
    const dripping = kind === "slow" ? setInterval(() => socket.write("x"), DRIP_EVERY) : null;
    const asking = kind === "untaken" ? setInterval(() => socket.writableLength === 0 && socket.write(text), ASK_EVERY) : null;
    const end = () => socket.destroy();
    over.addEventListener("abort", end, { once: true });
    socket.on("connect", () => socket.write(text));
    if (kind === "untaken") socket.pause();
    else socket.on("data", (bytes) => {
      heard(bytes);
      if (kind === "tokens") socket.write(text);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const timer of [dripping, asking]) clearInterval(timer ?? undefined);
      over.removeEventListener("abort", end);
      resolve();
    });
  });
}
