import { byId, relabel } from "./dom.js";
import { canShare } from "./screen.js";

/**
 * The buttons below the grid and their shortcuts.
 *
 * @typedef {object} ToolActions
 * @property {(on: boolean) => void} microphone
 * @property {(on: boolean) => void} camera
 * @property {(on: boolean) => void} relayOnly
 * @property {(on: boolean) => void} screen
 * @property {() => Promise<boolean>} copyLink whether the link is in the clipboard now
 * @property {() => void} leave
 */

/** How long a button says that it has done its work (ms). */
const SAID_FOR = 2200;

export class Tools {
  #actions;
  /** Whether the microphone is on. */
  microphone = true;
  /** Whether the camera is on. */
  camera = true;
  /** Whether media may flow through relays only. */
  relayOnly = false;
  #sharing = false;

  /** @param {ToolActions} actions */
  constructor(actions) {
    this.#actions = actions;
    byId("mic").addEventListener("click", () => this.#toggleMicrophone());
    byId("camera").addEventListener("click", () => this.#toggleCamera());
    byId("relay-only").addEventListener("click", () => this.#toggleRelay());
    byId("screen").addEventListener("click", () => actions.screen(!this.#sharing));
    byId("facts").addEventListener("click", () => this.#toggleFacts());
    byId("copy").addEventListener("click", () => this.copy());
    byId("leave").addEventListener("click", () => actions.leave());
    addEventListener("keydown", (event) => this.#shortcut(event));
    this.#draw();
  }

  /** Sets everything to where a call starts. @param {{relayOnly: boolean}} options */
  reset({ relayOnly }) {
    this.microphone = this.camera = true;
    this.relayOnly = relayOnly;
    this.#draw();
  }

  /** Shows whether the screen is shared. @param {boolean} sharing */
  showSharing(sharing) {
    this.#sharing = sharing;
    this.#draw();
  }

  /** Copies the link and says so on the button. */
  async copy() {
    if (!(await this.#actions.copyLink())) return;
    const button = byId("copy");
    button.classList.add("done");
    relabel(button, { icon: "check", label: "Link copied" });
    setTimeout(() => {
      button.classList.remove("done");
      this.#draw();
    }, SAID_FOR);
  }

  /** @param {KeyboardEvent} event */
  #shortcut({ key, target, ctrlKey, metaKey, altKey, repeat }) {
    const typing = target instanceof HTMLInputElement;
    if (typing || ctrlKey || metaKey || altKey || repeat || byId("call").hidden) return;
    if (key.toLowerCase() === "m") this.#toggleMicrophone();
    if (key.toLowerCase() === "v") this.#toggleCamera();
  }

  #toggleMicrophone() {
    this.microphone = !this.microphone;
    this.#draw();
    this.#actions.microphone(this.microphone);
  }

  #toggleCamera() {
    this.camera = !this.camera;
    this.#draw();
    this.#actions.camera(this.camera);
  }

  #toggleRelay() {
    this.relayOnly = !this.relayOnly;
    this.#draw();
    this.#actions.relayOnly(this.relayOnly);
  }

  #toggleFacts() {
    const on = byId("facts").getAttribute("aria-pressed") !== "true";
    byId("facts").setAttribute("aria-pressed", String(on));
    byId("call").dataset.facts = on ? "on" : "off";
  }

  #draw() {
    const { microphone, camera, relayOnly } = this;
    byId("mic").toggleAttribute("data-off", !microphone);
    byId("camera").toggleAttribute("data-off", !camera);
    byId("screen").hidden = !canShare();
    byId("relay-only").setAttribute("aria-checked", String(relayOnly));
    relabel(byId("mic"), { icon: microphone ? "mic" : "mic-off", label: microphone ? "Mute" : "Unmute", title: "Microphone on or off (M)" });
    relabel(byId("camera"), { icon: camera ? "video" : "video-off", label: camera ? "Video off" : "Video on", title: "Camera on or off (V)" });
    relabel(byId("screen"), { icon: "screen", label: this.#sharing ? "Stop sharing" : "Share screen", title: "Show your screen to everyone here" });
    relabel(byId("relay-only"), { icon: "relay", label: "Relay only", title: "Send everything through a relay" });
    relabel(byId("facts"), { icon: "facts", label: "Facts", title: "Show how each connection runs" });
    relabel(byId("copy"), { icon: "link", label: "Copy link", title: "Copy the link to this room" });
    relabel(byId("leave"), { icon: "leave", label: "Leave", title: "Leave the room" });
  }
}
