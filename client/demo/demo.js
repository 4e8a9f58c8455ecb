// @ts-ignore the node serves the SDK beside the page; below a path of a proxy there is no `/client/`
import * as sdk from "../client/index.js";
import { CallView, nameOf } from "./call.js";
import { closeMedia, openMedia } from "./media.js";
import { closePreview, watchDevices } from "./devices.js";
import { forgetCall, keepCall, readParams, remember, shareable } from "./params.js";
import { byId } from "./dom.js";

const { SignalClient, explainClose, explainError } = /** @type {typeof import("/client/index.js")} */ (sdk);

/**
 * The demo page: a lobby, and a call. Everything it does with the cluster goes through the SDK.
 *
 * For tests there is `window.demo`, read-only:
 *   room       the SDK's Room while in a call, else null
 *   peers()    per peer: id, name, connectionState, away, and the newest facts (framesDecoded, local, remote, …)
 *   iceErrors  [{code, text, url}] of this call
 *   state      the connection's state: {phase, code, reason, todo}
 *   node       the id of the node connected to, or null
 */

const params = readParams();
const view = new CallView({ leave: () => leave() });
/** @type {import("/client/index.js").SignalClient | null} */
let client = null;
/** @type {import("/client/room.js").Room | null} */
let room = null;

const field = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));

/** @param {{what: string, todo: string} | null} problem */
function complain(problem) {
  const box = byId("problem");
  box.hidden = problem === null;
  const [what, todo] = box.children;
  what.textContent = problem?.what ?? "";
  todo.textContent = problem?.todo ?? "";
}

/** Ends the join that is under way. */
let joining = new AbortController();

/** The lobby's button says what is going on, and another one ends it. @param {string | null} label null: ready */
function busy(label) {
  const button = /** @type {HTMLButtonElement} */ (byId("enter"));
  button.textContent = label ?? "Join";
  button.disabled = label !== null;
  byId("cancel").hidden = label === null;
}

/** @param {{what: string, todo: string} | null} problem why the call is over, if something went wrong */
function showLobby(problem) {
  view.close();
  forgetCall();
  client?.close();
  client = room = null;
  document.title = "Signal Cluster";
  byId("lobby").hidden = false;
  busy(null);
  complain(problem);
  byId("enter").focus();
}

/** Explains an error of the SDK; codes that are numbers are those of a closed WebSocket. @param {any} error */
function explain(error) {
  const code = String(error?.code ?? error?.message ?? error);
  const { what, todo } = /^\d+$/.test(code) ? explainClose(Number(code)) : explainError(code);
  const seat = error?.after ? ` A seat may become free in ${Math.ceil(error.after / 1000)} s.` : "";
  return { what, todo: todo + seat + quote(error?.detail === what ? "" : error?.detail) };
}

/** What the server said, for whoever runs it. @param {string | undefined} message */
function quote(message) {
  return message ? ` The server said: “${message}”` : "";
}

async function join() {
  const name = field("name").value.trim() || "Guest";
  const roomName = field("room").value.trim();
  const relayOnly = field("relay").checked;
  if (!checkRoom(roomName)) return;
  remember(field("name").value.trim());
  complain(null);
  joining = new AbortController();
  const { signal } = joining;
  busy("Opening camera …");
  closePreview();
  const media = await openMedia({ name, pattern: field("pattern").checked });
  busy("Joining …");
  client = connect();
  try {
    signal.throwIfAborted();
    const meta = { name, audio: true, video: true };
    room = await client.join(roomName, { meta, signal, stream: media.stream, iceTransportPolicy: relayOnly ? "relay" : "all" });
    if (media.problem) room.mediaFailed(media.problem);
    room.on("left", ({ reason }) => reason !== "left" && showLobby(ending(reason)));
    byId("lobby").hidden = true;
    complain(null);
    keepCall({ room: roomName, name, relay: relayOnly, pattern: field("pattern").checked, token: params.token });
    history.replaceState(null, "", `/?${new URLSearchParams({ room: roomName, name })}${shareable(params.token)}`);
    view.open({ client, room, media, name, relayOnly, token: params.token });
  } catch (error) {
    closeMedia(media.stream);
    showLobby(signal.aborted ? null : explain(error));
  }
}

/** @param {string} roomName */
function checkRoom(roomName) {
  const valid = /^[A-Za-z0-9._-]{1,64}$/.test(roomName);
  field("room").setAttribute("aria-invalid", String(!valid));
  if (valid) return true;
  complain({ what: "That is not a name for a room.", todo: "Use 1 to 64 letters, digits, dots, hyphens or underscores." });
  field("room").focus();
  return false;
}

/** While nobody answers, the lobby says why and goes on trying. */
function connect() {
  const made = new SignalClient({ url: new URL(".", location.href).href, token: params.token });
  made.on("state", ({ phase, reason, todo, message }) => {
    if (phase !== "waiting" || room) return;
    complain({ what: `${reason.replace("was lost", "failed")}`, todo: `${todo} Trying again.${quote(message)}` });
  });
  return made;
}

/** @param {string} reason */
function ending(reason) {
  if (reason === "replaced") return explainClose(4202);
  if (reason === "kicked") return explainClose(4203);
  if (reason === "stopped") {
    const { reason: what = "", todo = "", message } = client?.state ?? {};
    return { what, todo: todo + quote(message) };
  }
  return explainError(reason);
}

async function leave() {
  await Promise.race([room?.leave(), new Promise((resolve) => setTimeout(resolve, 1000))]);
  showLobby(null);
}

field("room").value = params.room;
field("name").value = params.name;
field("pattern").checked = params.pattern;
field("relay").checked = params.relay;
byId("join").addEventListener("submit", (event) => {
  event.preventDefault();
  join();
});
byId("cancel").addEventListener("click", () => joining.abort());
watchDevices(() => complain({ what: "Camera or microphone could not be opened.", todo: "Allow them beside the address, or join with the test picture." }));
if (params.auto) join();
else field(params.name ? "enter" : "name").focus();

Object.defineProperty(window, "demo", {
  value: Object.freeze({
    get room() {
      return room;
    },
    get iceErrors() {
      return view.iceErrors.map((error) => ({ ...error }));
    },
    get state() {
      return client?.state ?? null;
    },
    get node() {
      return client?.node ?? null;
    },
    peers: () =>
      view.participants.map(({ peer, facts }) => ({
        ...facts,
        id: peer.id,
        name: nameOf(peer),
        away: peer.away,
        state: peer.state,
        connectionState: peer.pc?.connectionState ?? "new",
        framesDecoded: facts?.framesDecoded ?? 0,
      })),
  }),
});
