import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BINARIES } from "./binaries.js";
import { CALL_WITHIN, connectedPeers, moreFrames, openDemo, readSelf, until } from "./page.js";
import { back, exchange, readSeen, watch } from "./watch.js";
import { holdSignals } from "./in-call.js";
import { DRAIN, killNode, nodeCalled, restartNode, reviveNode } from "./nodes.js";
import { openBrowser } from "./browser.js";
import { startCluster } from "../../deploy/local/cluster.js";

/** What a call feels of it when nodes are killed, nodes are restarted, the relay dies, or a page is reloaded. */

const LIMITS = { timeout: 120_000 };

/** How soon a member is back in its room after its node was killed (ms). */
const BACK_WITHIN = 3_000;

/** The longest time without a new picture that is no interruption on a busy machine (ms). */
const NO_INTERRUPTION = 2_000;

/** How long TURN credentials are good for: a relay can be away for longer within a test. */
const TTL = "10s";

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let browsers = [];

before(async () => {
  cluster = await startCluster({ binaries: BINARIES, ttl: TTL, nodeEnv: () => DRAIN });
  browsers = await Promise.all([openBrowser(), openBrowser()]);
}, LIMITS);

after(async () => {
  await Promise.all(browsers.map(({ close }) => close()));
  await cluster?.stop();
});

/** Ana and Ben come in by the balancer, one after the other, which puts them on two nodes. */
async function withPair(room, options, scenario) {
  const open = (name, index) => openDemo(browsers[index].context, cluster.balancer.origin, { room, name, token: cluster.token(name.toLowerCase(), room), auto: false, ...options });
  const pages = (await Promise.all([open("Ana", 0), open("Ben", 1)])).map(({ page }) => page);
  try {
    await Promise.all(pages.map((page) => page.waitForLoadState("networkidle")));
    await enter(pages[0]);
    await scenario(pages);
  } finally {
    await Promise.all(pages.map((page) => page.close()));
  }
}

/** The same, with the call established and watched. */
function withCall(room, options, scenario) {
  return withPair(room, options, async (pages) => {
    await enter(pages[1]);
    await Promise.all(pages.map((page) => connectedPeers(page, 1)));
    await watch(pages);
    await scenario(pages);
  });
}

async function enter(page) {
  await page.click("#enter");
  await page.waitForFunction(() => window.demo.room?.state === "joined", null, { timeout: CALL_WITHIN });
}

const nodeOf = async (page) => nodeCalled(cluster, await page.evaluate(() => window.demo.node));

/** Nobody saw anybody leave, and the picture never stood still. */
async function assertUndisturbed(pages, t) {
  await Promise.all(pages.map((page) => moreFrames(page, 15)));
  const seen = await Promise.all(pages.map(readSeen));
  t.diagnostic(`longest time without a new picture: ${seen.map(({ gap }) => `${gap} ms`).join(", ")}`);
  assert.deepEqual(seen.map(({ left }) => left), [[], []]);
  for (const { gap } of seen) assert.ok(gap < NO_INTERRUPTION, `${gap} ms without a picture`);
  return seen;
}

test("a call goes on while the node of one side is killed, and that side is back on another node within seconds", LIMITS, async (t) => {
  await withCall("killed", {}, async (pages) => {
    const [mine, other] = await Promise.all(pages.map(nodeOf));
    assert.notEqual(mine.name, other.name);
    const killed = killNode(mine);
    const { after: ms, recovery } = await back(pages[0], killed);
    t.diagnostic(`back after ${ms} ms by ${recovery}`);
    assert.ok(ms <= BACK_WITHIN, `back after ${ms} ms`);
    assert.equal((await nodeOf(pages[0])).name, other.name);
    await exchange(pages, "after the kill");
    await assertUndisturbed(pages, t);
    await reviveNode(cluster, mine);
  });
});

for (const [index, role] of ["answers", "offers"].entries()) {
  test(`a call comes about although the node of the side that ${role} is killed while they negotiate`, LIMITS, async (t) => {
    await withPair(`negotiating-${role}`, {}, async (pages) => {
      const [ana, ben] = pages;
      await ana.evaluate(holdSignals);
      await enter(ben);
      await ana.waitForFunction(() => window.held.answers > 0, null, { timeout: CALL_WITHIN });
      await watch(pages);
      const mine = await nodeOf(pages[index]);
      const killed = killNode(mine);
      await pages[index].waitForFunction(() => window.demo.room.state === "away", null, { timeout: CALL_WITHIN });
      await ana.evaluate(() => window.held.release());
      const { after: ms, recovery } = await back(pages[index], killed);
      await Promise.all(pages.map((page) => connectedPeers(page, 1)));
      t.diagnostic(`back after ${ms} ms by ${recovery}`);
      await exchange(pages, "after the kill");
      const seen = await Promise.all(pages.map(readSeen));
      assert.deepEqual(seen.map(({ left }) => left), [[], []]);
      await reviveNode(cluster, mine);
    });
  });
}

test("a call does not notice that every node is restarted, one after the other", LIMITS, async (t) => {
  await withCall("rolling", {}, async (pages) => {
    for (const node of cluster.nodes) await restartNode(cluster, node);
    await exchange(pages, "after the restarts");
    const seen = await assertUndisturbed(pages, t);
    t.diagnostic(`moves: ${seen.map(({ joined }) => joined.map(({ recovery }) => recovery).join(" ")).join(", ")}`);
    assert.ok(seen.every(({ joined }) => joined.length > 0), "each side was moved");
    assert.deepEqual(seen.map(({ states }) => states), [[], []], "each side was on the next node before it left the last one");
  });
});

test("a call over a relay that dies for longer than its credentials are good is brought back by fresh ICE servers", LIMITS, async (t) => {
  await withCall("relayed", { relay: true }, async (pages) => {
    const before = await Promise.all(pages.map((page) => page.evaluate(iceUser)));
    const [turn] = cluster.relays;
    const killed = turn.process;
    killed.kill();
    await killed.ended;
    await Promise.all(pages.map((page, index) => until(page, brokenAndOver, before[index], { timeout: 30_000 })));
    await turn.restart();
    const restarted = Date.now();
    const mended = () => ([...window.demo.room.peers.values()].every(({ connected }) => connected) ? Date.now() : 0);
    const times = await Promise.all(pages.map((page) => until(page, mended, null, { timeout: 30_000 })));
    t.diagnostic(`connected ${times.map((at) => `${at - restarted} ms`).join(", ")} after the relay was there again`);
    await Promise.all(pages.map((page) => moreFrames(page, 15)));
    const peers = (await Promise.all(pages.map((page) => connectedPeers(page, 1)))).flat();
    assert.deepEqual(peers.map(({ local, remote }) => `${local} → ${remote}`), ["relay → relay", "relay → relay"]);
    assert.deepEqual((await Promise.all(pages.map(readSeen))).map(({ left }) => left), [[], []]);
  });
});

test("a page that is reloaded is the same member, and nobody sees it leave", LIMITS, async (t) => {
  await withCall("reloaded", {}, async (pages) => {
    const [ana, ben] = pages;
    const self = await readSelf(ana);
    const began = Date.now();
    await ana.reload();
    await ana.waitForFunction(() => window.demo.room?.state === "joined", null, { timeout: CALL_WITHIN });
    assert.deepEqual(await readSelf(ana), self);
    await Promise.all(pages.map((page) => connectedPeers(page, 1)));
    t.diagnostic(`pictures again ${Date.now() - began} ms after the reload`);
    const { left, states } = await readSeen(ben);
    assert.deepEqual([left, states], [[], []]);
  });
});

/** Runs inside the page: whether its call is broken and the relay would not take the credential `old` any more. */
function brokenAndOver(old) {
  const over = Date.now() / 1000 > Number(old.split(":")[0]) + 1;
  return over && [...window.demo.room.peers.values()].every(({ connected }) => !connected);
}

/** Runs inside the page: the TURN username in use. */
function iceUser() {
  return [...window.demo.room.peers.values()][0].pc.getConfiguration().iceServers[0].username;
}
