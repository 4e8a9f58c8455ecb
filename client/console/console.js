import { Api } from "./api.js";
import { byId, element } from "../demo/dom.js";
import { lanes, names, words } from "./lanes.js";
import { nodeFacts } from "./node-facts.js";
import { picture, time } from "./picture.js";

/** The console: what a node knows of its cluster and of a room, read again every few seconds. */

const EVERY = 3000;

const api = new Api();
/** The room that is shown. @type {string | null} */
let shown = null;
/** @type {{events: import("./lanes.js").Event[], findings: any[]} | null} */
let timeline = null;
/** Makes answers obsolete that were asked for before something else. */
let turn = 0;

/** @param {string} id */
const field = (id) => /** @type {HTMLInputElement} */ (byId(id));

async function refresh() {
  const mine = ++turn;
  try {
    const [{ nodes }, metrics] = await Promise.all([api.get("v1/cluster"), api.metrics()]);
    if (mine !== turn) return;
    showCluster(nodes, metrics);
    if (shown) await showRoom(shown, mine);
    if (mine === turn) complain(null);
  } catch (error) {
    if (mine === turn) complain(String(error instanceof Error ? error.message : error));
  }
}

/** @param {any[]} nodes @param {string} metrics */
function showCluster(nodes, metrics) {
  for (const id of ["cluster", "search"]) byId(id).hidden = false;
  const state = (/** @type {any} */ { silent, draining }) => (silent ? "silent" : draining ? "draining" : "serves");
  byId("nodes").replaceChildren(...nodes.map((node) => row([node.id, state(node), node.connections, node.rooms, node.version])));
  byId("node-facts").replaceChildren(...nodeFacts(metrics).map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", value))));
}

/** @param {(string | number)[]} cells */
function row(cells) {
  return element("tr", "", ...cells.map((cell) => element("td", "", String(cell))));
}

/** @param {string} room @param {number} mine */
async function showRoom(room, mine) {
  const path = `v1/rooms/${encodeURIComponent(room)}`;
  const [{ peers }, told] = await Promise.all([api.get(path), api.get(`${path}/timeline`)]);
  if (mine !== turn) return;
  timeline = told;
  byId("room-title").textContent = `Room ${room}`;
  byId("room-view").hidden = false;
  fill("roster", peers.map((/** @type {any} */ peer) => `${peer.user ?? peer.id}${peer.away ? ", away" : ""}, on ${peer.node}`), "Nobody is in the room.");
  fill("findings", told.findings.map(finding), "Nothing to explain: no call failed of which something is kept.");
  const called = names(told.events);
  fill("events", told.events.map((/** @type {any} */ event) => `${time(event.at)} ${words(event, called)}`), "Nothing is kept of this room.");
  draw();
}

/** @param {any} finding */
function finding({ rule, severity, at, text, todo }) {
  const meta = element("div", "meta", `${time(at)} ${rule} (${severity})`);
  return element("li", severity === "problem" ? "problem-found" : "", meta, element("div", "", text), element("div", "", todo));
}

/** @param {string} id @param {(string | HTMLElement)[]} items @param {string} nothing */
function fill(id, items, nothing) {
  const made = items.map((item) => (typeof item === "string" ? element("li", "", item) : item));
  byId(id).replaceChildren(...(made.length > 0 ? made : [element("li", "nothing", nothing)]));
}

function draw() {
  const width = Math.max(240, byId("picture").clientWidth);
  byId("picture").replaceChildren(...(timeline && timeline.events.length > 0 ? [picture(lanes(timeline.events, Date.now()), width)] : []));
}

/** @param {string | null} text */
function complain(text) {
  byId("problem").hidden = text === null;
  byId("problem").textContent = text ?? "";
}

/** @param {string} room */
async function openRoom(room) {
  shown = room;
  field("room").value = room;
  history.replaceState(null, "", `${location.pathname}?${new URLSearchParams({ room })}`);
  await refresh();
  byId("said").textContent = `Room ${room} is shown.`;
}

async function findRooms() {
  try {
    const { entered } = await api.get(`v1/users/${encodeURIComponent(field("user").value)}/timeline`);
    const newest = new Map(entered.map((/** @type {any} */ { at, room }) => [room, at]));
    const button = (/** @type {[string, number]} */ [room, at]) => {
      const made = element("button", "", `${room}, entered at ${time(at)}`);
      made.addEventListener("click", () => openRoom(room));
      return element("li", "", made);
    };
    fill("entered", [...newest].reverse().map(button), "This user entered no room of which something is kept.");
  } catch (error) {
    complain(String(error instanceof Error ? error.message : error));
  }
}

/** @param {string} id @param {() => void} act */
function onSubmit(id, act) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
}

onSubmit("sign-in", () => {
  api.token = field("token").value;
  refresh();
});
onSubmit("room-form", () => openRoom(field("room").value.trim()));
onSubmit("user-form", findRooms);
new ResizeObserver(draw).observe(byId("picture"));
setInterval(() => api.token && !document.hidden && refresh(), EVERY);
field("token").value = api.token;
shown = new URLSearchParams(location.search).get("room");
field("room").value = shown ?? "";
if (api.token) refresh();
