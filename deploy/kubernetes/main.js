import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Cluster, FOLDER, ROOT, script } from "./cluster.js";
import { Calls } from "./calls.js";
import { Release } from "./release.js";
import { SCENARIOS } from "./scenarios.js";
import { faultsOf, insert, row, tables } from "./verdict.js";

/**
 * Breaks a release of the chart in a real Kubernetes while calls go on, and counts what its members saw.
 *
 *   node deploy/kubernetes/main.js [--binaries FOLDER] [--pairs N] [--write] [--without-twins] [--keep] [SCENARIO]...
 *
 * @typedef {import("./scenarios.js").Scenario} Scenario
 * @typedef {import("./verdict.js").Outcome} Outcome
 */

const PAGE = join(ROOT, "docs/RELIABILITY.md");
const VERSION = /^appVersion: (.+)$/m.exec(readFileSync(join(ROOT, "helm/signal-cluster/Chart.yaml"), "utf8"))?.[1];

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    binaries: { type: "string", default: join(ROOT, "target/release") },
    pairs: { type: "string", default: "40" },
    write: { type: "boolean", default: false },
    "without-twins": { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});

const began = Date.now();
/** @param {string} text */
const say = (text) => console.log(`${String(Math.round((Date.now() - began) / 1_000)).padStart(4)} s  ${text}`);

/** Images of the programs as they are built; `next` is what an upgrade brings. */
function packImages() {
  const programs = ["signal-node", "turn-cred-service"];
  const own = programs.flatMap((program) => [VERSION, "next"].map((tag) => [`docker.io/signal-cluster/${program}:${tag}`, join(options.binaries, program)]));
  const redis = ["docker.io/library/redis:7.4-bookworm", "redis-server", "redis-cli", "sh", "cat"];
  for (const [name, ...packed] of [...own, redis]) {
    script("image.sh", join(FOLDER, "images", `${name.replaceAll(/[/:]/g, "-")}.tar`), name, ...packed);
  }
}

/** Calls go on while a scenario acts. @param {Release} release @param {Scenario} scenario @param {Scenario["act"]} act */
async function underCalls(release, { name }, act) {
  const program = join(options.binaries, "fault-suite");
  const history = join(FOLDER, "histories", `${name}.jsonl`);
  mkdirSync(join(FOLDER, "histories"), { recursive: true });
  const calls = new Calls(release.cluster, { program, address: await release.address(), pairs: Number(options.pairs), history });
  try {
    await calls.ready();
    await act(release, calls);
    return await calls.end();
  } finally {
    calls.kill();
  }
}

/** @param {Release} release @param {Scenario} scenario @param {string[]} values @param {Scenario["act"]} act @returns {Promise<Outcome>} */
async function measure(release, scenario, values, act) {
  await release.install(...values);
  const report = await underCalls(release, scenario, act);
  return { name: scenario.name, report, faults: faultsOf(report, scenario.limits) };
}

/** @param {Release} release @param {Scenario} scenario */
async function runTwins(release, scenario) {
  const results = [];
  for (const twin of options["without-twins"] ? [] : scenario.twins ?? []) {
    say(`${scenario.name}, with ${twin.without}`);
    const { faults } = await measure(release, scenario, twin.values ?? [], twin.act ?? scenario.act);
    say(`  ${faults[0] ?? "nothing was noticed, so the scenario proves nothing"}`);
    results.push({ name: scenario.name, without: twin.without, faults });
  }
  return results;
}

/** @param {Release} release */
async function runAll(release) {
  const chosen = SCENARIOS.filter(({ name, own }) => (wanted.length === 0 || wanted.includes(name)) && (release.cluster.own || !own));
  const [outcomes, twins] = [/** @type {Outcome[]} */ ([]), /** @type {Awaited<ReturnType<typeof runTwins>>} */ ([])];
  for (const scenario of chosen) {
    say(scenario.name);
    const outcome = await measure(release, scenario, [], scenario.act);
    say(`  ${row(outcome)}`);
    for (const fault of outcome.faults) say(`  ${fault}`);
    outcomes.push(outcome);
    twins.push(...(await runTwins(release, scenario)));
  }
  return { outcomes, twins };
}

const unknown = wanted.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
if (unknown.length > 0) {
  console.error(`no scenario ${unknown.join(", ")}; there are ${SCENARIOS.map(({ name }) => name).join(", ")}`);
  process.exit(64);
}
const cluster = new Cluster();
const isFound = cluster.own && existsSync(join(FOLDER, "run"));
if (isFound) say("a cluster of ours is up, and is used as it is");
if (cluster.own && !isFound) {
  script("needs.sh");
  say("packing images");
  packImages();
  script("up.sh");
}
try {
  const [steady] = await cluster.machines();
  const release = new Release(cluster, steady);
  await release.prepare();
  const { outcomes, twins } = await runAll(release);
  console.log(tables(outcomes, twins));
  if (options.write) writeFileSync(PAGE, insert(readFileSync(PAGE, "utf8"), "kubernetes", tables(outcomes, twins)));
  const held = outcomes.every(({ faults }) => faults.length === 0) && twins.every(({ faults }) => faults.length > 0);
  process.exitCode = held ? 0 : 1;
} finally {
  if (cluster.own && !options.keep && !isFound) script("down.sh");
}
