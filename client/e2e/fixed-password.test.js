import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServer } from "node:http";
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { BINARIES } from "./binaries.js";
import { CALL_WITHIN, connectedPeers, openDemo } from "./page.js";
import { Group } from "../../deploy/local/processes.js";
import { findOnPath } from "../../deploy/local/tools.js";
import { gather } from "./in-call.js";
import { openBrowser } from "./browser.js";
import { startCluster } from "../../deploy/local/cluster.js";
import { startCoturn } from "../../deploy/local/coturn.js";

/** What a stranger gains by reading a page: one with a password in it, as the web is full of, and one of ours (docs/SECURITY-TURN.md). */

const LIMITS = { timeout: 90_000 };

/** How long our credentials are good for (s). */
const TTL = 10;

/** How often the stranger tries again (ms). */
const TRY_EVERY = 250;

/** `user=alice:wonderland` in the relay's configuration, and the same in every copy of the page. */
const ALICE = { user: "alice", password: "wonderland" };

/** @type {Group} */
let group;
let relay;
let site;
/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
/** Somebody who uses the pages, and the stranger, elsewhere. */
let browsers = [];

before(async () => {
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  relay = await startCoturn(group, findOnPath("turnserver"), { region: "fixed", admission: ALICE });
  site = createServer((_, response) => response.setHeader("content-type", "text/html").end(pageWithPassword(relay.url)));
  await once(site.listen(0, "127.0.0.1"), "listening");
  cluster = await startCluster({ binaries: BINARIES, nodes: 1, ttl: `${TTL}s` });
  browsers = await Promise.all([openBrowser(), openBrowser()]);
}, LIMITS);

after(async () => {
  await Promise.all(browsers.map(({ close }) => close()));
  await cluster?.stop();
  site?.close();
  await group?.stop();
});

/** @param {string} url */
function pageWithPassword(url) {
  return `<!doctype html>
<title>Call</title>
<script>
  const pc = new RTCPeerConnection({
    iceServers: [{ urls: "${url}", username: "${ALICE.user}", credential: "${ALICE.password}" }],
  });
</script>`;
}

/** Reads a page without running it, as a crawler does, and takes out what it finds there. @param {string} url */
async function stealFromSource(url) {
  const source = await (await fetch(url)).text();
  const found = (name) => new RegExp(`${name}: "([^"]*)"`).exec(source)[1];
  return { urls: found("urls"), username: found("username"), credential: found("credential") };
}

/** Gathers in the stranger's own browser, on a page that has to do with neither. */
async function gatherElsewhere(server) {
  const page = await browsers[1].context.newPage();
  await page.goto(`${cluster.nodes[0].origin}/`);
  const result = await page.evaluate(gather, server);
  await page.close();
  return result;
}

const RELAYED = { candidates: ["relay"], errors: [] };

test("a password in a page is in its source, and allocates from elsewhere for as long as the relay knows it", LIMITS, async () => {
  const stolen = await stealFromSource(`http://127.0.0.1:${site.address().port}/`);
  assert.deepEqual(stolen, { urls: relay.url, username: ALICE.user, credential: ALICE.password });
  assert.deepEqual(await gatherElsewhere(stolen), RELAYED);
  // Nothing in it ends: the next day, and the next start of the relay, change nothing.
  relay.process.kill();
  await relay.process.ended;
  await relay.restart();
  assert.deepEqual(await gatherElsewhere(stolen), RELAYED);
  const wrong = await gatherElsewhere({ ...stolen, credential: "looking-glass" });
  assert.deepEqual([wrong.candidates, [...new Set(wrong.errors.map(({ code }) => code))]], [[], [401]], "the relay does ask");
});

test("nothing that a page of ours is made of holds a credential, and the one it is handed is refused after its TTL", LIMITS, async (t) => {
  const sources = [];
  const prepare = (page) => void page.on("response", (response) => sources.push(response.text()));
  const open = (name) => openDemo(browsers[0].context, cluster.nodes[0].origin, { room: "ours", name, token: cluster.token(name.toLowerCase(), "ours"), relay: true, prepare });
  const [{ page }, { page: other }] = await Promise.all(["Ana", "Ben"].map(open));
  await Promise.all([page, other].map((one) => connectedPeers(one, 1)));
  const stolen = await page.evaluate(() => [...window.demo.room.peers.values()][0].pc.getConfiguration().iceServers[0]);
  const [expires, subject] = stolen.username.split(":");
  assert.ok(Number(expires) * 1000 <= Date.now() + TTL * 1000, `it ends ${expires}`);
  const text = (await Promise.all(sources)).join("\n");
  assert.ok(text.includes("RTCPeerConnection"), "the page's scripts are among it");
  for (const secret of [stolen.username, stolen.credential, cluster.turnSecret]) assert.ok(!text.includes(secret));
  assert.doesNotMatch(subject, /ana/i, "nor does the wire say who it is");

  assert.deepEqual(await gatherElsewhere(stolen), RELAYED, "until it ends it is good for who has it");
  let last = await gatherElsewhere(stolen);
  while (last.candidates.length > 0) {
    assert.ok(Date.now() < Number(expires) * 1000 + CALL_WITHIN, "it does not end");
    await wait(TRY_EVERY);
    last = await gatherElsewhere(stolen);
  }
  assert.ok(Date.now() >= Number(expires) * 1000, "not before its time");
  assert.deepEqual([...new Set(last.errors.map(({ code }) => code))], [401]);
  t.diagnostic(`refused ${Date.now() - Number(expires) * 1000} ms after its end`);
  await Promise.all([page, other].map((one) => connectedPeers(one, 1)));
  const password = await stealFromSource(`http://127.0.0.1:${site.address().port}/`);
  assert.deepEqual(await gatherElsewhere(password), RELAYED, "the password of the other page is still good");
});
