/**
 * What the address of the page says, and the address to hand on.
 *
 * @typedef {{room: string, name: string, auto: boolean, relay: boolean, pattern: boolean, token: string | undefined}} Params
 */

const NAME_KEY = "signal-cluster-demo:name";

/**
 * Reads `?room=&name=&auto=1&relay=1&pattern=1#token=…` and removes the token from the address bar,
 * so that it is not copied, bookmarked or seen over a shoulder.
 * @returns {Params}
 */
export function readParams() {
  const query = new URLSearchParams(location.search);
  const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? undefined;
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  const flag = (/** @type {string} */ name) => query.get(name) === "1";
  return {
    room: query.get("room") ?? "demo",
    name: query.get("name") ?? remembered(),
    auto: flag("auto"),
    relay: flag("relay"),
    pattern: flag("pattern"),
    token,
  };
}

/** Returns the address that brings somebody else into the room: no name, no token. @param {string} room */
export function inviteLink(room) {
  return `${location.origin}/?room=${encodeURIComponent(room)}`;
}

/** Keeps the name for the next visit, where the browser lets us. @param {string} name */
export function remember(name) {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // Storage is a convenience here; without it the field starts empty.
  }
}

function remembered() {
  try {
    return localStorage.getItem(NAME_KEY) ?? "";
  } catch {
    return "";
  }
}
