/**
 * What the host tells about its network and about being looked at: reasons to find out now whether a
 * socket still lives, or to stop waiting for the next attempt.
 */

const EVENTS = Object.freeze(["online", "offline", "visibilitychange"]);

export class NetworkWatch {
  #events;
  #heed;

  /**
   * @param {EventTarget | null} events emits `online`, `offline`, and `visibilitychange` when the page comes into view
   * @param {(change: "may be back" | "may be gone") => void} changed
   */
  constructor(events, changed) {
    this.#events = events;
    this.#heed = (/** @type {Event} */ { type }) => changed(type === "offline" ? "may be gone" : "may be back");
  }

  start() {
    for (const name of EVENTS) this.#events?.addEventListener(name, this.#heed);
  }

  stop() {
    for (const name of EVENTS) this.#events?.removeEventListener(name, this.#heed);
  }
}

/** Merges what `window` and `document` tell, where the host has them. @returns {EventTarget | null} */
export function browserEvents() {
  if (typeof window === "undefined" || typeof document === "undefined") return null;
  const merged = new EventTarget();
  const pass = (/** @type {Event} */ { type }) => {
    if (!document.hidden || type !== "visibilitychange") merged.dispatchEvent(new Event(type));
  };
  window.addEventListener("online", pass);
  window.addEventListener("offline", pass);
  document.addEventListener("visibilitychange", pass);
  return merged;
}
