import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tmpdir } from "node:os";
import { withGroup } from "../local/processes.js";
import { LOOPBACK, findPort } from "../local/ports.js";
import { findOnPath, findPrograms } from "../local/tools.js";
import { mintToken } from "../local/tokens.js";
import { startService } from "../local/services.js";
import { SignalClient } from "../../client/src/index.js";
import { ROOT, run } from "./settings.js";

/** docs/guides does what it says: its token endpoints make tokens that a node takes, and the package is one. */

const GUIDES = join(ROOT, "docs/guides");
const GUIDE = readdirSync(GUIDES).map((page) => readFileSync(join(GUIDES, page), "utf8")).join("\n");
const KEY = "ahoj/0123456789+0123456789abcdef0123456789abcdef=";
const NEXT = "next/fedcba9876543210+fedcba98765432100123456789=";
const BINARIES = process.env.TARGET_DIR ?? join(ROOT, "target/debug");
const AsyncFunction = /** @type {any} */ (async () => {}).constructor;
const { WebSocket } = createRequire(new URL("../../client/package.json", import.meta.url))("ws");

/** The code below a mark. @param {string} mark */
function code(mark) {
  const found = GUIDE.split(`<!-- ${mark} -->`)[1]?.match(/```\w+\n([\s\S]*?)```/);
  if (!found) throw new Error(`the guide has no ${mark}`);
  return found[1];
}

/** @param {string} url */
async function answers(url) {
  return fetch(url).then(({ ok }) => ok, () => false);
}

/** Starts a token endpoint of the guide; returns what mints a token. @param {import("../local/processes.js").Group} group @param {string} language @param {string} keys its file */
async function startEndpoint(group, language, keys) {
  const program = findOnPath(language === "node" ? "node" : "python3") ?? "";
  const port = await findPort();
  const text = code(`token endpoint: ${language}`).replace('"jwt.key"', JSON.stringify(keys));
  const script = group.write(language === "node" ? "tokens.mjs" : "tokens.py", text);
  const endpoint = { name: language, program, args: [script], env: { PORT: String(port), PATH: process.env.PATH ?? "" } };
  await group.start(endpoint, (child) => child.ready(() => answers(`http://${LOOPBACK}:${port}/`)));
  return async () => (await fetch(`http://${LOOPBACK}:${port}/`)).text();
}

/** Starts a node with a file of keys. @param {import("../local/processes.js").Group} group @param {string} keys @param {Record<string, string>} [more] further settings @returns {Promise<string>} its public address */
async function startNode(group, keys, more = {}) {
  const { node } = findPrograms(BINARIES);
  const env = { SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_JWT_SECRET_FILE: keys, ...more };
  return (await startService(group, { name: "node", program: node, env })).ready.public;
}

/** Whether a node takes a token. @param {string} node @param {string} token @returns {Promise<boolean>} */
function takes(node, token) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://${node}/v1/ws`, ["signal.v1", `bearer.${token}`]);
    socket.on("error", () => resolve(false));
    socket.on("message", (/** @type {Buffer} */ frame) => {
      resolve(JSON.parse(frame.toString()).type === "welcome");
      socket.close();
    });
  });
}

/** Which key has signed a token. @param {string} token */
function signer(token) {
  const [head, claims, signature] = token.split(".");
  const signed = (/** @type {string} */ key) => createHmac("sha256", key).update(`${head}.${claims}`).digest("base64url") === signature;
  return { old: signed(KEY), new: signed(NEXT) };
}

for (const language of ["node", "python"]) {
  test(`the token endpoint in ${language} makes tokens that a node takes`, { timeout: 60_000 }, () => withGroup(async (group) => {
    const keys = group.write("jwt.key", KEY);
    const mint = await startEndpoint(group, language, keys);
    const node = await startNode(group, keys);
    const args = ["doctor", "--url", `ws://${node}`, "--token-file", group.write("ana.jwt", await mint()), "--room", "demo"];
    assert.match(run(findPrograms(BINARIES).node, args, { env: {} }), /^ok +echo/m);
  }));

  test(`a key is rotated in the order of the manual while the endpoint in ${language} mints`, { timeout: 60_000 }, () => withGroup(async (group) => {
    const both = `# the one below is next\r\n\r\n ${KEY} \r\n${NEXT}\r\n`;
    const turned = `\n# signs since today\n${NEXT}\n\n# until the last token of it has ended\n${KEY}\n`;
    const [verifier, signing] = [group.write("node.key", `${KEY}\n`), group.write("endpoint.key", `${KEY}\n`)];
    const mint = await startEndpoint(group, language, signing);
    const node = await startNode(group, verifier);
    const isAccepted = async (/** @type {"old" | "new"} */ by, /** @type {string} */ step) => {
      const token = await mint();
      assert(signer(token)[by], `${step}: the ${by} key signs`);
      assert(await takes(node, token), `${step}: the node takes it`);
    };
    await isAccepted("old", "before");
    // A signer that switches before the verifiers know the key: what the order is for.
    writeFileSync(signing, turned);
    assert.equal(await takes(node, await mint()), false);

    writeFileSync(signing, both);
    await isAccepted("old", "1: the signer has the new key below");
    writeFileSync(verifier, both);
    while (!(await takes(node, mintToken(NEXT, { sub: "ana", room: "demo" })))) await isAccepted("old", "1: the node learns the new key");
    writeFileSync(signing, turned);
    await isAccepted("new", "2: the signer has it on top");
    writeFileSync(verifier, turned);
    await isAccepted("new", "2: so has the node");
    writeFileSync(signing, `${NEXT}\n`);
    writeFileSync(verifier, `${NEXT}\n`);
    while (await takes(node, mintToken(KEY, { sub: "ana", room: "demo" }))) await isAccepted("new", "3: the old one is taken out");
    await isAccepted("new", "after");
  }));
}

test("a page is seen by those who watch its user, as the guide says", { timeout: 60_000 }, () => withGroup(async (group) => {
  const node = await startNode(group, group.write("jwt.key", KEY));
  const open = (/** @type {string} */ sub) => {
    const token = mintToken(KEY, { sub, room: "*", watch: ["bo", "cy", "ana"] });
    return new SignalClient({ url: `ws://${node}`, token: async () => token, WebSocket });
  };
  const [client, bo] = [open("ana"), open("bo")];
  try {
    /** @type {string[]} */
    const shown = [];
    const seen = new Promise((/** @type {(value: void) => void} */ resolve) => {
      bo.watch(["ana"]).on("presence", ({ state }) => state === "in a meeting" && resolve());
    });
    /** @type {(value: void) => void} */
    let isOnline = () => {};
    const online = new Promise((/** @type {(value: void) => void} */ resolve) => (isOnline = resolve));
    const show = (/** @type {any[]} */ ...what) => shown.push(what.join(" ")) && shown.at(-1) === "bo online 1" && isOnline();
    await new AsyncFunction("client", "show", code("presence"))(client, show);
    await seen;
    await bo.online();
    await online;
    assert(shown.includes("bo offline 0") && shown.includes("cy offline 0"), shown.join());
  } finally {
    client.close();
    bo.close();
  }
}));

test("a user is called by name, as the guide says", { timeout: 60_000 }, () => withGroup(async (group) => {
  const node = await startNode(group, group.write("jwt.key", KEY));
  const open = (/** @type {string} */ sub) => {
    const token = mintToken(KEY, { sub, room: "none", call: ["*"] });
    return new SignalClient({ url: `ws://${node}`, token: async () => token, WebSocket });
  };
  const [client, bo] = [open("ana"), open("bo")];
  try {
    await bo.online();
    /** @type {string[]} */
    const asked = [];
    const confirm = (/** @type {string} */ text) => asked.push(text);
    await new AsyncFunction("client", "confirm", "stream", code("called"))(bo, confirm, null);
    const met = new Promise((/** @type {(peer: any) => void} */ resolve) => {
      bo.on("call", (/** @type {any} */ call) => call.accepted.then(() => call.join({ RTCPeerConnection: null })).then((/** @type {any} */ room) => room.on("peer", resolve)));
    });
    const here = code("call").replace("{ stream }", "{ RTCPeerConnection: null }");
    await new AsyncFunction("client", here)(client);
    await met;
    assert.deepEqual(asked, ["ana calls. Answer?"]);
  } finally {
    client.close();
    bo.close();
  }
}));

test("a back end is told of rooms and missed calls, as the guide says", { timeout: 60_000 }, () => withGroup(async (group) => {
  const keys = group.write("webhook-secret", `whsec_${Buffer.alloc(32, 7).toString("base64")}\n`);
  const script = group.write("receiver.mjs", code("receiver").replace('"webhook-secret"', JSON.stringify(keys)));
  const port = await findPort();
  const url = `http://${LOOPBACK}:${port}/`;
  const receiver = { name: "receiver", program: findOnPath("node") ?? "", args: [script], env: { PORT: String(port), PATH: process.env.PATH ?? "" } };
  /** @type {Set<string>} */
  const told = new Set();
  const isTold = new Promise((/** @type {(value: void) => void} */ resolve) => {
    group.start(receiver, (child) => {
      createInterface({ input: child.process.stdout }).on("line", (line) => told.add(line).size === 3 && resolve());
      // Whoever has no signature is sent away.
      return child.ready(() => fetch(url, { method: "POST" }).then(({ status }) => status === 401, () => false));
    }).catch((error) => group.stop().then(() => Promise.reject(error)));
  });
  const node = await startNode(group, group.write("jwt.key", KEY), {
    SIGNAL_NODE_WEBHOOK_URLS: url,
    SIGNAL_NODE_WEBHOOK_SECRET_FILE: keys,
    SIGNAL_NODE_WEBHOOK_NETWORKS: "127.0.0.0/8",
    SIGNAL_NODE_WEBHOOK_EVENTS: "room.started,peer.joined,call.missed",
  });
  const token = mintToken(KEY, { sub: "ana", room: "*", call: ["*"] });
  const client = new SignalClient({ url: `ws://${node}`, token: async () => token, WebSocket });
  try {
    client.join("demo", { RTCPeerConnection: null });
    client.call("bo").accepted.catch(() => {});
    await isTold;
    assert.deepEqual([...told].sort(), ["peer.joined demo", "push to bo: ana calls", "room.started demo"]);
  } finally {
    client.close();
  }
}));

test("the endpoints are as short as an afternoon wants them", () => {
  for (const language of ["node", "python"]) {
    const lines = code(`token endpoint: ${language}`).split("\n").filter((line) => line.trim() !== "");
    assert(lines.length <= 20, `${language}: ${lines.length} lines`);
  }
});

test("the package installs into an empty project, with its types", () => {
  const folder = mkdtempSync(join(tmpdir(), "package-"));
  const client = join(ROOT, "client");
  try {
    const npm = (/** @type {string[]} */ args, /** @type {string} */ cwd) => run("npm", args, { cwd });
    const [{ filename, files }] = JSON.parse(npm(["pack", "--json", "--silent", "--pack-destination", folder], client).replace(/^[^[]*/, ""));
    const names = files.map((/** @type {{path: string}} */ { path }) => path);
    assert(names.includes("src/index.js") && names.includes("types/index.d.ts"));
    assert(!names.some((/** @type {string} */ name) => name.startsWith("test/")));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "empty", type: "module" }));
    npm(["install", "--offline", "--no-audit", "--no-fund", join(folder, filename)], folder);
    writeFileSync(join(folder, "app.ts"), typed('const word: string = client.state.phase;'));
    const tsc = [join(client, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "app.ts"];
    run(process.execPath, tsc, { cwd: folder });
    writeFileSync(join(folder, "app.ts"), typed("const word: number = client.state.phase;"));
    assert.throws(() => run(process.execPath, tsc, { cwd: folder }), "types are checked");
    const shown = run(process.execPath, ["--input-type=module", "-e", 'import { SignalClient } from "@signal-cluster/client"; console.log(typeof SignalClient)'], { cwd: folder });
    assert.equal(shown.trim(), "function");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** A program that uses the package. @param {string} line */
function typed(line) {
  return `import { SignalClient } from "@signal-cluster/client";
const client = new SignalClient({ url: "ws://127.0.0.1:8080", token: async () => "…" });
${line}
export const room = client.join("demo", { meta: { name: "Ana" } });
console.log(word);
`;
}
