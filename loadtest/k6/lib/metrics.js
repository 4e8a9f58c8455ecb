import { Counter, Gauge, Rate, Trend } from "k6/metrics";

/** Everything that is measured. Trends are in milliseconds. */

const trend = (name) => new Trend(name, true);

/** From opening the socket to `welcome`. */
export const connect = trend("sig_connect");
/** Whether k6 dropped a `welcome`, so that the socket was opened again: see `socket.js`. */
export const unheard = new Rate("sig_unheard");
/** From `join` to `joined`. */
export const join = trend("sig_join");
/** From saying to hearing, both in this process, so one clock. Resends included. */
export const deliver = trend("sig_deliver");
/** From losing a socket to `joined` on the next one. */
export const resume = trend("sig_resume");
/** From the offer to the answer and all candidates of both sides. */
export const callSetup = trend("sig_call_setup");
/** From `ping` to `pong`. */
export const pong = trend("sig_pong");

/** Numbered signals that arrived, once each. */
export const delivered = new Counter("sig_delivered");
export const lost = new Counter("sig_lost");
export const duplicated = new Counter("sig_dup");
export const reordered = new Counter("sig_reorder");

/** Whether a room had members on more than one node at its end. */
export const across = new Rate("sig_across");
/** Members who stayed to the end of what they were there for. */
export const sessions = new Counter("sig_sessions");
/** Sockets that ended without having been asked to, by `code`. */
export const closed = new Counter("sig_closed");
/** Returns after a lost socket or a `goaway`, by `recovery` and `why`. */
export const resumed = new Counter("sig_resumed");
/** Returns that found the membership gone. */
export const forgotten = new Counter("sig_forgotten");
/** Times a member saw another one away. */
export const away = new Counter("sig_away");
/** `reset` frames: Redis lost something. */
export const resets = new Counter("sig_resets");
/** `error` frames that no script asked for, by `code`. */
export const errors = new Counter("sig_errors");
/** Attempts to open a socket or to join that failed. */
export const refused = new Counter("sig_refused");
/** Whether a limit, a refusal or a piece of news was as the protocol promises, by `case`. */
export const checks = new Rate("sig_checks");
/** How many of them were looked at. */
export const checked = new Counter("sig_checked");
/** Whether ICE servers were right, and how long they took. */
export const iceOk = new Rate("sig_ice_ok");
export const iceTime = trend("sig_ice");
export const iceServers = new Counter("sig_ice_servers");

/** Counters that thresholds want to see at zero exist in every run, so that a zero is a measured one. */
export function beginAtZero() {
  for (const counter of [delivered, lost, duplicated, reordered, closed, forgotten, away, resets, errors, refused]) counter.add(0);
}
/** Whether a good client got in while others came too. */
export const joinOk = new Rate("sig_join_ok");
/** How many times longer than before the attack getting in takes during it, as p99. */
export const slowdown = new Gauge("sig_slowdown");
/** How many times the memory it had before a node takes during the attack. */
export const growth = new Gauge("sig_growth");
/** Guests who came, were greeted and left. */
export const visits = new Counter("sig_visits");

/** @param {boolean} held @param {string} promise */
export function check(held, promise) {
  checks.add(held, { case: promise });
  checked.add(1);
  if (!held) console.error(`not so: ${promise}`);
}
