import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readFileSync } from "node:fs";
import { BINARIES } from "./binaries.js";
import { connected, joinIn, openMember } from "./in-room.js";
import { killNode, nodeCalled, reviveNode } from "./nodes.js";
import { openBrowser } from "./browser.js";
import { serveSdk } from "./static.js";
import { startCluster } from "../../deploy/local/cluster.js";
import { until } from "./page.js";

/** The modules of the SDK in rooms of a cluster: two pages, each at a node of its own. */

const LIMITS = { timeout: 90_000 };

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let site;
let browsers = [];

before(async () => {
  site = await serveSdk();
  cluster = await startCluster({ binaries: BINARIES, nodeEnv: () => ({ SIGNAL_NODE_ALLOWED_ORIGINS: site.origin }) });
  browsers = await Promise.all([openBrowser(), openBrowser()]);
}, LIMITS);

after(async () => {
  await Promise.all(browsers.map(({ close }) => close()));
  await cluster?.stop();
  site?.close();
});

/** Opens Ana at the first node and Ben at the second, which are those of a balancer where `url` is one. */
async function openRoom(room, { options, stream, url } = {}) {
  const pages = [];
  for (const [index, name] of ["Ana", "Ben"].entries()) {
    const member = { url: url ?? cluster.nodes[index].origin, token: cluster.token(name, room), room, name, options, stream };
    pages.push(await openMember(browsers[index].context, site.origin, member));
  }
  return pages;
}

const closeAll = (pages) => Promise.all(pages.map((page) => page.close()));

/** The block of code below a heading of client/README.md. */
function blockOf(heading) {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  return /```js\n([^]*?)```/.exec(readme.slice(readme.indexOf(`\n## ${heading}\n`)))[1];
}

/** Runs a block of code as a module of the page does, with the elements that it names. */
async function runBlock(page, code) {
  await page.setContent('<input type="file" id="input"><progress id="bar"></progress>');
  await page.addScriptTag({ type: "module", content: `const { room, input, bar } = window;\n${code}\nwindow.isRun = true;` });
  await page.waitForFunction(() => window.isRun);
}

test("the code of the README sends texts, calls and a file between two pages", LIMITS, async () => {
  const pages = await openRoom("readme");
  for (const page of pages) await runBlock(page, blockOf("Modules"));
  await connected(pages);
  const [ana, ben] = pages;
  await ana.setInputFiles("#input", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("twelve bytes") });
  const received = await until(ben, () => window.logged.length === 2 && Promise.all(window.logged.flat().map((value) => value.text?.() ?? value)));
  assert.deepEqual(received, ["Ana", "hello", "notes.txt", "twelve bytes"]);
  await until(ana, () => window.bar.value === 1);
  assert.deepEqual(await ana.evaluate(() => window.logged), [[3]]);
  await closeAll(pages);
});

test("a page that asks for a channel late gets what came before, and has its own way of sending", LIMITS, async () => {
  const pages = await openRoom("late");
  await connected(pages);
  const [ana, ben] = pages;
  await ana.evaluate(async () => {
    const [peer] = room.peers.values();
    for (const number of [1, 2, 3]) await modules.channel(peer, "chat").send(number);
    await modules.channel(peer, "other").send("x");
    window.sending = modules.sendFile(peer, new Blob(["four"]));
  });
  await until(ben, async () => [...(await [...room.peers.values()][0].pc.getStats()).values()].filter(({ type, messagesReceived }) => type === "data-channel" && messagesReceived > 0).length >= 3);
  const heard = await ben.evaluate(async () => {
    const [peer] = room.peers.values();
    const opened = [];
    const got = [];
    let own;
    peer.pc.createDataChannel = (label, options) => RTCPeerConnection.prototype.createDataChannel.call(peer.pc, label, (own = options));
    const chat = modules.channel(peer, "chat", { ordered: false });
    chat.on("message", (data) => got.push(data));
    modules.onChannel(peer, ({ label }) => opened.push(label));
    await chat.send("answer");
    const { ordered } = own;
    const size = await new Promise((done) => modules.onFile(peer, async (file) => done((await file.accept()).size)));
    return { got, opened: opened.filter((label) => label !== "files"), ordered, size };
  });
  assert.deepEqual(heard, { got: [1, 2, 3], opened: ["other"], ordered: false, size: 4 });
  await ana.evaluate(() => sending);
  await closeAll(pages);
});

test("a call whose answer cannot be sent fails at once, and what is sent to a member that left is refused", LIMITS, async () => {
  const pages = await openRoom("answers");
  const [ana, ben] = pages;
  await ben.evaluate(() => {
    const calls = modules.rpc(room);
    calls.on("large", () => "x".repeat(2 ** 20));
    calls.on("circular", () => Object.assign({}, { self: window }));
  });
  await connected(pages);
  const codes = await ana.evaluate(async () => {
    const [peer] = room.peers.values();
    window.ben = peer;
    const code = (/** @type {string} */ method) => modules.rpc(room).call(peer, method, null, { timeout: 5000 }).catch((error) => [error.name, error.code]);
    return [await code("large"), await code("circular")];
  });
  assert.deepEqual(codes, [["RpcError", "failed"], ["RpcError", "failed"]]);
  await ben.evaluate(() => room.leave());
  await until(ana, () => room.peers.size === 0);
  const late = await ana.evaluate(async () => {
    const outcome = (promise) => promise.then(() => "sent", (error) => [error.name, error.code]);
    const { channel, sendFile, rpc } = modules;
    return [await outcome(channel(ben, "new").send("x")), await outcome(sendFile(ben, new Blob(["x"]))), await outcome(rpc(room).call(ben, "large"))];
  });
  assert.deepEqual(late, [["SignalError", "closed"], ["SignalError", "closed"], ["RpcError", "closed"]]);
  await closeAll(pages);
});

test("members are connected when both want it, even when both say so at once, and stay so until one ends it", LIMITS, async () => {
  const pages = await openRoom("chosen", { options: { connect: false } });
  const both = (action) => Promise.all(pages.map((page) => page.evaluate((name) => [...room.peers.values()][0][name](), action)));
  const stateOf = (state) => Promise.all(pages.map((page) => until(page, (wanted) => [...room.peers.values()][0]?.state === wanted, state)));
  await stateOf("new");
  await both("connect");
  await connected(pages);
  await both("disconnect");
  await stateOf("new");
  await both("connect");
  await connected(pages);
  const [ana, ben] = pages;
  await ana.evaluate(() => [...room.peers.values()][0].disconnect());
  await stateOf("new");
  await until(ben, () => room.unsettled === 0);
  const dump = await ben.evaluate(() => client.dump());
  const [{ state, unsettled, peers }] = dump.rooms;
  assert.deepEqual([state, unsettled, peers.length, peers[0].state, peers[0].connectionState], ["joined", 0, 1, "new", undefined]);
  assert.equal(dump.node, await ben.evaluate(() => client.node));
  assert.ok(dump.log.length > 0 && !JSON.stringify(dump).includes("a=candidate") && !JSON.stringify(dump).includes("Ana"));
  await ben.evaluate(() => room.leave());
  await until(ana, () => room.peers.size === 0);
  await ben.evaluate(async () => void (window.room = await client.join("chosen", { connect: false })));
  await stateOf("new");
  await both("connect");
  await connected(pages);
  await closeAll(pages);
});

test("a page that is loaded again is connected to as soon as it wants it", LIMITS, async () => {
  const pages = await openRoom("again", { options: { connect: false } });
  const connect = (page) => page.evaluate(() => [...room.peers.values()][0].connect());
  const [ana, ben] = pages;
  await Promise.all(pages.map(connect));
  await connected(pages);
  await ben.reload();
  await joinIn(ben, { url: cluster.nodes[1].origin, token: cluster.token("Ben", "again"), room: "again", name: "Ben", options: { connect: false } });
  assert.deepEqual(await ben.evaluate(() => [...room.peers.values()].map(({ state }) => state)), ["new"]);
  await connect(ben);
  await connected(pages);
  await closeAll(pages);
});

/** Opens a room of two pages that may change nodes; Ben keeps what is offered in `file`. */
async function openTransfer(room) {
  const pages = await openRoom(room, { url: cluster.nodes.map(({ origin }) => origin) });
  await pages[1].evaluate(() => room.on("peer", (peer) => modules.onFile(peer, (file) => (window.file = file))));
  await connected(pages);
  return pages;
}

/** Offers so many MiB of one byte from the first page and waits until the second has the offer. */
async function offer([from, to], size, fill) {
  await to.evaluate(() => delete window.file);
  await from.evaluate(([size, fill]) => {
    const [peer] = room.peers.values();
    window.sending = modules.sendFile(peer, new Blob([new Uint8Array(size * 2 ** 20).fill(fill)])).then(() => "sent", (error) => error.code);
  }, [size, fill]);
  await to.waitForFunction(() => window.file);
}

/** Takes half of the offered file; `broken` says how that ends. */
const takeSome = (page) => page.evaluate(async () => {
  const begun = new Promise((done) => file.once("progress", done));
  window.broken = file.accept().then(({ size }) => size, (error) => error.code);
  await begun;
});

test("a file arrives whole while the node of its receiver is killed", LIMITS, async () => {
  const pages = await openTransfer("killed");
  const [ana, ben] = pages;
  await offer(pages, 32, 1);
  const node = await nodeCalled(cluster, await ben.evaluate(() => client.node));
  await ben.evaluate(() => (window.whole = file.accept().then(({ size }) => size)));
  killNode(node);
  assert.deepEqual([await ana.evaluate(() => sending), await ben.evaluate(() => whole)], ["sent", 32 * 2 ** 20]);
  await reviveNode(cluster, node);
  await closeAll(pages);
});

test("a sender that is loaded again has given its file up, and the next one mixes with nothing", LIMITS, async () => {
  const pages = await openTransfer("reloaded");
  const [ana, ben] = pages;
  await offer(pages, 64, 2);
  await takeSome(ben);
  await ana.reload();
  await joinIn(ana, { url: cluster.nodes[0].origin, token: cluster.token("Ana", "reloaded"), room: "reloaded", name: "Ana" });
  await connected(pages);
  await offer(pages, 96, 3);
  assert.equal(await ben.evaluate(() => broken), "cancelled");
  const values = await ben.evaluate(async () => [...new Set(new Uint8Array(await (await file.accept()).arrayBuffer()))]);
  assert.deepEqual([values, await ana.evaluate(() => sending)], [[3], "sent"]);
  await closeAll(pages);
});
