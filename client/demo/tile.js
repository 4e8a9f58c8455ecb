import { element, icon } from "./dom.js";
import { factLine } from "./facts.js";

/**
 * One participant in the grid: picture or initials, name, state in words, facts.
 *
 * @typedef {{title: string, text: string, busy?: boolean}} Note
 */
export class Tile {
  #video = /** @type {HTMLVideoElement} */ (document.createElement("video"));
  #avatar = element("div", "avatar");
  #note = element("div", "note");
  #name = element("b", "");
  #numbers = element("div", "numbers");
  #bars = element("span", "bars", ...Array.from({ length: 5 }, () => element("i", "")));
  /** The element to put into the grid. */
  root;

  /** @param {{id: string, own?: boolean, screen?: boolean}} who `screen`: shows all of the picture */
  constructor({ id, own = false, screen = false }) {
    this.#video.autoplay = this.#video.playsInline = true;
    this.#video.muted = own;
    this.#avatar.style.setProperty("--hue", String(hue(id)));
    const plate = element("div", "plate", element("div", "who", icon("mic-off"), this.#name, this.#bars), this.#numbers);
    this.root = element("div", "tile", this.#video, this.#avatar, this.#note, plate);
    this.root.setAttribute("role", "group");
    this.root.toggleAttribute("data-screen", screen);
    this.root.dataset.peer = id;
    this.#note.setAttribute("role", "status");
    this.#numbers.dir = "ltr";
    this.#bars.hidden = true;
    this.#bars.setAttribute("role", "img");
  }

  /** Shows a stream, or nothing. @param {MediaStream | null} stream @param {{mirror?: boolean}} [options] */
  show(stream, { mirror = false } = {}) {
    this.root.toggleAttribute("data-mirror", mirror);
    this.#video.srcObject = stream;
  }

  /** Starts playing; rejects where the browser wants a click before there is sound. */
  play() {
    return this.#video.srcObject ? this.#video.play() : Promise.resolve();
  }

  /** Plays without sound until the user has clicked somewhere. @param {boolean} muted */
  mute(muted) {
    this.#video.muted = muted;
  }

  /** Takes over name, muted and camera state. @param {{name: string, audio: boolean, video: boolean, own?: boolean}} about */
  describe({ name, audio, video, own = false }) {
    this.#name.textContent = own ? `${name} (you)` : name;
    this.#avatar.textContent = initials(name);
    this.root.dataset.audio = audio ? "on" : "off";
    this.root.dataset.video = video ? "on" : "off";
    this.root.setAttribute("aria-label", `${name}${audio ? "" : ", microphone off"}${video ? "" : ", camera off"}`);
  }

  /**
   * Shows in what state the connection is; a note covers the picture.
   * @param {string} state
   * @param {Note | null} note
   */
  say(state, note) {
    this.root.dataset.state = state;
    this.root.toggleAttribute("data-busy", note?.busy ?? false);
    const lines = note ? [element("strong", "", note.title), element("span", "", note.text)] : [];
    this.#note.replaceChildren(...lines);
  }

  /** Shows whether the participant speaks. @param {boolean} speaks */
  speak(speaks) {
    this.root.toggleAttribute("data-speaking", speaks);
  }

  /** Shows how good the connection is, from 0 to 5. @param {number} quality */
  grade(quality) {
    this.#bars.hidden = quality === 0;
    this.#bars.setAttribute("aria-label", `Connection: ${quality} of 5`);
    [...this.#bars.children].forEach((bar, index) => bar.toggleAttribute("data-on", index < quality));
  }

  /** @param {import("./facts.js").PeerFacts | null} facts */
  tell(facts) {
    this.#numbers.replaceChildren(...(facts ? factLine(facts) : []));
  }
}

/** The same person has the same colour in every window. @param {string} id */
function hue(id) {
  let hash = 0;
  for (const letter of id) hash = (hash * 31 + letter.charCodeAt(0)) % 360;
  return hash;
}

/** @param {string} name */
function initials(name) {
  const words = name.trim().split(/\s+/);
  return [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "").join("").toUpperCase();
}
