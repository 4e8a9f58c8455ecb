import assert from "node:assert/strict";
import WebSocket from "ws";
import { after, before, test } from "node:test";
import { once } from "node:events";
import { BINARIES } from "./binaries.js";
import { killNode } from "./nodes.js";
import { openBrowser } from "./browser.js";
import { serveBundles } from "./bundled.js";
import { startCluster } from "../../deploy/local/cluster.js";
import { until } from "./page.js";

/**
 * Unchanged clients of topics on two nodes behind a balancer that keeps nobody at one: y-webrtc as it is published, and the
 * published core of trystero. Its strategy ws-relay is not published, so the page has one of the same verbs.
 */

const LIMITS = { timeout: 90_000 };

/** How long WebRTC connections and their way back to another node may take on a busy machine (ms). */
const WITHIN = { timeout: 30_000 };

const Y_WEBRTC = `
import * as Y from "yjs";
import { WebrtcProvider } from "y-webrtc";
window.open = (topic, url) => {
  const doc = new Y.Doc();
  const provider = new WebrtcProvider(topic, doc, { signaling: [url], peerOpts: { config: { iceServers: [] } } });
  return { doc, text: doc.getText("text"), provider, connected: () => provider.signalingConns.every((conn) => conn.connected) };
};
`;

const TRYSTERO = `
import { createStrategy, makeSocket, selfId } from "@trystero-p2p/core";
const handlers = new Map();
const joinRoom = createStrategy({
  init: ({ relayUrls: [url] }) => makeSocket(url, (text) => {
    const { topic, payload } = JSON.parse(text);
    handlers.get(topic)?.(topic, payload);
  }).ready,
  subscribe: (client, root, own, onMessage) => {
    const say = (message) => client.send(JSON.stringify(message));
    const heard = (topic, payload) => onMessage(topic, payload, (to, signal) => say({ type: "publish", topic: to, payload: signal }));
    for (const topic of [root, own]) {
      handlers.set(topic, heard);
      say({ type: "subscribe", topic });
    }
    return () => [root, own].forEach((topic) => say({ type: "unsubscribe", topic }));
  },
  announce: (client, root) => client.send(JSON.stringify({ type: "publish", topic: root, payload: JSON.stringify({ peerId: selfId }) })),
});
window.enter = (relayUrls) => {
  const room = joinRoom({ appId: "topics-test", relayUrls, rtcConfig: { iceServers: [] } }, "lobby");
  const heard = [];
  const action = room.makeAction("hello");
  const [send, onHello] = Array.isArray(action) ? action : [action.send, (take) => { action.onMessage = take; }];
  onHello((data) => heard.push(data));
  return { room, send, heard, peers: () => Object.keys(room.getPeers()).length };
};
`;

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let site;
let browsers = [];

before(async () => {
  site = await serveBundles({ "y-webrtc": Y_WEBRTC, trystero: TRYSTERO });
  cluster = await startCluster({ binaries: BINARIES, nodeEnv: () => ({ SIGNAL_NODE_DIALECTS: "topics", SIGNAL_NODE_ALLOWED_ORIGINS: site.origin }) });
  browsers = await Promise.all([openBrowser(), openBrowser()]);
}, LIMITS);

after(async () => {
  await Promise.all(browsers.map(({ close }) => close()));
  await cluster?.stop();
  site?.close();
});

/** The address that a client is pointed at. @param {string} origin @param {string} topic */
const address = (origin, topic) => `${origin.replace("http", "ws")}/topics?token=${cluster.token("somebody", topic)}`;

/** Opens a page of the application in a browser of its own, so that pages meet over WebRTC only. */
async function openPage(index, name) {
  const page = await browsers[index].context.newPage();
  await page.goto(`${site.origin}/${name}`);
  return page;
}

/** Opens a document with y-webrtc. @param {number} index @param {string} topic */
async function openDocument(index, topic) {
  const page = await openPage(index, "y-webrtc");
  await page.evaluate(([name, url]) => { window.document_ = window.open(name, url); }, [topic, address(cluster.balancer.origin, topic)]);
  return page;
}

const write = (page, text) => page.evaluate((words) => window.document_.text.insert(0, words), text);
const reads = (page, text) => until(page, (words) => window.document_.text.toString().includes(words), text, WITHIN);
const connections = (node) => fetch(`${node.admin}/metrics`).then((answer) => answer.text()).then((text) => Number(/^signal_dialect_connections\{dialect="topics"\} (\d+)/m.exec(text)?.[1]));

test("documents of y-webrtc meet over two nodes, and newcomers meet them after the death of one", LIMITS, async () => {
  const [ana, bo] = [await openDocument(0, "notes"), await openDocument(1, "notes")];
  await write(ana, "from Ana. ");
  await reads(bo, "from Ana.");
  const other = await Promise.all([openDocument(0, "plans"), openDocument(1, "plans")]);
  await write(other[0], "a second document. ");
  await reads(other[1], "a second document.");
  const held = await Promise.all(cluster.nodes.map(connections));
  assert.ok(held.every((count) => count > 0), `each node has clients: ${held}`);
  killNode(cluster.nodes[0]);
  await write(bo, "from Bo, whose connection is to Ana. ");
  await reads(ana, "from Bo,");
  for (const page of [ana, bo, ...other]) await until(page, () => window.document_.connected(), null, WITHIN);
  const cy = await openDocument(0, "notes");
  await reads(cy, "from Ana.");
  await write(cy, "from Cy. ");
  await reads(bo, "from Cy.");
  assert.equal(await bo.evaluate(() => window.document_.text.toString().includes("second")), false);
  await cluster.nodes[0].process.ended;
  await cluster.nodes[0].restart();
  await cluster.balancer.sends(cluster.nodes[0].name);
});

test("peers of trystero meet over two nodes", LIMITS, async () => {
  const urls = cluster.nodes.map(({ origin }) => address(origin, "*"));
  const pages = await Promise.all([0, 1].map((index) => openPage(index, "trystero")));
  await Promise.all(pages.map((page, index) => page.evaluate((url) => { window.peer = window.enter([url]); }, urls[index])));
  for (const page of pages) await until(page, () => window.peer.peers() === 1, null, WITHIN);
  await pages[0].evaluate(() => window.peer.send("hello"));
  await until(pages[1], () => window.peer.heard.includes("hello"), null, WITHIN);
});

test("survivors get what is published once and in order while a node is killed", LIMITS, async () => {
  const [doomed, survivor] = cluster.nodes;
  const heard = [];
  const listener = await connect(survivor);
  listener.on("message", (text) => heard.push(JSON.parse(String(text)).data));
  listener.send(JSON.stringify({ type: "subscribe", topics: ["counted"] }));
  listener.send(JSON.stringify({ type: "publish", topic: "counted", data: ["listener", 0] }));
  await heardUntil(listener, () => heard.length === 1);
  const [dying, living] = [await connect(doomed), await connect(survivor)];
  const say = (socket, name, count) => socket.send(JSON.stringify({ type: "publish", topic: "counted", data: [name, count] }));
  for (let count = 1; count <= 500; count += 1) {
    say(living, "living", count);
    if (dying.readyState === WebSocket.OPEN) say(dying, "dying", count);
    if (count === 250) killNode(doomed);
    if (count % 25 === 0) await new Promise(setImmediate);
  }
  say(living, "living", "end");
  await heardUntil(listener, () => heard.some(([, count]) => count === "end"));
  const of = (name) => heard.filter(([from]) => from === name).map(([, count]) => count);
  assert.deepEqual(of("living"), [...Array(500).keys()].map((count) => count + 1).concat("end"), "all, once, in order");
  const lost = of("dying");
  assert.deepEqual(lost, [...Array(lost.length).keys()].map((count) => count + 1), "a beginning of what it said, once, in order");
});

/** @param {import("../../deploy/local/services.js").SignalNode} node */
async function connect({ origin }) {
  const socket = new WebSocket(address(origin, "counted"));
  socket.on("error", () => {});
  await once(socket, "open");
  return socket;
}

/** Waits until messages that a socket gets have made `condition` true. @param {WebSocket} socket @param {() => boolean} condition */
async function heardUntil(socket, condition) {
  const signal = AbortSignal.timeout(WITHIN.timeout);
  while (!condition()) await once(socket, "message", { signal });
}
