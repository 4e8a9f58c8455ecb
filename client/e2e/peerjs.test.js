import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BINARIES } from "./binaries.js";
import { killNode } from "./nodes.js";
import { openBrowser } from "./browser.js";
import { serveBundles } from "./bundled.js";
import { startCluster } from "../../deploy/local/cluster.js";
import { until } from "./page.js";

/** PeerJS as it is published, on two nodes behind a balancer that keeps nobody at one. */

const LIMITS = { timeout: 90_000 };

/** How long connections and their way back to another node may take on a busy machine (ms). */
const WITHIN = { timeout: 30_000 };

const PEERJS = `
import { Peer } from "peerjs";
window.start = (id, options) => {
  const peer = new Peer(id, { ...options, config: { iceServers: [] } });
  const page = { peer, events: [], heard: [], connections: [] };
  const keep = (connection) => {
    page.connections.push(connection);
    connection.on("data", (data) => page.heard.push(data));
    connection.on("close", () => page.events.push("closed"));
  };
  peer.on("open", (open) => page.events.push("open " + open));
  peer.on("error", ({ type }) => page.events.push("error " + type));
  peer.on("disconnected", () => page.events.push("disconnected"));
  peer.on("connection", keep);
  peer.on("call", (call) => call.answer());
  page.connect = (to) => keep(peer.connect(to));
  page.call = async (to) => {
    const media = await navigator.mediaDevices.getUserMedia({ audio: true });
    await new Promise((resolve) => peer.call(to, media).peerConnection.addEventListener("connectionstatechange", ({ target }) => target.connectionState === "connected" && resolve()));
    return true;
  };
  return page;
};
`;

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let site;
let browser;

before(async () => {
  site = await serveBundles({ peerjs: PEERJS });
  cluster = await startCluster({ binaries: BINARIES, nodeEnv: () => ({ SIGNAL_NODE_DIALECTS: "peerjs", SIGNAL_NODE_ALLOWED_ORIGINS: site.origin, SIGNAL_NODE_ANONYMOUS: "always", SIGNAL_NODE_LEASE: "2s" }) });
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  await cluster?.stop();
  site?.close();
});

/** Opens a page whose peer goes to an origin; without an id the server draws one. */
async function openPeer(id, origin = cluster.balancer.origin, options = {}) {
  const page = await browser.context.newPage();
  await page.goto(`${site.origin}/peerjs`);
  const { hostname, port } = new URL(origin);
  const all = { host: hostname, port: Number(port), path: "/", secure: false, ...options };
  await page.evaluate(([name, settings]) => { window.page = window.start(name ?? undefined, settings); }, [id, all]);
  return page;
}

const saw = (page, event) => until(page, (what) => window.page.events.some((seen) => seen.startsWith(what)), event, WITHIN);
const counted = (page, event) => page.evaluate((what) => window.page.events.filter((seen) => seen === what).length, event);
const say = (page, data) => page.evaluate((what) => window.page.connections.forEach((connection) => connection.send(what)), data);
const hears = (page, data) => until(page, (what) => window.page.heard.includes(what), data, WITHIN);

// The first one, since it counts the nodes that are dead.
test("once the death of a node is certain, its clients are absent and their ids are free", LIMITS, async () => {
  const lost = await openPeer("fay", cluster.nodes[0].origin);
  const caller = await openPeer("gus", cluster.nodes[1].origin);
  await Promise.all([lost, caller].map((page) => saw(page, "open")));
  killNode(cluster.nodes[0]);
  await saw(lost, "disconnected");
  // Messages that are sent before the node's death is certain are lost with it.
  while (!/^signal_nodes_silent 1$/m.test(await metricsOf(cluster.nodes[1]))) await caller.waitForTimeout(100);
  await caller.evaluate(() => window.page.connect("fay"));
  await saw(caller, "error peer-unavailable");
  assert.equal(await counted(caller, "error peer-unavailable"), 1);
  const other = await openPeer("fay", cluster.nodes[1].origin, { token: "of-somebody-else" });
  await saw(other, "open fay");
  assert.equal(await counted(other, "error unavailable-id"), 0);
  await cluster.nodes[0].process.ended;
  await cluster.nodes[0].restart();
  await cluster.balancer.sends(cluster.nodes[0].name);
});

test("peers on two nodes exchange data and media, and go on after the death of a node", LIMITS, async () => {
  const [ana, bo] = [await openPeer("ana", cluster.nodes[0].origin, { token: "of-ana" }), await openPeer("bo", cluster.nodes[1].origin)];
  await Promise.all([ana, bo].map((page) => saw(page, "open")));
  await ana.evaluate(() => window.page.connect("bo"));
  await until(ana, () => window.page.connections[0].open, null, WITHIN);
  await say(ana, "before");
  await hears(bo, "before");
  assert.equal(await bo.evaluate(() => window.page.call("ana")), true);
  killNode(cluster.nodes[0]);
  await saw(ana, "disconnected");
  await say(bo, "while Ana has no server");
  await hears(ana, "while Ana has no server");
  assert.deepEqual([await counted(bo, "closed"), await counted(ana, "closed")], [0, 0], "no connection was cut");
  await Promise.all([ana.close(), bo.close()]);
  await cluster.nodes[0].process.ended;
  await cluster.nodes[0].restart();
  await cluster.balancer.sends(cluster.nodes[0].name);
});

test("a peer whose node was killed reconnects with its id over another node, and is called there", LIMITS, async () => {
  // haproxy has no affinity, so each connects where it is sent.
  const page = await openPeer("dora", undefined, { token: "of-dora" });
  await saw(page, "open dora");
  const before = await Promise.all(cluster.nodes.map(connections));
  const holder = before[0] > before[1] ? 0 : 1;
  killNode(cluster.nodes[holder]);
  await saw(page, "disconnected");
  await page.evaluate(() => window.page.peer.reconnect());
  await until(page, () => !window.page.peer.disconnected && window.page.events.filter((seen) => seen === "open dora").length === 2, null, WITHIN);
  const caller = await openPeer(null);
  await saw(caller, "open");
  await caller.evaluate(() => window.page.connect("dora"));
  await until(caller, () => window.page.connections[0].open, null, WITHIN);
  await say(caller, "over the node that lives");
  await hears(page, "over the node that lives");
  await cluster.nodes[holder].process.ended;
  await cluster.nodes[holder].restart();
  await cluster.balancer.sends(cluster.nodes[holder].name);
});

test("an id is taken while its holder lives, and whoever is absent is told of once", LIMITS, async () => {
  const holder = await openPeer("eve");
  await saw(holder, "open eve");
  const other = await openPeer("eve");
  await saw(other, "error unavailable-id");
  await holder.evaluate(() => window.page.connect("nobody"));
  await saw(holder, "error peer-unavailable");
  assert.equal(await counted(holder, "error peer-unavailable"), 1);
  await holder.close();
  const next = await openPeer("eve");
  await saw(next, "open eve");
});

/** The clients of PeerJS that a node has. @param {import("../../deploy/local/services.js").SignalNode} node */
async function connections(node) {
  return Number(/^signal_dialect_connections\{dialect="peerjs"\} (\d+)/m.exec(await metricsOf(node))?.[1]);
}

/** @param {import("../../deploy/local/services.js").SignalNode} node */
const metricsOf = (node) => fetch(`${node.admin}/metrics`).then((answer) => answer.text());
