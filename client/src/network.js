/**
 * What the host tells about its network and about being looked at: reasons to find out now whether a
 * socket still lives, or to stop waiting for the next attempt.
 */

const EVENTS = Object.freeze(["online", "offline", "visibilitychange", "pageshow", "resume"]);

export class NetworkWatch {
  #events;
  #listener;

  /**
   * @param {EventTarget | null} events emits `online`, `offline`, `visibilitychange` when the page comes into view,
   *   `pageshow` when it comes back from the back/forward cache, and `resume` when it is no longer frozen
   * @param {(change: "may be back" | "may be gone") => void} changed
   */
  constructor(events, changed) {
    this.#events = events;
    this.#listener = (/** @type {Event} */ { type }) => changed(type === "offline" ? "may be gone" : "may be back");
  }

  start() {
    for (const name of EVENTS) this.#events?.addEventListener(name, this.#listener);
  }

  stop() {
    for (const name of EVENTS) this.#events?.removeEventListener(name, this.#listener);
  }
}

/** Merges what `window` and `document` tell, where the host has them. @returns {EventTarget | null} */
export function browserEvents() {
  if (typeof window === "undefined" || typeof document === "undefined") return null;
  const merged = new EventTarget();
  const tell = (/** @type {string} */ type) => merged.dispatchEvent(new Event(type));
  for (const type of ["online", "offline"]) window.addEventListener(type, () => tell(type));
  window.addEventListener("pageshow", ({ persisted }) => persisted && tell("pageshow"));
  document.addEventListener("resume", () => tell("resume"));
  document.addEventListener("visibilitychange", () => document.hidden || tell("visibilitychange"));
  return merged;
}
