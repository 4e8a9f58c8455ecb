import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { BINARIES } from "./binaries.js";
import { killNode } from "./nodes.js";
import { openBrowser } from "./browser.js";
import { serveCodelab } from "./codelab.js";
import { startCluster } from "../../deploy/local/cluster.js";
import { until } from "./page.js";

/** A page of "create or join" in real browsers, with the client of Socket.IO that it loads from the server, on two nodes. */

const LIMITS = { timeout: 90_000 };

/** How long calls and the way back to another node may take on a busy machine (ms). */
const WITHIN = { timeout: 30_000 };

const SCRIPT = fileURLToPath(new URL("../../crates/all-in-one/assets/socket.io-client/socket.io.min.js", import.meta.url));

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let site;
let browser;

before(async () => {
  site = await serveCodelab(() => cluster.balancer.origin);
  const settings = { SIGNAL_NODE_DIALECTS: "socketio", SIGNAL_NODE_SOCKETIO_CLIENT: SCRIPT, SIGNAL_NODE_ANONYMOUS: "always", SIGNAL_NODE_LEASE: "2s" };
  cluster = await startCluster({ binaries: BINARIES, nodeEnv: () => ({ ...settings, SIGNAL_NODE_ALLOWED_ORIGINS: site.origin }) });
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  await cluster?.stop();
  site?.close();
});

async function openPage(room) {
  const tab = await browser.context.newPage();
  await tab.goto(`${site.origin}/?room=${room}`);
  return tab;
}

const saw = (tab, event) => until(tab, (name) => page.events.includes(name), event, WITHIN);
const events = (tab) => tab.evaluate(() => page.events);
const plays = (tab) => until(tab, () => page.pc?.connectionState === "connected" && document.querySelector("#remote").getVideoPlaybackQuality().totalVideoFrames > 10, null, WITHIN);
const note = (tab, text) => tab.evaluate((words) => tell({ type: "note", text: words }), text);
const hears = (tab, text) => until(tab, (words) => page.heard.includes(words), text, WITHIN);

test("the script of the client has a validator, and is the one that is published", LIMITS, async () => {
  for (const name of ["socket.io.js", "socket.io.min.js"]) {
    const url = `${cluster.nodes[0].origin}/socket.io/${name}`;
    const answer = await fetch(url);
    assert.match(answer.headers.get("content-type") ?? "", /^text\/javascript/);
    assert.match(await answer.text(), /Socket\.IO v4/);
    const known = await fetch(url, { headers: { "if-none-match": answer.headers.get("etag") ?? "" } });
    assert.equal(known.status, 304);
  }
});

test("a call of two pages stays when the node of one is killed, and messages go on", LIMITS, async () => {
  const ana = await openPage("call");
  await saw(ana, "created");
  const bo = await openPage("call");
  await saw(bo, "joined");
  await Promise.all([ana, bo].map(plays));
  const cy = await openPage("call");
  await saw(cy, "full");
  await cy.close();
  const held = await Promise.all(cluster.nodes.map(connections));
  const holder = held[0] > 0 ? 0 : 1;
  killNode(cluster.nodes[holder]);
  const lost = await Promise.race([ana, bo].map((tab) => saw(tab, "disconnect").then(() => tab)));
  await saw(lost, "connect true");
  // A page that polls learns of the death of its node from the other one, and what it says before that is lost.
  while ((await connections(cluster.nodes[1 - holder])) !== 2) await ana.waitForTimeout(50);
  await Promise.all([ana, bo].map((tab) => until(tab, () => socket.connected, null, WITHIN)));
  for (const [from, to, text] of [[ana, bo, "after the death of a node"], [bo, ana, "and back"]]) {
    await note(from, text);
    await hears(to, text);
  }
  for (const tab of [ana, bo]) {
    const seen = await events(tab);
    assert.equal(await tab.evaluate(() => page.pc.connectionState), "connected");
    assert.equal(seen.filter((name) => name === "connect false").length, 1, `nobody begins anew: ${seen}`);
    assert.ok(!seen.includes("bye"), `${seen}`);
    assert.equal(await tab.evaluate(() => page.heard.length), 1);
  }
  await Promise.all([ana, bo].map(plays));
});

/** The clients of Socket.IO that a node has. @param {import("../../deploy/local/services.js").SignalNode} node */
async function connections({ admin }) {
  const text = await fetch(`${admin}/metrics`).then((answer) => answer.text());
  return Number(/^signal_dialect_connections\{dialect="socketio"\} (\d+)/m.exec(text)?.[1]);
}
