/**
 * The wire protocol `signal.v1` as data and pure functions: what frames look like, what a close
 * code asks for, which errors are worth a retry. docs/PROTOCOL.md is its text; the golden frames
 * in crates/signal-protocol/wire keep the two and the Rust side equal.
 */

/** The WebSocket subprotocol that every connection offers and the server echoes. */
export const SUBPROTOCOL = "signal.v1";

/** What this SDK calls itself in `hello`. */
export const CLIENT_NAME = "signal-client-js/0.1";

/** How long the server may take to answer an application `ping` before the socket counts as dead (ms). */
export const PONG_WITHIN = 4000;

/** Assumed until `welcome` says otherwise: heartbeat and grace in seconds, sizes in bytes. */
export const DEFAULTS = Object.freeze({
  ping: 10,
  grace: 30,
  limits: Object.freeze({ message: 65536, rooms: 8, rate: 100, burst: 2000, unacked: 256 }),
});

/**
 * @typedef {"resume" | "token" | "stop"} CloseAction
 * @typedef {{code: number, name: string, action: CloseAction}} CloseCode
 * @typedef {{code: string, retry: boolean}} ErrorCode
 *
 * @typedef {{message: number, rooms: number, rate: number, burst: number, unacked: number, watches?: number}} Limits
 * @typedef {{id: string, n: number, user?: string, polite: boolean, away: boolean, meta: any}} Member
 * @typedef {{iceServers: RTCIceServer[], ttl: number, refreshAfter: number, enforcement?: "allocate" | "strict"}} IceConfig
 * @typedef {"new" | "replay" | "snapshot"} Recovery
 *
 * @typedef {{type: "welcome", node: string, ping: number, grace: number, features: string[], limits: Limits}} Welcome
 * @typedef {{type: "joined", id: number, room: string, seq: number, recovery: Recovery, mid: number,
 *   self: {id: string, n: number}, peers?: Member[], ice?: IceConfig | null,
 *   refused?: {mid: number, code: string, message: string}[]}} Joined
 * @typedef {{type: "peer_joined", room: string, seq: number, peer: Member}} PeerJoined
 * @typedef {{type: "peer_updated", room: string, seq: number, peer: {id: string, away?: boolean, meta?: any}}} PeerUpdated
 * @typedef {{type: "peer_left", room: string, seq: number, peer: string, reason: string}} PeerLeft
 * @typedef {{type: "signal", room: string, seq?: number, from: string, to?: string, volatile?: boolean, data: any}} Signal
 * @typedef {{type: "ack", room: string, mid: number, seq: number}} Ack
 * @typedef {{type: "left", room: string, reason: string}} Left
 * @typedef {{type: "reset", room: string, seq: number, mid: number, peers: Member[]}} Reset
 * @typedef {{type: "ice", id?: number, ice: IceConfig | null, reason: string}} Ice
 * @typedef {{id: string, state: string, since: number, meta?: any}} Device one device of a user; `since` in milliseconds since 1970
 * @typedef {{type: "online", id: number, device: string}} Online
 * @typedef {{type: "offline", reason: string}} Offline
 * @typedef {{type: "presence", user: string, state: string, since?: number, devices: Device[]}} PresenceFrame
 * @typedef {{type: "ring", call: string, from: string, room: string, within: number, data?: any}} Ring
 * @typedef {{type: "ringing", id?: number, call: string, room: string, devices: number}} Ringing
 * @typedef {{type: "call_accepted", id?: number, call: string, room: string, device: string}} CallAccepted
 * @typedef {{type: "call_ended", id?: number, call: string, reason: string}} CallEnded
 * @typedef {{type: "ok", id: number}} Ok
 * @typedef {{type: "error", id?: number, mid?: number, room?: string, user?: string, code: string, retry: boolean,
 *   message: string, after?: number, expected?: number}} ErrorFrame
 * @typedef {{type: "goaway", reason: string, after: number, within: number}} GoAway
 * @typedef {{type: "pong"}} Pong
 * @typedef {Welcome | Joined | PeerJoined | PeerUpdated | PeerLeft | Signal | Ack | Left | Reset | Ice
 *   | Online | Offline | PresenceFrame | Ring | Ringing
 *   | CallAccepted | CallEnded | Ok | ErrorFrame | GoAway | Pong} ServerFrame
 */

/** Every close code with a name of its own. @type {readonly CloseCode[]} */
export const CLOSE_CODES = Object.freeze([
  { code: 4000, name: "drain", action: "resume" },
  { code: 4001, name: "ping_timeout", action: "resume" },
  { code: 4002, name: "slow_consumer", action: "resume" },
  { code: 4003, name: "unavailable", action: "resume" },
  { code: 4004, name: "rate_limit", action: "resume" },
  { code: 4100, name: "unauthorized", action: "token" },
  { code: 4101, name: "token_expired", action: "token" },
  { code: 4200, name: "protocol_error", action: "stop" },
  { code: 4201, name: "hello_timeout", action: "stop" },
  { code: 4202, name: "replaced", action: "stop" },
  { code: 4203, name: "kicked", action: "stop" },
  { code: 4204, name: "origin_refused", action: "stop" },
]);

/** What the WebSocket layer closes with when the same bytes would fail again. */
const TERMINAL_STANDARD_CODES = new Set([1002, 1003, 1007, 1009]);

/** Every code an `error` frame may carry. @type {readonly ErrorCode[]} */
export const ERRORS = Object.freeze([
  { code: "bad_request", retry: false },
  { code: "unsupported", retry: false },
  { code: "unauthorized", retry: false },
  { code: "token_expired", retry: false },
  { code: "forbidden", retry: false },
  { code: "not_joined", retry: false },
  { code: "already_joined", retry: false },
  { code: "room_full", retry: false },
  { code: "room_locked", retry: false },
  { code: "peer_not_found", retry: false },
  { code: "too_large", retry: false },
  { code: "limit_exceeded", retry: false },
  { code: "out_of_order", retry: true },
  { code: "rate_limited", retry: true },
  { code: "unavailable", retry: true },
  { code: "internal", retry: true },
]);

/**
 * Returns what a client does after a close: the range is the instruction, so codes that do not
 * exist yet are understood too.
 * @param {number} code
 * @returns {CloseAction}
 */
export function closeAction(code) {
  if (TERMINAL_STANDARD_CODES.has(code)) return "stop";
  if (code >= 4100 && code < 4200) return "token";
  if (code >= 4200 && code < 4300) return "stop";
  return "resume";
}

/**
 * Builders of the frames a client sends: they pick the protocol's fields in the protocol's order
 * and leave out what is undefined.
 * @type {Readonly<Record<string, (fields: Record<string, any>) => Record<string, any>>>}
 */
export const build = Object.freeze({
  hello: fields("hello", ["token", "client"]),
  join: fields("join", ["id", "room", "key", "try", "seq", "mid", "meta", "call"]),
  signal: fields("signal", ["mid", "room", "to", "volatile", "data"]),
  update: fields("update", ["mid", "room", "meta"]),
  leave: fields("leave", ["id", "room"]),
  ice: fields("ice", ["id"]),
  auth: fields("auth", ["id", "token"]),
  kick: fields("kick", ["id", "room", "peer", "ban"]),
  report: fields("report", ["room", "peer", "at", "call", "media"]),
  online: fields("online", ["id", "device", "try", "state", "meta", "resume"]),
  offline: fields("offline", ["id"]),
  watch: fields("watch", ["id", "users"]),
  unwatch: fields("unwatch", ["id", "users"]),
  call: fields("call", ["id", "to", "call", "room", "timeout", "data"]),
  accept: fields("accept", ["id", "call"]),
  decline: fields("decline", ["id", "call"]),
  cancel: fields("cancel", ["id", "to", "call"]),
  ping: fields("ping", []),
});

/**
 * @param {string} type
 * @param {string[]} names
 * @returns {(values: Record<string, any>) => Record<string, any>}
 */
function fields(type, names) {
  return (values) => {
    /** @type {Record<string, any>} */
    const frame = { type };
    for (const name of names) if (values[name] !== undefined) frame[name] = values[name];
    return frame;
  };
}

/**
 * What the SDK relies on in each frame; a frame without it is ignored like an unknown type.
 * @type {Readonly<Record<string, Readonly<Record<string, string>>>>}
 */
const REQUIRED = Object.freeze({
  welcome: { ping: "number", limits: "object" },
  joined: { id: "number", room: "string", seq: "number", recovery: "string", mid: "number", self: "object" },
  peer_joined: { room: "string", seq: "number", peer: "object" },
  peer_updated: { room: "string", seq: "number", peer: "object" },
  peer_left: { room: "string", seq: "number", peer: "string" },
  signal: { room: "string", from: "string" },
  ack: { room: "string", mid: "number", seq: "number" },
  left: { room: "string", reason: "string" },
  reset: { room: "string", seq: "number", mid: "number", peers: "object" },
  ice: { ice: "object" },
  online: { id: "number", device: "string" },
  offline: { reason: "string" },
  presence: { user: "string", state: "string", devices: "object" },
  ring: { call: "string", from: "string", room: "string" },
  ringing: { call: "string", room: "string", devices: "number" },
  call_accepted: { call: "string", room: "string", device: "string" },
  call_ended: { call: "string", reason: "string" },
  ok: { id: "number" },
  error: { code: "string" },
  goaway: { after: "number" },
  pong: {},
});

/**
 * Reads one text frame. Returns null for what a newer server may send and this SDK does not know.
 * @param {string} text
 * @returns {ServerFrame | null}
 */
export function parse(text) {
  const frame = json(text);
  if (frame === null || typeof frame !== "object" || !Object.hasOwn(REQUIRED, frame.type)) return null;
  const required = Object.entries(REQUIRED[frame.type]);
  return required.every(([name, type]) => typeof frame[name] === type) ? frame : null;
}

/** @param {string} text */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** An `error` frame, or a condition like one, as an exception. */
export class SignalError extends Error {
  /**
   * @param {{code: string, message?: string, retry?: boolean, after?: number}} frame `after` in milliseconds
   */
  constructor({ code, message, retry = false, after }) {
    super(message ? `${code}: ${message}` : code);
    this.name = "SignalError";
    /** The protocol's error code. */
    this.code = code;
    /** What the server said, for a developer; empty if it said nothing. */
    this.detail = message ?? "";
    /** Whether the same request may succeed later. */
    this.retry = retry;
    /** How long to wait before that, in milliseconds, if the server said so. */
    this.after = after;
  }
}
