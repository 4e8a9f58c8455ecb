import { after, before, describe, test } from "node:test";
import { findK6, runK6 } from "../lib/k6.js";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { localCluster } from "../lib/clusters.js";
import { startSaboteur } from "./saboteur.js";
import { tmpdir } from "node:os";

/**
 * Every threshold can fail: a real cluster, spoiled in one way, and the question that has to notice. A load test that
 * cannot fail says nothing when it passes.
 */

const BINARIES = process.env.TARGET_DIR ?? fileURLToPath(new URL("../../target/debug", import.meta.url));

const LIMITS = { timeout: 180_000 };

/** A port on which nobody listens: reserved for tcpmux. */
const NOWHERE = "http://127.0.0.1:1";

/** Members of `reconnect-storm` in the profile `smoke`. */
const STORM = 20;

/** @type {Awaited<ReturnType<typeof localCluster>>} */
let cluster;
const dir = mkdtempSync(join(tmpdir(), "twins-"));

before(async () => {
  cluster = await localCluster("soak", { binaries: BINARIES, nodes: 2, profile: "smoke", say() {} });
});

after(async () => {
  await cluster.stop();
  rmSync(dir, { recursive: true, force: true });
});

/**
 * Runs a question against the spoiled cluster and returns which thresholds it missed.
 * @param {string} question
 * @param {string} sabotage
 * @param {Record<string, string>} [env]
 */
async function missed(question, sabotage, env = {}) {
  const saboteur = await startSaboteur(cluster.env.URL, sabotage, STORM);
  const OUT = mkdtempSync(join(dir, `${sabotage}-`));
  try {
    const all = { ...cluster.env, URL: saboteur.url, PROFILE: "smoke", PATIENCE: "3", RUN: OUT.slice(-6), OUT, ...env };
    const { code } = await runK6(findK6(), question, { env: all, verbose: false });
    const { thresholds } = JSON.parse(readFileSync(join(OUT, `${question}.json`), "utf8"));
    return { code, metrics: thresholds.filter(({ ok }) => !ok).map(({ metric }) => metric) };
  } finally {
    saboteur.stop();
  }
}

/** k6's exit code for a threshold that was missed. */
const CROSSED = 99;

/** What is spoiled, the question that is asked, and at least what it has to miss. @type {[string, string, string, string[], Record<string, string>?][]} */
const TWINS = [
  ["a signal is lost", "calls", "lose", ["sig_delivered", "sig_lost"]],
  ["a signal comes twice", "calls", "double", ["sig_dup"]],
  ["two signals change places", "calls", "swap", ["sig_reorder"]],
  ["a node complains", "calls", "fault", ["sig_errors"]],
  ["history is lost", "calls", "reset", ["sig_resets"]],
  ["sockets are cut", "calls", "cut", ["sig_away", "sig_closed"]],
  ["nobody is let in", "calls", "refuse", ["sig_delivered", "sig_refused", "sig_sessions"]],
  ["nobody is greeted", "calls", "mute", ["sig_delivered", "sig_sessions", "sig_unheard"]],
  ["guests stay out", "churn", "refuse", ["sig_checked", "sig_visits"]],
  ["nobody hears that somebody left", "churn", "hush", ["sig_checks"]],
  ["members are forgotten", "soak", "forget", ["sig_forgotten"]],
  ["everything comes late", "calls", "late", ["sig_call_setup", "sig_connect", "sig_deliver", "sig_join"], { PATIENCE: "40" }],
  ["a return takes long", "reconnect-storm", "late-return", ["sig_resume"], { PATIENCE: "40" }],
  ["no node is restarted", "rolling-restart", "pass", ["sig_resumed"]],
  ["there is no credential service", "ice", "pass", ["sig_checks", "sig_ice_ok", "sig_ice_servers"], { CREDENTIALS: NOWHERE }],
];

/** Most of them wait for something that does not come, so several at once take little longer than one. */
describe("a threshold that cannot fail says nothing", { concurrency: 4 }, () => {
  for (const [what, question, sabotage, expected, env] of TWINS) {
    test(`${question} fails when ${what}`, LIMITS, async () => {
      const { code, metrics } = await missed(question, sabotage, env);
      assert.equal(code, CROSSED);
      assert.deepEqual(expected.filter((metric) => !metrics.includes(metric)), [], `missed were ${metrics.join(", ")}`);
    });
  }

  test("ice fails when credentials come late", LIMITS, async () => {
    const saboteur = await startSaboteur(cluster.env.CREDENTIALS, "late");
    const { metrics } = await missed("ice", "pass", { CREDENTIALS: saboteur.url });
    saboteur.stop();
    assert.ok(metrics.includes("sig_ice"), `missed were ${metrics.join(", ")}`);
  });

  test("ice fails when credentials are signed with another secret than the relays have", LIMITS, async () => {
    const file = join(dir, "another-secret");
    writeFileSync(file, "not the secret of the relays, but as long as one");
    const { metrics } = await missed("ice", "pass", { TURN_SECRET_FILE: file });
    assert.deepEqual(metrics, ["sig_ice_ok", "sig_ice_servers"]);
  });

  test("calls pass when one welcome is lost on its way, as k6 loses some", LIMITS, async () => {
    assert.deepEqual(await missed("calls", "mute-once"), { code: 0, metrics: [] });
  });

  test("calls pass when nothing is spoiled", LIMITS, async () => {
    assert.deepEqual(await missed("calls", "pass"), { code: 0, metrics: [] });
  });
});
