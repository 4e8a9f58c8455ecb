import { RUN, URL } from "./settings.js";
import { range, until, within } from "./wait.js";
import { Socket } from "./socket.js";
import http from "k6/http";
import { mintToken, newKey } from "./tokens.js";

/**
 * What a client must not do, and what comes of it: docs/PROTOCOL.md, sections 2, 10, 11 and 12. Each case is a
 * sentence and a function that says whether it is true.
 */

/** The upgrade of RFC 6455, section 4.1; k6's WebSocket does not tell with which status one was refused. */
const UPGRADE = {
  "Connection": "Upgrade",
  "Upgrade": "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Protocol": "signal.v1",
};

/** How long a node may take to end what is against the rules: ten seconds of excess, and a slow machine (ms). */
const ENDS_WITHIN = 40_000;

/** Connections of one address that are opened in a row, at most, until one is refused. */
const MOST_CONNECTIONS = 2_000;

const KILO = 1024;

/** Refusals before the upgrade. */
export const atOnce = {
  "no signal.v1 among the subprotocols: 400": () => knock({ "Sec-WebSocket-Protocol": "chat" }).status === 400,
  "a token in the URL: 400": () => knock({}, "?token=x").status === 400,
  "a bad token in the header: 401": () => knock({ Authorization: "Bearer e30.e30.e30" }).status === 401,
};

/** What ends a connection. */
export const inTime = {
  "a forged token: 4100": async () => (await strike(() => {}, { token: mintToken({ sub: "m", secret: "not our key" }) })).code === 4100,
  "a token that has ended: 4101": async () => (await strike(() => {}, { token: mintToken({ sub: "m", ttl: -60 }) })).code === 4101,
  "a page of a foreign origin: 4204": async () => (await strike(() => {}, { ...good(), origin: "https://evil.example" })).code === 4204,
  "no hello: 4201": async () => (await strike(() => {}, {})).code === 4201,
  "a frame that is too large: 1009": async () => (await strike(({ send }) => send("x".repeat(70 * KILO)), good())).code === 1009,
  "a frame that is not JSON: bad_request": async () => (await strike(({ send }) => send("}{"), { ...good(), stop: "bad_request" })).errors.includes("bad_request"),
  "a room the token does not open: forbidden": async () => {
    const join = JSON.stringify({ type: "join", id: 1, room: "someone-elses", key: newKey(), try: 1 });
    return (await strike(({ send }) => send(join), { ...good(), stop: "forbidden" })).errors.includes("forbidden");
  },
  "too fast for ten seconds: rate_limited, then 4004": async () => {
    const { code, errors } = await strike(flood, good());
    return errors.includes("rate_limited") && code === 4004;
  },
};

/** What would keep others out. */
export const alone = {
  "too many connections of one address: 429 with Retry-After": hoard,
};

function good() {
  return { token: mintToken({ sub: "mallory", room: `${RUN}-mallory` }) };
}

/** Asks for an upgrade that will be refused. @param {object} headers */
function knock(headers, query = "") {
  return http.get(URL.replace(/^ws/, "http") + query, { headers: { ...UPGRADE, ...headers } });
}

/**
 * Opens a socket, does something, and waits for its end, or for the error it is to `stop` at.
 * @param {(socket: {send: (text: string) => void, isOver: () => boolean, isLimited: () => boolean}) => void} act once it is open
 * @param {{token?: string, origin?: string, stop?: string}} options
 */
async function strike(act, { token, origin, stop }) {
  const seen = { code: null, errors: [] };
  const isOver = () => seen.code !== null || seen.errors.includes(stop);
  const isLimited = () => seen.errors.includes("rate_limited");
  const socket = new Socket({
    url: URL,
    token,
    origin,
    heard: (frame) => frame.type === "error" && seen.errors.push(frame.code),
    ended: (code) => (seen.code = code),
  });
  socket.welcome.then(() => act({ send: (text) => socket.sendText(text), isOver, isLimited })).catch(() => {});
  await until(isOver, ENDS_WITHIN);
  socket.close();
  return seen;
}

/**
 * Sends without a break until it is over. Once the node refuses, bursts are small: a write of k6 that fails behind the
 * node's close frame hides the code of that frame.
 */
async function flood({ send, isOver, isLimited }) {
  while (!isOver()) {
    for (const _ of range(isLimited() ? 5 : 100)) send('{"type":"leave","id":1,"room":"nowhere"}');
    await until(isOver, 25);
  }
}

/** Opens connections until one is refused, asks why, and lets go. */
async function hoard() {
  const sockets = [];
  let refused = false;
  while (!refused && sockets.length < MOST_CONNECTIONS) {
    const socket = new Socket({ url: URL, ...good(), heard() {}, ended() {} });
    sockets.push(socket);
    refused = await within(socket.welcome, ENDS_WITHIN, "welcome").then(() => false, () => true);
  }
  const { status, headers } = refused ? knock({ Authorization: `Bearer ${good().token}` }) : { status: 0, headers: {} };
  for (const socket of sockets) socket.close();
  return status === 429 && Number(headers["Retry-After"]) > 0;
}
