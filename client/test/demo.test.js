import assert from "node:assert/strict";
import { test } from "node:test";
import { peerNote, refusalNote, statusLine } from "../demo/notes.js";
import { tileSize } from "../demo/grid.js";
import { inviteLink, keepCall, readParams } from "../demo/params.js";

const WIDE = { width: 1400, height: 700 };
const PHONE = { width: 366, height: 640 };

test("tiles fit into the space whatever their number", () => {
  for (const space of [WIDE, PHONE]) {
    for (let count = 1; count <= 16; count += 1) {
      const { width, height } = tileSize(count, space, 8);
      const columns = Math.floor((space.width + 8) / (width + 8));
      const rows = Math.ceil(count / columns);
      assert.ok(rows * height + (rows - 1) * 8 <= space.height + 0.01, `${count} tiles in ${space.width}`);
    }
  }
});

test("two tiles stand side by side on a wide screen and one above the other on a phone", () => {
  assert.ok(tileSize(2, WIDE, 8).width < 700);
  assert.equal(tileSize(2, PHONE, 8).width, 366);
});

test("a tile on a wide screen is never taller than 4:3 nor flatter than 16:9", () => {
  for (let count = 1; count <= 9; count += 1) {
    const { width, height } = tileSize(count, WIDE, 8);
    assert.ok(width / height >= 4 / 3 - 0.01 && width / height <= 16 / 9 + 0.01);
  }
});

const RELAYS = { relayOnly: false, noRelay: false, refused: null };
const BO = { name: "Bo", state: "connected", away: false, connected: true };

test("nothing covers the picture of a connected peer, even while it is away", () => {
  assert.equal(peerNote(BO, RELAYS), null);
  assert.equal(peerNote({ ...BO, away: true }, RELAYS), null);
});

test("each state in which there is no picture has words of its own", () => {
  const titles = ["connecting", "reconnecting", "failed"].map((state) => peerNote({ ...BO, connected: false, state }, RELAYS).title);
  titles.push(peerNote({ ...BO, connected: false, away: true }, RELAYS).title);
  assert.equal(new Set(titles).size, 4);
});

test("relay only without a relay says what to switch off", () => {
  const note = peerNote({ ...BO, connected: false, state: "connecting" }, { relayOnly: true, noRelay: true, refused: null });
  assert.match(note.text, /Switch it off/);
});

test("at a reached quota nobody is told to take more of it, and at another refusal fresh credentials help", () => {
  const quota = refusalNote({ code: 486, text: "Allocation Quota Reached" });
  assert.doesNotMatch(`${quota.what} ${quota.todo}`, /Leave and join|fresh credentials/);
  assert.match(quota.todo, /Close other tabs.*does not help.*user-quota/);
  const note = peerNote({ ...BO, connected: false, state: "failed" }, { ...RELAYS, refused: quota });
  assert.match(note.text, /486/);
  assert.doesNotMatch(note.text, /Leave and join/);
  assert.deepEqual(refusalNote({ code: 401, text: "Unauthorized." }), { what: "The relay refused a request (401 Unauthorized).", todo: "Leave and join again for fresh credentials." });
});

test("a lost server is told as what it is: calls go on", () => {
  const lost = { phase: "waiting", code: 1006, reason: "The connection to the server was lost.", todo: "", retryIn: 2100 };
  const { text, tone } = statusLine(lost, { roomState: "away", people: 2, node: null });
  assert.match(text, /Calls go on; trying again in 2 s/);
  assert.equal(tone, "busy");
});

test("a startup token stays in the address and in invitations, the token of a person does not", () => {
  const read = (hash) => {
    const seen = [];
    const location = { search: "?room=demo", hash, pathname: "/", origin: "http://127.0.0.1:8080" };
    Object.assign(globalThis, { location, history: { replaceState: (...[, , address]) => seen.push(address) }, sessionStorage: null, localStorage: null });
    const { token } = readParams();
    return [token, ...seen, inviteLink("demo", token)];
  };
  const own = "http://127.0.0.1:8080/?room=demo";
  assert.deepEqual(read("#token=s-1_x"), ["s-1_x", "/?room=demo#token=s-1_x", `${own}#token=s-1_x`]);
  assert.deepEqual(read("#token=a.b.c"), ["a.b.c", "/?room=demo", own]);
  assert.deepEqual(read(""), [undefined, own]);
});

test("a link turns on no camera: without a click only the test picture or a call of this tab goes on", () => {
  const items = new Map();
  const storage = { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, value), removeItem: (key) => items.delete(key) };
  const read = (search, hash = "") => {
    const history = { replaceState: () => {} };
    const location = { search, hash, pathname: "/", origin: "https://node.example" };
    Object.assign(globalThis, { location, history, sessionStorage: storage, localStorage: storage });
    return readParams();
  };
  assert.equal(read("?room=theirs&name=guest&auto=1", "#token=a.b.c").auto, false);
  assert.equal(read("?room=theirs&auto=1&pattern=1").auto, true);
  keepCall({ room: "ours", name: "Ana", relay: false, pattern: false, token: "a.b.c" });
  assert.equal(read("?room=theirs&auto=1").auto, false, "another room");
  assert.equal(read("?room=ours").auto, true, "a reload");
});
