import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { BINARIES } from "./binaries.js";
import { CALL_WITHIN, openDemo, until } from "./page.js";
import { Group } from "../../deploy/local/processes.js";
import { changeFingerprint, hideBehindNat, holdOffers, moveClock, signalOnly, useServers, waitForConsent } from "./in-failing.js";
import { connected, joinIn } from "./in-room.js";
import { findPort } from "../../deploy/local/ports.js";
import { openBrowser } from "./browser.js";
import { readFindings, readTimeline, readTimelineOnce } from "./timelines.js";
import { serveSdk } from "./static.js";
import { serversAt, startRelay } from "./failing-relays.js";
import { signCredential } from "../../deploy/local/coturn.js";
import { startCluster } from "../../deploy/local/cluster.js";

/** Why a call failed, as a node tells an operator afterwards: each rule is shown right by a failure that Chromium meets. */

const LIMITS = { timeout: 120_000 };

/** Failures wait for the browser most of the time, so many are made at once. */
const AT_ONCE = { concurrency: 5 };

/** Nodes by what is special about their credential service. */
const [FOREIGN, PLAIN] = [0, 1];

const RELAY_ONLY = { iceTransportPolicy: "relay" };

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
/** @type {Group} */
let group;
let browser;
let site;
let folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "signal-e2e-"));
  const foreign = join(folder, "foreign-secret");
  writeFileSync(foreign, "the-relay-has-never-heard-of-this-secret", { mode: 0o600 });
  const settings = { [FOREIGN]: { TURN_CRED_SECRET_FILE: foreign } };
  const nodeEnv = () => ({ SIGNAL_NODE_ALLOWED_ORIGINS: "*" });
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  cluster = await startCluster({ binaries: BINARIES, nodes: 2, nodeEnv, credentialsEnv: (index) => settings[index] ?? {} });
  site = await serveSdk();
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  site?.close();
  await cluster?.stop();
  await group?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/**
 * Opens a page that joins a room, after `steps` have run in it.
 * @param {string} room
 * @param {string} name
 * @param {{node?: number, options?: object, steps?: [Function, any?][], context?: import("playwright-core").BrowserContext}} [how]
 */
async function open(room, name, { node = PLAIN, options = {}, steps = [], context = browser.context } = {}) {
  const page = await context.newPage();
  await page.goto(site.origin);
  for (const [step, argument] of steps) await page.evaluate(/** @type {any} */ (step), argument);
  await joinIn(page, { url: cluster.nodes[node].origin, room, name, token: cluster.token(name, room), options });
  return page;
}

/** Ana and Ben, one after the other, both in the same way. */
async function openPair(room, how = {}) {
  return [await open(room, "ana", how), await open(room, "ben", how)];
}

/** What a rule has found in a room, and the first of it in words. */
async function found(room, rule) {
  const [finding] = await readFindings(cluster, room, rule);
  return finding;
}

/** Both sides may use relays only, those of `servers`. @param {RTCIceServer[]} servers */
const relayed = (servers) => ({ options: RELAY_ONLY, steps: [[useServers, servers]] });

describe("a relay that cannot be used is named, with the reason", AT_ONCE, () => {
  test("it has another secret than the credential service", LIMITS, async () => {
    await openPair("foreign", { node: FOREIGN, options: RELAY_ONLY });
    const { text, severity } = await found("foreign", "relay_credential_refused");
    const relay = new URL(cluster.relays[0].url.replace("turn:", "http://")).host;
    assert.match(text, new RegExp(`^(ana|ben) got no relay candidate: relay ${relay} refused it with 401, although its credential has not expired`));
    assert.equal(severity, "problem");
    const { events } = await readTimeline(cluster, "foreign");
    assert.deepEqual(events.filter(({ type }) => type === "joined").map(({ user }) => user), ["ana", "ben"]);
    assert.doesNotMatch(JSON.stringify(events), /candidate:|a=|typ host/, "no SDP and no candidate is kept");
  });

  test("the credential had expired", LIMITS, async () => {
    const servers = [{ urls: cluster.relays[0].url, ...signCredential(cluster.turnSecret, "ana", -30) }];
    await openPair("expired", relayed(servers));
    const { text } = await found("expired", "relay_credential_expired");
    assert.match(text, /refused it with 401, since its credential had expired 3\d s before\.$/);
  });

  test("the user has as many allocations as it may", LIMITS, async () => {
    const relay = await startRelay(group, "quota", "user-quota=1");
    await openPair("quota", relayed(relay.servers("udp")));
    const { text } = await found("quota", "relay_quota");
    assert.match(text, new RegExp(`this user has as many allocations at relay ${relay.host} as it may \\(486\\)`));
  });

  test("it has no port left", LIMITS, async () => {
    const port = await findPort();
    const relay = await startRelay(group, "capacity", `min-port=${port}\nmax-port=${port}`);
    await openPair("capacity", relayed(relay.servers("udp")));
    const { text } = await found("capacity", "relay_capacity");
    assert.match(text, /has no capacity left \(508\)/);
  });

  test("UDP is blocked, and there is no other way", LIMITS, async () => {
    const relay = await startRelay(group, "no-udp", "no-udp");
    await openPair("udp-blocked", relayed(relay.servers("udp")));
    const { text } = await found("udp-blocked", "udp_blocked");
    assert.match(text, new RegExp(`relay ${relay.host} did not answer over UDP, and no relay over TCP or TLS is configured`));
  });

  test("UDP is blocked, and TCP works", LIMITS, async () => {
    const relay = await startRelay(group, "tcp-too", "no-udp");
    const pages = await openPair("over-tcp", relayed(relay.servers("udp", "tcp")));
    await connected(pages);
    const { text, severity } = await found("over-tcp", "relay_over_tcp");
    assert.match(text, /is connected by a relay over TCP: UDP does not get through/);
    assert.equal(severity, "note");
    const { findings } = await readTimeline(cluster, "over-tcp");
    assert.ok(findings.every((finding) => finding.severity === "note"), JSON.stringify(findings));
  });

  test("it does not answer at all", LIMITS, async () => {
    await openPair("unreachable", relayed(serversAt(await findPort(), "udp", "tcp")));
    const { text } = await found("unreachable", "relay_unreachable");
    assert.match(text, /did not answer, neither over UDP nor over TCP or TLS/);
  });

  test("relays alone are allowed, and there is none", LIMITS, async () => {
    await openPair("policy", relayed([]));
    const { text } = await found("policy", "policy_without_relay");
    assert.match(text, /may connect over relays only .* and was given none/);
  });

  test("it reaches no peer", LIMITS, async () => {
    const relay = await startRelay(group, "denies", "denied-peer-ip=127.0.0.0-127.255.255.255");
    await openPair("denied", relayed(relay.servers("udp")));
    const { text } = await found("denied", "no_path");
    assert.match(text, /found no path to (ana|ben): none of its \d+ candidates reaches/);
  });
});

describe("what the two sides did is told", AT_ONCE, () => {
  test("one side never answered", LIMITS, async () => {
    await open("silent", "ben", { steps: [[signalOnly]] });
    await open("silent", "ana");
    const { text } = await found("silent", "not_answered");
    assert.equal(text, "ben was in the room and never answered the offer of ana. It has reported no attempt of its own.");
  });

  test("one side left while the other was connecting", LIMITS, async () => {
    const ben = await open("leaves", "ben", { steps: [[signalOnly]] });
    await open("leaves", "ana");
    await ben.evaluate(() => window.room.leave());
    const { text } = await found("leaves", "peer_left");
    assert.match(text, /^ben left while ana was connecting to it, \d+ s after the begin\.$/);
  });

  test("one side was away", LIMITS, async () => {
    const ben = await open("away", "ben", { steps: [[signalOnly]] });
    await ben.evaluate(() => window.client.close());
    await open("away", "ana");
    const { text } = await found("away", "peer_away");
    assert.match(text, /^ben was away and did not come back while ana was connecting/);
  });

  test("offers crossed, and one side gave way", LIMITS, async () => {
    const pages = await openPair("glare", { steps: [[waitForConsent]] });
    await until(pages[0], () => window.room.peers.size === 1);
    await Promise.all(pages.map((page) => page.evaluate(holdOffers)));
    await Promise.all(pages.map((page) => page.evaluate(() => [...window.room.peers.values()][0].connect())));
    await Promise.all(pages.map((page) => until(page, () => window.offers > 0)));
    await Promise.all(pages.map((page) => page.evaluate(() => window.release())));
    await connected(pages);
    const findings = await readFindings(cluster, "glare", "glare");
    assert.ok(findings.every(({ severity }) => severity === "note"));
    assert.ok(findings.some(({ text }) => /^Offers crossed: (ana|ben) (dropped its own|went on with its own)/.test(text)), JSON.stringify(findings));
  });

  test("the clock of a device is ahead", LIMITS, async () => {
    await open("clock", "ana", { steps: [[moveClock, 45_000]] });
    await open("clock", "ben");
    const { text } = await found("clock", "clock_skew");
    assert.match(text, /^The clock of the device of ana is 4[45] s ahead\.$/);
  });
});

test("a call that comes about directly has nothing to explain, however long it lasts", LIMITS, async () => {
  const pages = await openPair("fine");
  await connected(pages);
  // As long as a silent relay would take to be named.
  const lasts = () => performance.now() - (window.since ??= performance.now()) > 11_000;
  await Promise.all(pages.map((page) => until(page, lasts)));
  await pages[1].evaluate(() => window.room.leave());
  const isOver = ({ events }) => events.filter(({ call }) => call?.state === "ended").length === 2;
  const { findings, events } = await readTimelineOnce(cluster, "fine", isOver);
  assert.deepEqual(findings, [], JSON.stringify(events));
});

describe("where the path itself fails, that is told", AT_ONCE, () => {
  test("two NATs, and no relay", LIMITS, async () => {
    await openPair("nats", { steps: [[hideBehindNat]] });
    const { text } = await found("nats", "no_relay_configured");
    assert.match(text, /found no direct path, and have no relay/);
  });

  test("the certificate is not that of the description", LIMITS, async () => {
    await open("dtls", "ana", { steps: [[changeFingerprint]] });
    await open("dtls", "ben");
    const { text } = await found("dtls", "dtls_failed");
    assert.match(text, /^(ana|ben) found a path to (ana|ben), and the DTLS handshake over it failed\.$/);
  });

  test("a policy of the browser forbids every candidate", LIMITS, async () => {
    const other = await openBrowser({ args: ["--force-webrtc-ip-handling-policy=disable_non_proxied_udp", "--webrtc-ip-handling-policy=disable_non_proxied_udp"] });
    try {
      const { context } = other;
      await open("none", "ana", { context, steps: [[useServers, []]] });
      await open("none", "ben", { steps: [[useServers, []]] });
      const { text } = await found("none", "no_candidates");
      assert.equal(text, "ana found no candidate at all.");
    } finally {
      await other.close();
    }
  });

  test("camera and microphone are refused", LIMITS, async () => {
    const other = await openBrowser({ args: ["--use-fake-ui-for-media-stream=deny"] });
    try {
      const { page } = await openDemo(other.context, cluster.nodes[PLAIN].origin, { room: "camera", token: cluster.token("ana", "camera"), auto: false, pattern: false });
      await page.click("#enter");
      const { text } = await found("camera", "media_refused");
      assert.equal(text, "ana sends no camera or microphone: the user or a policy of the browser has refused them.");
    } finally {
      await other.close();
    }
  });
});

test("a path that is lost with its relay is told, and that it is found again", LIMITS, async () => {
  const pages = await openPair("lost", { options: RELAY_ONLY });
  await connected(pages);
  const [relay] = cluster.relays;
  const killed = relay.process;
  killed.kill();
  await killed.ended;
  const failed = () => [...window.room.peers.values()][0].state === "failed";
  await Promise.all(pages.map((page) => until(page, failed, null, { timeout: 2 * CALL_WITHIN })));
  const { text } = await found("lost", "path_lost");
  assert.match(text, /lost the path to (ana|ben) after \d+ s, and \d+ ICE restarts have found no other one\.$/);
  await relay.restart();
  const again = await found("lost", "path_recovered");
  assert.match(again.text, /found one again after \d+ ICE restarts\.$/);
});
