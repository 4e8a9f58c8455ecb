/**
 * Sharing the screen: a publication of its own beside the camera.
 *
 * @typedef {import("/client/room.js").Room} Room
 * @typedef {import("/client/publication.js").Publication} Publication
 */

/** The label under which a screen is sent. */
export const SCREEN = "screen";

/** Whether this browser can share a screen; phones cannot. */
export const canShare = () => typeof navigator.mediaDevices?.getDisplayMedia === "function";

export class ScreenShare {
  #changed;
  /** @type {Publication | null} */
  #publication = null;

  /** @param {(stream: MediaStream | null) => void} changed what is shared now */
  constructor(changed) {
    this.#changed = changed;
  }

  /** Asks which screen to share, and shares it until that is ended here or in the browser's own bar. @param {Room} room */
  async start(room) {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true });
    const [track] = stream.getVideoTracks();
    track.addEventListener("ended", () => this.stop());
    this.#publication = await room.publish(stream, { label: SCREEN, hint: "detail" });
    this.#changed(stream);
  }

  /** Shares it no more. */
  stop() {
    for (const track of this.#publication?.stream?.getTracks() ?? []) track.stop();
    this.#publication?.stop().catch(() => {});
    this.#publication = null;
    this.#changed(null);
  }
}
