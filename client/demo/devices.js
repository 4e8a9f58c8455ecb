import { byId, element } from "./dom.js";
import { choice, closeMedia, wanted } from "./media.js";

/**
 * The lobby's preview: which camera and microphone the call will use. Nothing is opened before the user asks for it.
 */

/** @type {readonly (readonly ["video" | "audio", MediaDeviceKind, string])[]} */
const KINDS = [["video", "videoinput", "camera-choice"], ["audio", "audioinput", "microphone-choice"]];

/** @type {MediaStream | null} */
let preview = null;

/** Wires the preview. @param {(error: unknown) => void} failed */
export function watchDevices(failed) {
  const details = /** @type {HTMLDetailsElement} */ (byId("devices"));
  details.hidden = !navigator.mediaDevices?.getUserMedia;
  details.addEventListener("toggle", () => (details.open ? show().catch(failed) : closePreview()));
  for (const [kind, , id] of KINDS) {
    byId(id).addEventListener("change", ({ target }) => {
      choice[kind] = /** @type {HTMLSelectElement} */ (target).value;
      show().catch(failed);
    });
  }
}

/** Frees the devices: the call opens them itself. */
export function closePreview() {
  if (preview) closeMedia(preview);
  preview = null;
  picture().srcObject = null;
}

const picture = () => /** @type {HTMLVideoElement} */ (byId("preview"));

async function show() {
  closePreview();
  preview = await navigator.mediaDevices.getUserMedia({ video: wanted("video"), audio: wanted("audio") });
  picture().srcObject = preview;
  const devices = await navigator.mediaDevices.enumerateDevices();
  for (const [kind, name, id] of KINDS) fill(/** @type {HTMLSelectElement} */ (byId(id)), devices.filter((device) => device.kind === name), kind);
}

/**
 * @param {HTMLSelectElement} select
 * @param {MediaDeviceInfo[]} devices
 * @param {"video" | "audio"} kind
 */
function fill(select, devices, kind) {
  const used = preview?.getTracks().find((track) => track.kind === kind)?.getSettings().deviceId;
  const options = devices.map(({ deviceId, label }, index) => {
    const option = /** @type {HTMLOptionElement} */ (element("option", "", label || `${kind === "video" ? "Camera" : "Microphone"} ${index + 1}`));
    option.value = deviceId;
    option.selected = deviceId === used;
    return option;
  });
  select.replaceChildren(...options);
}
