import { describe, test } from "node:test";
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

/** What each member may say has no bound that an attack reaches. */
const NO_SEND_LIMITS = { SIGNAL_NODE_SEND_RATE: "1GiB/s,burst=32MiB", SIGNAL_NODE_FANOUT: "1GiB/s,burst=1GiB", SIGNAL_NODE_OUTBOX_BYTES: "64MiB" };

/** One address may have all connections that there are. */
const NO_ADDRESS_LIMITS = { SIGNAL_NODE_MAX_CONNECTIONS_PER_IP: "1000000", SIGNAL_NODE_UPGRADES_PER_NET: "1000000/s" };

/** k6's exit code for a threshold that was missed. */
const CROSSED = 99;

/** Far longer than getting in takes at most, twice over (ms). */
const SLOW = 9_000;

/**
 * Asks the question and returns which thresholds were missed.
 * @param {import("node:test").TestContext} t
 * @param {{limits?: Record<string, string>, change?: (facts: any, saboteur: {delay: (ms: number) => void}) => any, slow?: number}} options
 *   `change` makes of what was found something else; `slow` delays new connections during the attack (ms)
 */
async function missed(t, { limits, change = (facts) => facts, slow }) {
  const cluster = await localCluster("attack", { binaries: BINARIES, nodes: 2, profile: "smoke", say() {}, limits });
  t.after(cluster.stop);
  const saboteur = await startSaboteur(cluster.env.URL, "pass");
  t.after(saboteur.stop);
  const OUT = mkdtempSync(join(tmpdir(), "attack-"));
  t.after(() => rmSync(OUT, { recursive: true, force: true }));
  const conductor = await startConductor(async () => {
    if (slow) saboteur.delay(slow);
    return change(await cluster.act?.());
  }, () => {});
  t.after(conductor.stop);
  const env = { ...cluster.env, URL: saboteur.url, PROFILE: "smoke", PATIENCE: "5", OUT, CONDUCTOR: conductor.url };
  const { code } = await runK6(findK6(), "attack", { env, vus: conductor.expect, verbose: false });
  const { thresholds } = JSON.parse(readFileSync(join(OUT, "attack.json"), "utf8"));
  return { code, metrics: thresholds.filter(({ ok }) => !ok).map(({ metric }) => metric) };
}

/** What lets an attack through, and at least what has to be missed. @type {[string, Parameters<typeof missed>[1], string[]][]} */
const TWINS = [
  ["an addressed flood is refused by nobody", { limits: NO_SEND_LIMITS }, ["sig_checks"]],
  ["strangers take all connections", { limits: NO_ADDRESS_LIMITS }, ["sig_join_ok"]],
  ["getting in takes long during the attack", { slow: SLOW }, ["sig_slowdown"]],
  ["a node takes twice its memory and refuses no stranger", { change: (facts) => ({ ...facts, growth: 2, answers: {} }) }, ["sig_growth", "sig_checks"]],
];

describe("attack fails when", { concurrency: 2 }, () => {
  for (const [what, options, expected] of TWINS) {
    test(what, LIMITS, async (t) => {
      const { code, metrics } = await missed(t, options);
      assert.equal(code, CROSSED);
      assert.deepEqual(expected.filter((metric) => !metrics.includes(metric)), [], `missed were ${metrics.join(", ")}`);
    });
  }
});
