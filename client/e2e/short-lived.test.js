import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { BINARIES } from "./binaries.js";
import { CALL_WITHIN, connectedPeers, moreFrames, openDemo, readIceErrors, until } from "./page.js";
import { Pushes, expiry } from "./pushes.js";
import { gather, keepIceServersAway, readIce, readPath, restartIce } from "./in-call.js";
import { openBrowser } from "./browser.js";
import { readSeen, watch } from "./watch.js";
import { startCluster } from "../../deploy/local/cluster.js";

/**
 * Calls that outlive their credentials many times over, and the secrets these are made with. A minute of
 * each call is the subject here, so the calls share that minute.
 */

const LIMITS = { timeout: 180_000 };

const TTL = 10;

/** How long a call has gone on when ICE is restarted (s). */
const CALL = 60;

/** How often there is another secret (s). */
const ROTATE_EVERY = 4;

/** A secret is accepted for the life of a credential and 10 s of hearsay after it signed for the last time: this many rotations, and some. */
const ROTATIONS = Math.ceil((TTL + 10) / ROTATE_EVERY) + 2;

const ROTATION = { TURN_CRED_TTL: `${TTL}s`, TURN_CRED_MAX_TTL: `${TTL}s`, TURN_CRED_ROTATE_EVERY: `${ROTATE_EVERY}s`, TURN_CRED_CLOCK_SKEW: "0s" };

/** How long the credential lives that somebody makes with a stolen secret (s). */
const STOLEN_TTL = 3600;

const RELAYED = { candidates: ["relay"], errors: [] };

/** @type {import("../../deploy/local/cluster.js").Cluster} one secret for good */
let steady;
/** @type {import("../../deploy/local/cluster.js").Cluster} another secret every few seconds */
let rotating;
let browsers = [];

before(async () => {
  steady = await startCluster({ binaries: BINARIES, ttl: `${TTL}s` });
  rotating = await startCluster({ binaries: BINARIES, secrets: "redis", credentialsEnv: () => ROTATION });
  browsers = await Promise.all([openBrowser(), openBrowser()]);
}, LIMITS);

after(async () => {
  await Promise.all(browsers.map(({ close }) => close()));
  await steady?.stop();
  await rotating?.stop();
});

/**
 * Runs `scenario` with Ana at the first node and Ben at the second, in a call over the relay alone that is watched.
 * @param {import("../../deploy/local/cluster.js").Cluster} cluster
 */
async function withCall(cluster, room, { pushed = true }, scenario) {
  const open = async (name, index) => {
    let pushes;
    const prepare = async (page) => {
      pushes = new Pushes(page);
      if (!pushed) await page.addInitScript(keepIceServersAway);
    };
    const token = cluster.token(name.toLowerCase(), room);
    const { page, faults } = await openDemo(browsers[index].context, cluster.nodes[index].origin, { room, name, token, relay: true, prepare });
    return { pushes, page, faults };
  };
  const sides = await Promise.all([open("Ana", 0), open("Ben", 1)]);
  const pages = sides.map(({ page }) => page);
  await Promise.all(pages.map((page) => connectedPeers(page, 1)));
  await watch(pages);
  await scenario(pages, sides.map(({ pushes }) => pushes));
  assert.deepEqual(sides.map(({ faults }) => faults), [[], []]);
  await Promise.all(pages.map((page) => page.close()));
}

/** Sees pictures arrive, second by second, until a moment (ms since 1970). */
async function playUntil(page, moment) {
  while (Date.now() < moment) await moreFrames(page, 15);
}

/** Pictures arrive, from relay to relay. */
async function assertRelayed(pages, t) {
  await Promise.all(pages.map((page) => moreFrames(page, 15)));
  const gaps = (await Promise.all(pages.map(readSeen))).map(({ gap }) => gap);
  t.diagnostic(`longest time without a new picture: ${gaps.join(" ms, ")} ms`);
  const peers = (await Promise.all(pages.map((page) => connectedPeers(page, 1)))).flat();
  assert.deepEqual(peers.map(({ local, remote }) => `${local} → ${remote}`), ["relay → relay", "relay → relay"]);
}

/** Plays until the call is a minute old; the credential that opened it has been over for most of that. */
async function playForAMinute(pages) {
  const [{ username }] = await Promise.all(pages.map((page) => page.evaluate(readIce)));
  await Promise.all(pages.map((page) => playUntil(page, expiry(username) + (CALL - TTL) * 1000)));
}

describe("a minute of calls with credentials of ten seconds", { ...LIMITS, concurrency: 3 }, () => {
  test("a call set up with TTL 10 s is still relayed after 60 s and survives an ICE restart on a new 5-tuple at 60 s", LIMITS, async (t) => {
    await withCall(steady, "pushed", {}, async (pages, pushes) => {
      const old = await Promise.all(pages.map((page) => page.evaluate(readPath)));
      await playForAMinute(pages);
      await assertRelayed(pages, t);
      assert.deepEqual((await Promise.all(pages.map((page) => page.evaluate(readPath)))).map(({ port }) => port), old.map(({ port }) => port), "on the allocation of the first credential");
      for (const { heard } of pushes) assert.ok(heard.length >= CALL / TTL, `${heard.length} pushes`);
      const [ana] = pages;
      const restarted = await ana.evaluate(restartIce);
      assert.deepEqual(restarted.errors, []);
      assert.notEqual(restarted.after, restarted.before);
      // A 5-tuple has one allocation (RFC 8656, section 7.2): another port is another 5-tuple.
      assert.ok(restarted.ports.length > 0 && !restarted.ports.includes(old[0].port), `${restarted.ports} after ${old[0].port}`);
      const path = await until(ana, readPath, { fragment: restarted.after });
      assert.ok(restarted.ports.includes(path.port), `${path.port} of ${restarted.ports}`);
      t.diagnostic(`relayed port ${old[0].port}, then ${path.port}; ${pushes.map(({ heard }) => heard.length).join(" and ")} pushes`);
      await assertRelayed(pages, t);
      for (const page of pages) assert.deepEqual(await readIceErrors(page), []);
    });
  });

  test("the same call without pushes goes on too, but its ICE restart gathers no relay candidate and is refused with 401", LIMITS, async (t) => {
    await withCall(steady, "not-pushed", { pushed: false }, async (pages, pushes) => {
      await playForAMinute(pages);
      await assertRelayed(pages, t);
      assert.ok(pushes.every(({ heard }) => heard.length > 0), "the node does its part");
      const restarted = await pages[0].evaluate(restartIce);
      assert.notEqual(restarted.after, restarted.before);
      assert.deepEqual({ ports: restarted.ports, errors: restarted.errors }, { ports: [], errors: [401] });
      await pages[0].locator("#notices", { hasText: "The relay refused a request (401" }).waitFor({ timeout: CALL_WITHIN });
    });
  });

  test("nobody notices that the secret of the relay is another one every few seconds, and what an old one signed is refused", LIMITS, async (t) => {
    await withCall(rotating, "rotated", {}, async (pages, pushes) => {
      const before = await Promise.all(pages.map((page) => page.evaluate(readIce)));
      const stolen = await mintByThief();
      assert.deepEqual(await pages[0].evaluate(gather, stolen), RELAYED, "the stolen secret is in use");
      await Promise.all(pages.map((page, index) => gatherAfterEach(page, pushes[index])));
      assert.deepEqual(refused(await pages[0].evaluate(gather, stolen)), [401], `good for ${STOLEN_TTL} s by itself`);
      await endAtOnce(pages, t);
      await assertRelayed(pages, t);
      const now = await Promise.all(pages.map((page) => page.evaluate(readIce)));
      assert.deepEqual(now.map(({ fragment }) => fragment), before.map(({ fragment }) => fragment), "ICE was not restarted");
      for (const page of pages) assert.deepEqual(await readIceErrors(page), []);
    });
  });
});

/** Waits for rotation after rotation; what each brings must be good for a relay at once. */
async function gatherAfterEach(page, pushes) {
  for (let count = 1; count <= ROTATIONS; count += 1) {
    const { servers } = await pushes.nth("rotate", pushes.for("rotate").length + 1);
    assert.deepEqual(await page.evaluate(gather, servers), RELAYED, `rotation ${count}`);
    await moreFrames(page, 5);
  }
}

/** Rotates in an emergency: what the secret before signed is refused then, and what pages hold is good. */
async function endAtOnce(pages, t) {
  const stolen = await mintByThief();
  const began = Date.now();
  await runService(ROTATION, "rotate", "--emergency");
  t.diagnostic(`an emergency rotation took ${Date.now() - began} ms`);
  assert.deepEqual(refused(await pages[0].evaluate(gather, stolen)), [401]);
  for (const page of pages) {
    const held = await page.evaluate(() => [...window.demo.room.peers.values()][0].pc.getConfiguration().iceServers);
    assert.deepEqual(await page.evaluate(gather, held), RELAYED);
  }
}

/** The codes of a gathering that brought nothing. */
function refused({ candidates, errors }) {
  assert.deepEqual(candidates, []);
  return [...new Set(errors.map(({ code }) => code))];
}

/** Makes a credential for an hour with the secret that signs now, as somebody could who has stolen it. */
async function mintByThief() {
  const { urls, username, credential } = JSON.parse(await runService({ TURN_CRED_TTL: `${STOLEN_TTL}s` }, "mint", "--sub", "thief"));
  return { urls, username, credential };
}

/** Runs the credential service of the rotating cluster for one of its commands. @param {Record<string, string>} settings @param {string[]} args */
async function runService(settings, ...args) {
  const env = { ...rotating.secrets, TURN_CRED_CONFIG: rotating.relaysFile, ...settings };
  const { stdout } = await promisify(execFile)(join(BINARIES, "turn-cred-service"), args, { env, timeout: CALL_WITHIN });
  return stdout;
}
