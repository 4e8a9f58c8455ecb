import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { execFileSync, spawnSync } from "node:child_process";
import { after, before, test } from "node:test";
import { SignalClient } from "../../client/src/index.js";
import { Group } from "../local/processes.js";
import { LOOPBACK, findPort } from "../local/ports.js";
import { findPrograms } from "../local/tools.js";
import { startService } from "../local/services.js";
import { BINARIES } from "./settings.js";
import { PAGE, isOnThePage } from "./failure-page.js";

/** docs/WHEN-A-CALL-FAILS.md for developers: its faults are made here, and what is said then stands on the page. */

const KEY = "failures/0123456789+0123456789abcdef0123456789abcdef=";
const { WebSocket } = createRequire(new URL("../../client/package.json", import.meta.url))("ws");
const LIMITS = { timeout: 60_000 };

/** @type {Group} */
let group;
/** @type {{program: string, public: string, admin: string}} */
let node;

before(async () => {
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  const { node: program } = findPrograms(BINARIES);
  const env = {
    SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_DRAIN_DELAY: "0s",
    SIGNAL_NODE_JWT_SECRET: KEY,
    SIGNAL_NODE_JWT_AUDIENCE: "calls",
    SIGNAL_NODE_JWT_ISSUER: "https://id.example.org",
  };
  const { ready } = await startService(group, { name: "node", program, env });
  node = { program, public: ready.public, admin: ready.admin };
}, LIMITS);

after(() => group?.stop());

/** @param {object} [claims] in place of good ones @param {string} [key] */
function mint(claims = {}, key = KEY) {
  const encode = (/** @type {object} */ part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const good = { sub: "ana", rooms: ["demo"], aud: "calls", iss: "https://id.example.org", exp: Math.floor(Date.now() / 1000) + 3600 };
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ ...good, ...claims })}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

const admin = () => mint({ can: ["signal", "admin"] });

/** Opens clients and closes them all. @param {(open: (token: string, url?: string) => SignalClient) => Promise<void>} act */
async function withClients(act) {
  /** @type {SignalClient[]} */
  const clients = [];
  try {
    await act((token, url = `ws://${node.public}`) => {
      const client = new SignalClient({ url, token, WebSocket });
      clients.push(client);
      return client;
    });
  } finally {
    for (const client of clients) client.close();
  }
}

/** What `join` rejects with. @param {SignalClient} client @returns {Promise<import("../../client/src/protocol.js").SignalError>} */
const refusal = (client, room = "demo") => client.join(room, {}).then(() => assert.fail("it joined"), (error) => error);

const old = Math.floor(Date.now() / 1000) - 3600;
const CLAIMS = { exp: { exp: old }, nbf: { nbf: old + 7200 }, aud: { aud: "another" }, iss: { iss: "https://id.example.org/" } };

for (const [claim, claims] of Object.entries(CLAIMS)) {
  test(`the fault of a token in ${claim} is on the page, from the command and from the SDK`, LIMITS, () => withClients(async (open) => {
    const [, command] = PAGE.match(/^(curl -s -H "Authorization[^\n]+)$/m) ?? [];
    assert(command);
    const ask = command.replace("127.0.0.1:8080", node.public);
    const problem = JSON.parse(execFileSync("sh", ["-c", ask], { encoding: "utf8", env: { ...process.env, TOKEN: mint(claims) } }));
    isOnThePage(problem.detail);
    const error = await refusal(open(mint(claims)));
    assert.equal(error.detail, problem.detail);
    isOnThePage(`${error.code} ${problem.code}`);
  }));
}

test("so are a wrong key, no token, and the answer to a good one", LIMITS, () => withClients(async (open) => {
  const ask = async (/** @type {string} */ token) => {
    const answer = await fetch(`http://${node.public}/v1/rooms/demo`, { headers: { authorization: `Bearer ${token}` } });
    return (await answer.json()).detail;
  };
  isOnThePage(await ask(mint({}, KEY.replace("f", "g"))));
  isOnThePage(await ask("abc"));
  assert.equal(await ask(mint()), "the token has not the right admin");
  isOnThePage("the token has not the right admin");
  isOnThePage((await refusal(open(""))).detail);
}));

test("a room that admits nobody says why in words of the page", LIMITS, () => withClients(async (open) => {
  const configure = async (/** @type {object} */ body) => {
    const headers = { authorization: `Bearer ${admin()}`, "content-type": "application/json" };
    const answer = await fetch(`http://${node.public}/v1/rooms/demo`, { method: "PUT", headers, body: JSON.stringify(body) });
    assert(answer.ok, await answer.text());
  };
  const says = async (/** @type {string} */ code, /** @type {object} */ claims, room = "demo") => {
    const error = await refusal(open(mint(claims)), room);
    assert.equal(error.code, code);
    isOnThePage(code);
    isOnThePage(error.detail);
  };
  await says("forbidden", { rooms: ["other", "team-*"] });
  for (const _ of "four") await open(mint()).join("demo", {});
  await says("limit_exceeded", {});
  await configure({ cap: 4 });
  await says("room_full", { sub: "bo" });
  await configure({ cap: 100, locked: true });
  await says("room_locked", { sub: "bo" });
  await configure({ locked: false });
  await open(mint({ sub: "bo" })).join("demo", {});
}));

/** What the SDK shows when it waits, with a reason to show. @param {SignalClient} client */
async function diagnosis(client) {
  const found = new Promise((resolve) => client.on("state", (state) => typeof state.code === "string" && resolve(state)));
  client.join("demo", {}).catch(() => {});
  return found;
}

test("a client that reaches no node, or something else, says so in words of the page", LIMITS, () => withClients(async (open) => {
  const other = createServer((_, response) => response.end("hello")).listen(0, LOOPBACK);
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = /** @type {import("node:net").AddressInfo} */ (other.address());
  try {
    for (const [url, code] of [[`ws://${LOOPBACK}:${await findPort()}`, "no_answer"], [`ws://${LOOPBACK}:${port}`, "not_a_node"], [`ws://${node.public}/calls`, "wrong_path"]]) {
      const state = await diagnosis(open(mint(), url));
      assert.equal(state.code, code);
      isOnThePage(state.code);
      isOnThePage(state.reason);
    }
  } finally {
    other.close();
  }
  const { detail } = await (await fetch(`http://${node.public}/calls/v1/ws`)).json();
  isOnThePage(detail);
  assert.equal((await fetch(`http://${node.public}/v1/ws`)).status, 400);
}));

test("a page of another origin is told so in words of the page", LIMITS, async () => {
  const socket = new WebSocket(`ws://${node.public}/v1/ws`, ["signal.v1"], { origin: "http://localhost:3000" });
  const [frame, closed] = await Promise.all([
    new Promise((resolve) => socket.once("message", (/** @type {Buffer} */ data) => resolve(JSON.parse(data.toString())))),
    new Promise((resolve) => socket.once("close", (/** @type {number} */ code, /** @type {Buffer} */ reason) => resolve(`${code} ${reason}`))),
  ]);
  isOnThePage(frame.message);
  isOnThePage(closed);
});

test("a node that does not start says why in words of the page", LIMITS, async () => {
  /** @param {Record<string, string>} env */
  const faults = (env) => {
    const { status, stderr } = spawnSync(node.program, { env: { SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`, ...env }, encoding: "utf8", timeout: 20_000 });
    return { status, stderr };
  };
  const taken = faults({ SIGNAL_NODE_LISTEN: node.public });
  assert.equal(taken.status, 1);
  isOnThePage(JSON.parse(taken.stderr).fields.message);
  const open = faults({ SIGNAL_NODE_LISTEN: "0.0.0.0:0" });
  assert.equal(open.status, 64);
  isOnThePage(open.stderr.split("\n")[0].replace("signal-node: ", ""));
  isOnThePage(open.stderr.split("\n")[1].replace(/^.*\(environment\) /, ""));
});
