import { announce, byId, element } from "./dom.js";

/** The chat beside the grid: what was said, and by whom. */
export class Chat {
  #panel = byId("chat");
  #opener = byId("chat-open");
  #log = byId("chat-log");
  #input = /** @type {HTMLInputElement} */ (byId("chat-text"));
  #unread = 0;

  /** @param {(text: string) => number} send says something and returns how many heard it */
  constructor(send) {
    this.#opener.addEventListener("click", () => this.toggle());
    byId("chat-close").addEventListener("click", () => this.toggle(false));
    this.#panel.addEventListener("keydown", ({ key }) => key === "Escape" && this.toggle(false));
    byId("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say(send);
    });
  }

  /** Opens or closes the panel. @param {boolean} [open] */
  toggle(open = this.#panel.hidden) {
    this.#panel.hidden = !open;
    this.#opener.setAttribute("aria-expanded", String(open));
    if (open) this.#count(0);
    (open ? this.#input : this.#opener).focus();
  }

  /**
   * Adds a line.
   * @param {string} who
   * @param {string} text
   * @param {{own?: boolean}} [options]
   */
  add(who, text, { own = false } = {}) {
    byId("chat-empty").hidden = true;
    this.#log.append(element("li", own ? "own" : "", element("small", "", who), text));
    this.#log.scrollTop = this.#log.scrollHeight;
    if (!this.#panel.hidden) return;
    this.#count(this.#unread + 1);
    announce(`${who} writes: ${text}`);
  }

  /** Empties the panel for the next call. */
  clear() {
    this.#log.replaceChildren();
    byId("chat-empty").hidden = false;
    this.#panel.hidden = true;
    this.#opener.setAttribute("aria-expanded", "false");
    this.#count(0);
  }

  /** @param {(text: string) => number} send */
  #say(send) {
    const text = this.#input.value.trim();
    if (!text) return;
    const heard = send(text);
    this.add(heard > 0 ? "You" : "You (nobody is connected yet)", text, { own: true });
    if (heard > 0) this.#input.value = "";
  }

  /** @param {number} unread */
  #count(unread) {
    this.#unread = unread;
    if (unread > 0) this.#opener.dataset.unread = String(unread);
    else delete this.#opener.dataset.unread;
    this.#opener.setAttribute("aria-label", unread > 0 ? `Chat, ${unread} unread` : "Chat");
    this.#opener.title = "Chat with everyone here";
  }
}
