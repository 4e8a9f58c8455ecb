import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { BINARIES } from "./binaries.js";
import { COUNTRY_HEADER } from "../../deploy/local/haproxy.js";
import { CALL_WITHIN, connectedPeers, moreFrames, openDemo, until } from "./page.js";
import { Pushes, relayUrls } from "./pushes.js";
import { joinForServers } from "./handed.js";
import { openBrowser } from "./browser.js";
import { beginWithOneRelay, readPath, relayed } from "./in-call.js";
import { startCluster } from "../../deploy/local/cluster.js";

/** Two regions with a relay each: who gets which, and what happens when one of them dies. */

const LIMITS = { timeout: 120_000 };

/** What the balancer says of people who come in by its door for Germany. */
const GERMAN = { [COUNTRY_HEADER]: "DE" };

/** How soon new calls are relayed after a relay was killed, and how soon nobody is sent to it any more (ms). */
const MOVED_WITHIN = 5_000;

/** How often somebody new joins while a change is waited for (ms). */
const JOIN_EVERY = 100;

/** How soon a call that has lost its relay may be expected back: it takes a browser seconds to find out (ms). */
const BACK_WITHIN = 30_000;

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let browsers = [];
/** The running calls. */
let calls = [];

before(async () => {
  const relays = [{ region: "us", countries: ["US"] }, { region: "eu", countries: ["DE", "FR"] }];
  cluster = await startCluster({ binaries: BINARIES, relays });
  browsers = await Promise.all([openBrowser(), openBrowser()]);
}, LIMITS);

after(async () => {
  await Promise.all(browsers.map(({ close }) => close()));
  await cluster?.stop();
});

const relayOf = (region) => cluster.relays.find((relay) => relay.region === region);

let members = 0;

/** Joins as somebody new and returns the relays handed over. */
function newcomer(origin, headers) {
  const name = `newcomer-${(members += 1)}`;
  return joinForServers(origin, { room: name, token: cluster.token(name, name), headers });
}

/**
 * A call over the relay alone between two people who both come from `country`.
 * @param {{country: string, script?: () => void}} options `script` runs before those of the page
 */
async function openCall(room, { country, script }) {
  const open = async (name, index) => {
    let pushes;
    const prepare = async (page) => {
      pushes = new Pushes(page);
      if (script) await page.addInitScript(script);
    };
    const token = cluster.token(name.toLowerCase(), room);
    const { page, faults } = await openDemo(browsers[index].context, cluster.balancer.origins[country], { room, name, token, relay: true, prepare });
    return { pushes, page, faults };
  };
  const sides = await Promise.all([open("Ana", 0), open("Ben", 1)]);
  const pages = sides.map(({ page }) => page);
  await Promise.all(pages.map((page) => connectedPeers(page, 1)));
  return { pages, sides };
}

/** Waits until both ends of a call send by the relay at `url`; returns when that was, and the fragments of their gathering. */
async function goesOver({ pages }, url) {
  const paths = await Promise.all(pages.map((page) => until(page, readPath, { url }, { timeout: BACK_WITHIN })));
  return { at: Math.max(...paths.map(({ at }) => at)), fragments: paths.map(({ fragment }) => fragment) };
}

test("people are given the relay of the country that the balancer says they come from, and another in reserve", LIMITS, async () => {
  const { origins } = cluster.balancer;
  const [us, eu] = ["us", "eu"].map((region) => relayOf(region).url);
  assert.deepEqual(Object.keys(origins).sort(), ["DE", "FR", "US"]);
  assert.deepEqual((await newcomer(origins.DE)).urls, [eu, us]);
  assert.deepEqual((await newcomer(origins.FR)).urls, [eu, us]);
  assert.deepEqual((await newcomer(origins.US)).urls, [us, eu]);
  assert.deepEqual((await newcomer(cluster.balancer.origin)).urls, [us, eu], "of whom nothing is known");
});

test("a country counts only as the balancer says it", LIMITS, async () => {
  const [us, eu] = ["us", "eu"].map((region) => relayOf(region).url);
  assert.deepEqual((await newcomer(cluster.balancer.origins.US, GERMAN)).urls, [us, eu], "through the balancer it is replaced");
  assert.deepEqual((await newcomer(cluster.balancer.origin, GERMAN)).urls, [us, eu], "or taken away");
  assert.deepEqual((await newcomer(cluster.nodes[0].origin, GERMAN)).urls, [eu, us], "whom a node trusts, here this machine, it believes");
});

test("a relay that dies is handed to nobody within seconds, and calls over it go on over the other one", LIMITS, async (t) => {
  const [lost, spared] = [relayOf("eu"), relayOf("us")];
  calls = [
    await openCall("prepared", { country: "DE" }),
    await openCall("bare", { country: "DE", script: beginWithOneRelay }),
    await openCall("other", { country: "US", script: beginWithOneRelay }),
  ];
  const [prepared, bare, other] = calls;
  const began = { bare: await goesOver(bare, lost.url), other: await goesOver(other, spared.url) };
  const paths = await Promise.all(prepared.pages.map((page) => until(page, readPath)));
  t.diagnostic(`a call that may use both relays began by ${paths.map(({ url }) => (url === lost.url ? "that which dies" : "the other one")).join(" and ")}`);
  const killed = Date.now();
  lost.process.kill();
  const after = (at) => `${at - killed} ms`;
  await newcomersMove(t, { lost, spared, killed });

  const drains = await Promise.all(calls.flatMap(({ sides }) => sides).map(({ pushes }) => pushes.nth("drain")));
  for (const { servers } of drains) assert.deepEqual(relayUrls(servers), [spared.url]);
  t.diagnostic(`the members of running calls were told after ${drains.map(({ at }) => after(at)).join(", ")}`);

  const back = { prepared: await goesOver(prepared, spared.url), bare: await goesOver(bare, spared.url), other: await goesOver(other, spared.url) };
  const how = back.prepared.fragments.every((fragment, side) => fragment === paths[side].fragment) ? "by themselves" : "by an ICE restart";
  t.diagnostic(`calls went over the other relay ${after(back.prepared.at)} after the kill where they knew it (${how}), else ${after(back.bare.at)} after it`);
  for (const side of [0, 1]) assert.notEqual(back.bare.fragments[side], began.bare.fragments[side], "ICE was restarted where there was no path");
  assert.deepEqual(back.other.fragments, began.other.fragments, "a call that did not use the relay does not restart");
  await Promise.all(calls.flatMap(({ pages }) => pages).map((page) => moreFrames(page, 15)));
  assert.deepEqual(calls.flatMap(({ sides }) => sides).flatMap(({ faults }) => faults), []);
});

test("a relay that is back is handed out again", LIMITS, async (t) => {
  const relay = relayOf("eu");
  await relay.restart();
  const restarted = Date.now();
  await newcomersGet([relay.url, relayOf("us").url]);
  t.diagnostic(`${Date.now() - restarted} ms after it was there again`);
});

/** New members are relayed all the time, and soon are not sent to the dead relay any more. */
async function newcomersMove(t, { lost, spared, killed }) {
  const [{ pages: [probe] }] = calls;
  const gathers = ({ iceServers }) => probe.evaluate(relayed, iceServers);
  assert.equal(await gathers(await newcomer(cluster.balancer.origins.DE)), true);
  const relayedAfter = Date.now() - killed;
  const [moved] = await newcomersGet([spared.url]);
  assert.equal(await gathers(moved), true);
  const movedAfter = Date.now() - killed;
  t.diagnostic(`a new member had a relay candidate ${relayedAfter} ms after the kill; none was sent to the dead relay from ${movedAfter} ms on`);
  for (const ms of [relayedAfter, movedAfter]) assert.ok(ms <= MOVED_WITHIN, `${ms} ms`);
}

/** Joins anew at every node, each of which has a credential service of its own, until newcomers from Germany are handed these relays. */
async function newcomersGet(urls) {
  const deadline = Date.now() + CALL_WITHIN;
  for (;;) {
    const handed = await Promise.all(cluster.nodes.map(({ origin }) => newcomer(origin, GERMAN)));
    if (handed.every((got) => isDeepStrictEqual(got.urls, urls))) return handed;
    assert.ok(Date.now() < deadline, `newcomers still get ${handed.map((got) => got.urls.join(", ")).join("; ")}`);
    await wait(JOIN_EVERY);
  }
}
