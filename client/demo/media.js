import { testPicture, testTone } from "./pattern.js";

/**
 * Camera and microphone, or the test picture and tone where there are none.
 *
 * @typedef {object} Media
 * @property {MediaStream} stream always one video and one audio track
 * @property {boolean} camera whether the picture comes from a camera
 * @property {{name: string, what: string, todo: string} | null} problem why something is synthetic, if nobody asked for it; `name` is that of the
 *   exception
 */

/** The ids of the devices that the user has chosen. @type {{video?: string, audio?: string}} */
export const choice = {};

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };

/**
 * Opens what there is and fills up with the test pattern.
 * @param {{name: string, pattern: boolean}} options
 * @returns {Promise<Media>}
 */
export async function openMedia({ name, pattern }) {
  const devices = pattern ? NOTHING : await openDevices();
  const { video = testPicture(name), audio = testTone() } = devices;
  video.contentHint = "motion";
  return { stream: new MediaStream([video, audio]), camera: devices.video !== undefined, problem: pattern ? null : devices.problem };
}

/** Stops every track, so that the camera's light goes out. @param {MediaStream} stream */
export function closeMedia(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/**
 * @typedef {{video?: MediaStreamTrack, audio?: MediaStreamTrack, problem: Media["problem"]}} Devices
 * @type {Devices}
 */
const NOTHING = { problem: null };

/** Asks for both at once, which is one question to the user, then for each alone. @returns {Promise<Devices>} */
async function openDevices() {
  const { mediaDevices } = navigator;
  if (!mediaDevices?.getUserMedia) return { problem: explain("InsecureContext") };
  try {
    const stream = await mediaDevices.getUserMedia({ video: camera(), audio: wanted("audio") });
    return { video: stream.getVideoTracks()[0], audio: stream.getAudioTracks()[0], problem: null };
  } catch (error) {
    const reason = error instanceof DOMException ? error.name : "";
    if (reason === "NotAllowedError") return { problem: explain(reason) };
    return { video: await one("video"), audio: await one("audio"), problem: explain(reason) };
  }
}

/** @param {"video" | "audio"} kind @returns {MediaTrackConstraints | true} */
export function wanted(kind) {
  return choice[kind] ? { deviceId: { ideal: choice[kind] } } : true;
}

/** The chosen camera. @returns {MediaTrackConstraints} */
function camera() {
  const device = wanted("video");
  return device === true ? VIDEO : { ...VIDEO, ...device };
}

/** @param {"video" | "audio"} kind */
async function one(kind) {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ [kind]: kind === "video" ? camera() : wanted("audio") });
    return stream.getTracks()[0];
  } catch {
    return undefined;
  }
}

/** @param {string} name of an exception */
function explain(name) {
  return { name, ...words(name) };
}

/** @param {string} reason */
function words(reason) {
  switch (reason) {
    case "NotAllowedError":
      return { what: "Camera and microphone are not allowed here.", todo: "You send a test picture. Allow them beside the address and join again." };
    case "NotFoundError":
      return { what: "No camera or microphone was found.", todo: "What is missing is replaced by a test picture or tone." };
    case "NotReadableError":
      return { what: "The camera or microphone is in use by another program.", todo: "What is missing is replaced by a test picture or tone." };
    case "InsecureContext":
      return { what: "Browsers give camera and microphone to secure pages only.", todo: "You send a test picture. Open this page over https or on localhost." };
    default:
      return { what: "Camera or microphone could not be opened.", todo: "What is missing is replaced by a test picture or tone." };
  }
}
