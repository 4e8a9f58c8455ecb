import { byId, element, icon } from "./dom.js";

/**
 * Lines above the grid that say what is wrong and what to do: one per cause, gone with it.
 *
 * @typedef {{what: string, todo: string, action?: {label: string, run: () => void}}} Notice
 */
const shown = new Map();

/**
 * Shows a notice, in place of an earlier one with the same `cause`.
 * @param {string} cause
 * @param {Notice} notice
 */
export function notify(cause, { what, todo, action }) {
  const close = element("button", "plain", icon("close"));
  close.setAttribute("aria-label", "Dismiss");
  close.addEventListener("click", () => dismiss(cause));
  const line = element("div", "notice", element("p", "", element("strong", "", what), ` ${todo}`));
  if (action) line.append(button(action));
  line.append(close);
  dismiss(cause);
  shown.set(cause, line);
  byId("notices").append(line);
}

/** Takes a notice away. @param {string} cause */
export function dismiss(cause) {
  shown.get(cause)?.remove();
  shown.delete(cause);
}

/** Takes every notice away. */
export function dismissAll() {
  for (const cause of [...shown.keys()]) dismiss(cause);
}

/** @param {{label: string, run: () => void}} action */
function button({ label, run }) {
  const made = element("button", "", label);
  made.addEventListener("click", run);
  return made;
}
