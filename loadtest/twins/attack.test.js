import { afterEach, describe, test } from "node:test";
import { findK6, runK6 } from "../lib/k6.js";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { localCluster } from "../lib/clusters.js";
import { startConductor } from "../lib/conductor.js";
import { startSaboteur } from "./saboteur.js";
import { tmpdir } from "node:os";

/**
 * The question `attack` is answered with no where an attack gets through: a real cluster with one kind of limit switched
 * off, or one that is slow, or large, once it is attacked.
 */

const BINARIES = process.env.TARGET_DIR ?? fileURLToPath(new URL("../../target/debug", import.meta.url));

const LIMITS = { timeout: 180_000 };

/** What each member may say, and have sent, is bounded by nothing but the bytes that wait for a receiver. */
const NO_SEND_LIMITS = { SIGNAL_NODE_SEND_RATE: "1GiB/s,burst=64KiB", SIGNAL_NODE_FANOUT: "1GiB/s,burst=1GiB", SIGNAL_NODE_OUTBOX_BYTES: "128KiB", SIGNAL_NODE_ROOM_CAPACITY: "16" };

/** One address may have all connections that there are. */
const NO_ADDRESS_LIMITS = { SIGNAL_NODE_MAX_CONNECTIONS_PER_IP: "1000000", SIGNAL_NODE_UPGRADES_PER_NET: "1000000/s" };

/** k6's exit code for a threshold that was missed. */
const CROSSED = 99;

/** Far longer than getting in takes at most, twice over (ms). */
const SLOW = 3_000;

/** What is undone after a test. @type {(() => unknown)[]} */
const undo = [];

afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

/**
 * Asks the question and returns which thresholds were missed.
 * @param {{limits?: Record<string, string>, change?: (facts: any, saboteur: {delay: (ms: number) => void}) => any, slow?: number}} options
 *   `change` makes of what was found something else; `slow` delays new connections during the attack (ms)
 */
async function missed({ limits, change = (facts) => facts, slow }) {
  const cluster = await localCluster("attack", { binaries: BINARIES, nodes: 2, profile: "smoke", say() {}, limits });
  undo.push(cluster.stop);
  const saboteur = await startSaboteur(cluster.env.URL, "pass");
  undo.push(saboteur.stop);
  const OUT = mkdtempSync(join(tmpdir(), "attack-"));
  undo.push(() => rmSync(OUT, { recursive: true, force: true }));
  const conductor = await startConductor(async () => {
    if (slow) saboteur.delay(slow);
    return change(await cluster.act?.());
  }, () => {});
  undo.push(conductor.stop);
  const env = { ...cluster.env, URL: saboteur.url, PROFILE: "smoke", PATIENCE: "5", OUT, CONDUCTOR: conductor.url };
  const { code } = await runK6(findK6(), "attack", { env, vus: conductor.expect, verbose: false });
  const { thresholds } = JSON.parse(readFileSync(join(OUT, "attack.json"), "utf8"));
  return { code, metrics: thresholds.filter(({ ok }) => !ok).map(({ metric }) => metric) };
}

/** What lets an attack through, and at least what has to be missed. @type {[string, Parameters<typeof missed>[0], string[]][]} */
const TWINS = [
  ["a flood closes the one that it is addressed to", { limits: NO_SEND_LIMITS }, ["sig_closed"]],
  ["strangers take all connections", { limits: NO_ADDRESS_LIMITS }, ["sig_join_ok"]],
  ["getting in takes long during the attack", { slow: SLOW }, ["sig_slowdown"]],
  ["a node takes twice its memory and refuses no stranger", { change: (facts) => ({ ...facts, growth: 2, answers: {} }) }, ["sig_growth", "sig_checks"]],
];

describe("attack fails when", { concurrency: 2 }, () => {
  for (const [what, options, expected] of TWINS) {
    test(what, LIMITS, async () => {
      const { code, metrics } = await missed(options);
      assert.equal(code, CROSSED);
      assert.deepEqual(expected.filter((metric) => !metrics.includes(metric)), [], `missed were ${metrics.join(", ")}`);
    });
  }
});
