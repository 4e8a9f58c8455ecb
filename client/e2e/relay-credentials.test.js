import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { BINARIES } from "./binaries.js";
import { CALL_WITHIN, connectedPeers, moreFrames, openDemo, readIceErrors, until } from "./page.js";
import { gather, readIce } from "./in-call.js";
import { openBrowser } from "./browser.js";
import { signCredential } from "../../deploy/local/coturn.js";
import { startCluster } from "../../deploy/local/cluster.js";

/** What people see of TURN credentials that are wrong, over, missing, or about to expire. */

const LIMITS = { timeout: 90_000 };

/** Nodes by what is special about their credential service; the balancer is not used here. */
const [REFUSED, ABANDONED, BRIEF] = [0, 1, 2];

const FOREIGN_SECRET = "the-relay-has-never-heard-of-this-secret";

/** How long a credential of the third node is good for (s): its page gets fresh ones every two seconds. */
const BRIEF_TTL = 4;

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let browser;
let folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "signal-e2e-"));
  const foreign = join(folder, "foreign-secret");
  writeFileSync(foreign, FOREIGN_SECRET, { mode: 0o600 });
  const settings = { [REFUSED]: { TURN_CRED_SECRET_FILE: foreign }, [BRIEF]: { TURN_CRED_TTL: `${BRIEF_TTL}s` } };
  cluster = await startCluster({ binaries: BINARIES, nodes: 3, credentialsEnv: (index) => settings[index] ?? {} });
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  await cluster?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** Opens the demo page of a node in the browser that all tests share. */
function open(index, { name = "Ana", room, ...options }) {
  return openDemo(browser.context, cluster.nodes[index].origin, { name, room, token: cluster.token(name.toLowerCase(), room), ...options });
}

test("the browser gathers a relay candidate with a good credential and is refused with 401 otherwise", LIMITS, async () => {
  const { page, faults } = await open(BRIEF, { room: "probe", auto: false });
  const [{ url }] = cluster.relays;
  const ask = ({ ttl, secret = cluster.turnSecret }) => page.evaluate(gather, { urls: url, ...signCredential(secret, "ana", ttl) });
  assert.deepEqual(await ask({ ttl: 60 }), { candidates: ["relay"], errors: [] });
  for (const options of [{ ttl: -10 }, { ttl: 60, secret: FOREIGN_SECRET }]) {
    const { candidates, errors } = await ask(options);
    assert.deepEqual(candidates, []);
    assert.deepEqual([...new Set(errors.map(({ code }) => code))], [401], JSON.stringify(options));
  }
  assert.deepEqual(faults, []);
  await page.close();
});

test("a call whose relay refuses the credentials says so in words and never connects around it", LIMITS, async () => {
  const room = "refused";
  const demos = await Promise.all(["Ana", "Ben"].map((name) => open(REFUSED, { room, name, relay: true })));
  for (const { page, faults } of demos) {
    await page.waitForFunction(() => window.demo.iceErrors.some(({ code }) => code === 401), null, { timeout: CALL_WITHIN });
    await page.locator("#notices", { hasText: "The relay refused a request (401" }).waitFor();
    await until(page, () => [...window.demo.room.peers.values()].every(({ pc }) => pc?.iceGatheringState === "complete"));
    assert.doesNotMatch(await page.evaluate(() => [...window.demo.room.peers.values()][0].pc.localDescription.sdp), /a=candidate/);
    assert.deepEqual(await page.evaluate(() => window.demo.peers().map(({ connectionState }) => connectionState)), ["new"]);
    assert.deepEqual(faults, []);
    await page.close();
  }
});

test("people still join and call at a node whose credential service is away, and are told", LIMITS, async () => {
  const { admin, credentials } = cluster.nodes[ABANDONED];
  await credentials.process.stop();
  const room = "abandoned";
  const demos = await Promise.all(["Ana", "Ben"].map((name) => open(ABANDONED, { room, name })));
  for (const { page } of demos) {
    const notice = page.locator("#notices .notice");
    await notice.waitFor();
    assert.match(await notice.textContent(), /No relay is available right now\. Calls work on the same network; across networks they may not connect\./);
  }
  const peers = (await Promise.all(demos.map(({ page }) => connectedPeers(page, 1)))).flat();
  assert.ok(peers.every(({ local, remote }) => local !== "relay" && remote !== "relay"));
  assert.ok((await readMetric(admin, 'signal_ice_fetches_total{result="unavailable"}')) >= 2);
  assert.deepEqual(demos.map(({ faults }) => faults), [[], []]);
  await Promise.all(demos.map(({ page }) => page.close()));
});

test("fresh ICE servers reach a running call before the old ones expire, and the call does not notice", LIMITS, async () => {
  const room = "brief";
  const demos = await Promise.all(["Ana", "Ben"].map((name) => open(BRIEF, { room, name, relay: true })));
  const pages = demos.map(({ page }) => page);
  await Promise.all(pages.map((page) => connectedPeers(page, 1)));
  await Promise.all(pages.map(async (page) => {
    const first = await page.evaluate(readIce);
    await until(page, (old) => [...window.demo.room.peers.values()][0].pc.getConfiguration().iceServers[0].username !== old, first.username);
    assert.ok(Date.now() < expiry(first.username), "they came in time");
    const second = await page.evaluate(readIce);
    assert.ok(expiry(second.username) > expiry(first.username));
    // Two lifetimes later the call goes on, on the allocation that the very first credential opened.
    await until(page, newerThan, expiry(first.username) / 1000 + 2 * BRIEF_TTL);
    assert.equal((await page.evaluate(readIce)).fragment, first.fragment, "ICE was not restarted");
    await moreFrames(page, 15);
    assert.deepEqual(await readIceErrors(page), []);
  }));
  const fresh = await pages[0].evaluate(() => [...window.demo.room.peers.values()][0].pc.getConfiguration().iceServers[0]);
  assert.deepEqual((await pages[0].evaluate(gather, fresh)).candidates, ["relay"]);
  assert.deepEqual(demos.map(({ faults }) => faults), [[], []]);
  await Promise.all(pages.map((page) => page.close()));
});

/** Runs inside the page: whether its credential expires after `seconds` since 1970. */
function newerThan(seconds) {
  const [{ pc }] = window.demo.room.peers.values();
  return Number(pc.getConfiguration().iceServers[0].username.split(":")[0]) >= seconds;
}

/** When a credential is over, in milliseconds since 1970. @param {string} username */
function expiry(username) {
  return Number(username.split(":")[0]) * 1000;
}

/** Returns the value of one metric, or 0. @param {string} admin @param {string} series */
async function readMetric(admin, series) {
  const text = await (await fetch(`${admin}/metrics`)).text();
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return Number(line?.slice(series.length) ?? 0);
}
