import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { addPicture, holdSignals } from "./in-call.js";
import { CALL_WITHIN, connectedPeers, moreFrames, openDemo, readIceErrors, readSelf, readStatus, until } from "./page.js";
import { openBrowser } from "./browser.js";
import { BINARIES } from "./binaries.js";
import { startCluster } from "../../deploy/local/cluster.js";

/** Calls between two browsers over a cluster of two nodes, Redis, coturn and haproxy. */

const LIMITS = { timeout: 90_000 };

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let browsers = [];

before(async () => {
  cluster = await startCluster({ binaries: BINARIES });
  browsers = await Promise.all([openBrowser(), openBrowser()]);
}, LIMITS);

after(async () => {
  await Promise.all(browsers.map(({ close }) => close()));
  await cluster?.stop();
});

/**
 * Runs `scenario` with Ana at the first origin and Ben at the second, each in a browser of their own;
 * what either page complains about fails the test.
 */
async function withCall(room, origins, options, scenario) {
  const open = (name, index) => openDemo(browsers[index].context, origins[index], { room, name, token: cluster.token(name.toLowerCase(), room), ...options });
  const demos = await Promise.all([open("Ana", 0), open("Ben", 1)]);
  const pages = demos.map(({ page }) => page);
  try {
    if (options.auto === false) await joinInTurn(pages);
    const peers = await Promise.all(pages.map((page) => connectedPeers(page, 1)));
    await scenario(pages, peers.map(([peer]) => peer));
    assert.deepEqual(demos.map(({ faults }) => faults), [[], []]);
  } finally {
    await Promise.all(pages.map((page) => page.close()));
  }
}

/** Clicks Join page by page, while no request is under way that a balancer would count as well. */
async function joinInTurn(pages) {
  await Promise.all(pages.map((page) => page.waitForLoadState("networkidle")));
  for (const page of pages) {
    await page.click("#enter");
    await page.waitForFunction(() => window.demo.room?.state === "joined", null, { timeout: CALL_WITHIN });
  }
}

const origins = () => cluster.nodes.map(({ origin }) => origin);

test("two browsers on two nodes see each other and talk through the relay alone", LIMITS, async () => {
  await withCall("relayed", origins(), { relay: true }, async (pages, peers) => {
    for (const { local, remote, protocol, dataRoundTrip } of peers) {
      assert.deepEqual({ local, remote, protocol }, { local: "relay", remote: "relay", protocol: "udp" });
      assert.equal(typeof dataRoundTrip, "number");
    }
    await Promise.all(pages.map((page) => moreFrames(page, 15)));
    for (const page of pages) assert.deepEqual(await readIceErrors(page), []);
    const [ana, ben] = await Promise.all(pages.map(readSelf));
    assert.deepEqual(peers.map(({ id }) => id), [ben.id, ana.id]);
  });
});

test("two browsers behind the balancer are spread over the nodes and call each other directly", LIMITS, async () => {
  const { origin } = cluster.balancer;
  await withCall("balanced", [origin, origin], { auto: false }, async (pages, peers) => {
    for (const { local, remote } of peers) assert.ok(![local, remote].includes("relay"), `${local} → ${remote}`);
    await Promise.all(pages.map((page) => moreFrames(page, 15)));
    const [ana, ben] = await Promise.all(pages.map(readStatus));
    assert.match(ana, /2 people · server n_/);
    assert.notEqual(ana, ben);
  });
});

test("a call in which both sides offer at the same moment settles and shows both new pictures", LIMITS, async () => {
  await withCall("glare", origins(), {}, async (pages) => {
    await Promise.all(pages.map((page) => page.evaluate(holdSignals)));
    await Promise.all(pages.map((page) => page.evaluate(addPicture)));
    const offered = () => window.held.states.includes("have-local-offer");
    await Promise.all(pages.map((page) => page.waitForFunction(offered)));
    await Promise.all(pages.map((page) => page.evaluate(() => window.held.release())));
    await Promise.all(pages.map(twoPictures));
    const sides = await Promise.all(pages.map((page) => page.evaluate(() => ({ polite: window.held.polite, states: window.held.states }))));
    const polite = sides.find((side) => side.polite);
    const impolite = sides.find((side) => !side.polite);
    assert.deepEqual(polite.states.filter((state) => state !== "stable").slice(0, 2), ["have-local-offer", "have-remote-offer"], "the polite side rolls back");
    assert.deepEqual(impolite.states.slice(0, 2), ["have-local-offer", "stable"], "the impolite side ignores the other's offer");
    await Promise.all(pages.map((page) => moreFrames(page, 15)));
    await Promise.all(pages.map((page) => connectedPeers(page, 1)));
  });
});

test("a call in which both sides restart ICE at the same moment goes on", LIMITS, async () => {
  await withCall("restarted", origins(), { relay: true }, async (pages) => {
    await Promise.all(pages.map((page) => page.evaluate(holdSignals)));
    const before = await Promise.all(pages.map(fragment));
    await Promise.all(pages.map((page) => page.evaluate(() => [...window.demo.room.peers.values()][0].pc.restartIce())));
    await Promise.all(pages.map((page) => page.waitForFunction(() => window.held.states.includes("have-local-offer"))));
    await Promise.all(pages.map((page) => page.evaluate(() => window.held.release())));
    const settled = (old) => {
      const [{ pc }] = window.demo.room.peers.values();
      return pc.signalingState === "stable" && !pc.localDescription.sdp.includes(`a=ice-ufrag:${old}\r`) && pc.connectionState === "connected";
    };
    await Promise.all(pages.map((page, index) => page.waitForFunction(settled, before[index], { timeout: CALL_WITHIN })));
    await Promise.all(pages.map((page) => moreFrames(page, 15)));
    const peers = await Promise.all(pages.map((page) => connectedPeers(page, 1)));
    assert.deepEqual(peers.flat().map(({ local, remote }) => `${local} → ${remote}`), ["relay → relay", "relay → relay"]);
  });
});

/** Waits until two pictures of the other side are decoded. */
function twoPictures(page) {
  return until(page, async () => {
    const [{ pc }] = window.demo.room.peers.values();
    const videos = [...(await pc.getStats()).values()].filter(({ type, kind }) => type === "inbound-rtp" && kind === "video");
    return pc.signalingState === "stable" && videos.filter(({ framesDecoded }) => framesDecoded > 5).length === 2;
  });
}

function fragment(page) {
  return page.evaluate(() => /a=ice-ufrag:(\S+)/.exec([...window.demo.room.peers.values()][0].pc.localDescription.sdp)[1]);
}
