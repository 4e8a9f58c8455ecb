/**
 * The events of a timeline as lanes, one for each member: when it was there, when it was away, what it reported.
 *
 * @typedef {{at: number, type: string, peer?: string, about?: string, user?: string, reason?: string, resumed?: boolean, ago?: number,
 *   skew?: number, media?: string, call?: {state: string, reason?: string, [field: string]: any}}} Event
 * @typedef {{from: number, to: number, state: "here" | "away"}} Span
 * @typedef {{at: number, kind: "good" | "bad" | "other", text: string}} Mark
 * @typedef {{peer: string, name: string, spans: Span[], marks: Mark[]}} Lane
 */

/** Returns what people call each member: the subject of its token, or its id. @param {Event[]} events @returns {Map<string, string>} */
export function names(events) {
  const found = new Map();
  for (const { peer, user } of events) if (peer && (user || !found.has(peer))) found.set(peer, user ?? peer.slice(0, 8));
  return found;
}

/**
 * @param {Event[]} events in the order of their times
 * @param {number} now members that have not left are there until now
 * @returns {{from: number, to: number, lanes: Lane[]}}
 */
export function lanes(events, now) {
  const called = names(events);
  /** @type {Map<string, Lane & {since: number | null, state: Span["state"]}>} */
  const all = new Map();
  const lane = (/** @type {string} */ peer) => {
    const known = all.get(peer) ?? { peer, name: called.get(peer) ?? peer, spans: [], marks: [], since: null, state: "here" };
    all.set(peer, known);
    return known;
  };
  const change = (/** @type {string} */ peer, /** @type {number} */ at, /** @type {Span["state"] | null} */ state) => {
    const one = lane(peer);
    if (one.since !== null) one.spans.push({ from: one.since, to: at, state: one.state });
    Object.assign(one, { since: state === null ? null : at, state: state ?? one.state });
  };
  for (const event of events) {
    if (!event.peer) continue;
    if (event.type === "joined" || event.type === "back") change(event.peer, event.at, "here");
    if (event.type === "away") change(event.peer, event.at, "away");
    if (event.type === "left") change(event.peer, event.at, null);
    if (event.type === "report") lane(event.peer).marks.push({ at: event.at, kind: kind(event), text: words(event, called) });
  }
  for (const { peer, since } of all.values()) if (since !== null) change(peer, now, null);
  const from = events[0]?.at ?? now;
  return { from, to: Math.max(events.at(-1)?.at ?? now, ...[...all.values()].flatMap(({ spans }) => spans.map(({ to }) => to)), from + 1000), lanes: [...all.values()] };
}

/** @param {Event} event @returns {Mark["kind"]} */
function kind({ call, media }) {
  if (media || call?.state === "failed") return "bad";
  return call?.state === "connected" || call?.state === "recovered" ? "good" : "other";
}

/** Says what an event is. @param {Event} event @param {Map<string, string>} called */
export function words(event, called) {
  const { type, peer = "", about = "", call, media, reason, resumed } = event;
  const name = called.get(peer) ?? peer;
  switch (type) {
    case "joined": return resumed ? `${name} came back` : `${name} joined`;
    case "back": return `${name} was there all the time`;
    case "away": return `${name} is away`;
    case "left": return `${name} left (${reason})`;
    case "reset": return "the log of the room lost entries";
    case "report": return media ? `${name}: no camera or microphone (${media})` : `${name} to ${called.get(about) ?? about}: ${call?.state}${call?.reason ? ` (${call.reason})` : ""}${path(call)}`;
    default: return `${name}: ${type}`;
  }
}

/** @param {Event["call"]} call */
function path(call) {
  if (!call?.local) return "";
  const round = call.rtt === undefined ? "" : `, ${call.rtt} ms`;
  return `, ${call.local} to ${call.remote ?? "unknown"} over ${call.protocol ?? "unknown"}${round}`;
}
