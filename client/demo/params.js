/**
 * What the address of the page says, and the address to hand on.
 *
 * @typedef {{room: string, name: string, auto: boolean, relay: boolean, pattern: boolean, token: string | undefined}} Params
 */

const NAME_KEY = "signal-cluster-demo:name";

/** In sessionStorage, so it is this tab's alone: the call that a reload goes on with. */
const CALL_KEY = "signal-cluster-demo:call";

/**
 * Reads `?room=&name=&auto=1&relay=1&pattern=1#token=…` and removes the token from the address bar, so that it is not
 * copied, bookmarked or seen over a shoulder. A startup token stays there: a reload and a second tab need it.
 * @returns {Params}
 */
export function readParams() {
  const query = new URLSearchParams(location.search);
  const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? undefined;
  if (location.hash) history.replaceState(null, "", location.pathname + location.search + shareable(token));
  const flag = (/** @type {string} */ name) => query.get(name) === "1";
  const call = runningCall();
  if (token === undefined && call !== null && call.room === query.get("room")) return { ...call, auto: true };
  return {
    room: query.get("room") ?? "demo",
    name: query.get("name") ?? remembered(),
    // A link turns on no camera: without a click only a call that this tab was in goes on, or the test picture.
    auto: flag("auto") && flag("pattern"),
    relay: flag("relay"),
    pattern: flag("pattern"),
    token,
  };
}

/** Keeps the call this tab is in, so that a reload goes on with it. @param {Omit<Params, "auto">} call */
export function keepCall(call) {
  store(() => sessionStorage.setItem(CALL_KEY, JSON.stringify(call)));
}

/** The call is over: a reload shows the lobby. */
export function forgetCall() {
  store(() => sessionStorage.removeItem(CALL_KEY));
}

/** @returns {Omit<Params, "auto"> | null} */
function runningCall() {
  return store(() => JSON.parse(sessionStorage.getItem(CALL_KEY) ?? "null")) ?? null;
}

/**
 * Returns the address that brings somebody else into the room: no name, and no token of a person.
 * @param {string} room
 * @param {string} [token] of this page
 */
export function inviteLink(room, token) {
  return `${location.origin}${location.pathname}?room=${encodeURIComponent(room)}${shareable(token)}`;
}

/**
 * Returns the fragment of an address that others may have: a node without keys prints one startup token for all, and that
 * is no JWT, which has dots.
 * @param {string | undefined} token
 */
export function shareable(token) {
  return token && !token.includes(".") ? `#token=${encodeURIComponent(token)}` : "";
}

/** Keeps the name for the next visit, where the browser lets us. @param {string} name */
export function remember(name) {
  store(() => localStorage.setItem(NAME_KEY, name));
}

function remembered() {
  return store(() => localStorage.getItem(NAME_KEY)) ?? "";
}

/**
 * Storage is a convenience here: where the browser does not allow it, nothing is kept.
 * @template T
 * @param {() => T} use
 */
function store(use) {
  try {
    return use();
  } catch {
    return undefined;
  }
}
