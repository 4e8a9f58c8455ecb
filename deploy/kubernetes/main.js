import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, release as kernel } from "node:os";
import { basename, join } from "node:path";
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { Cluster, FOLDER, ROOT, script } from "./cluster.js";
import { CHECKS } from "./checks.js";
import { Calls } from "./calls.js";
import { Release } from "./release.js";
import { SCENARIOS } from "./scenarios.js";
import { failed, faultsOf, insert, row, tables } from "./verdict.js";

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
  const coturn = ["docker.io/coturn/coturn:4.6.3-debian", "turnserver", "sh", "awk", "cat", "cp", "grep", "sleep", "sort"];
  const probe = ["docker.io/library/probe:1", "curl", "sleep"];
  for (const [name, ...packed] of [...own, redis, coturn, probe]) {
    script("image.sh", join(FOLDER, "images", `${name.replaceAll(/[/:]/g, "-")}.tar`), name, ...packed);
  }
}

/** Where and when it was measured, and what. */
function machine() {
  const commit = execFileSync("git", ["describe", "--always", "--dirty"], { cwd: ROOT, encoding: "utf8" }).trim();
  const build = basename(options.binaries);
  const day = new Date().toISOString().slice(0, 10);
  return `${availableParallelism()} cores, Linux ${kernel()}, commit ${commit}, ${build} build, ${options.pairs} calls, ${day}. The machines and the clients share the cores.`;
}

/** Calls go on while a scenario acts. @param {Release} release @param {Scenario} scenario @param {Scenario["act"]} act @param {string[]} values */
async function underCalls(release, { name }, act, values) {
  await release.install(...values);
  await release.spreadOut();
  await release.restoreKeys();
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
  const report = await underCalls(release, scenario, act, values).catch((error) => failed(String(error)));
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

/** @param {string} name */
const isWanted = (name) => wanted.length === 0 || wanted.includes(name);

/** @param {Release} release */
async function runChecks(release) {
  const [results, twins] = [/** @type {import("./verdict.js").CheckOutcome[]} */ ([]), /** @type {import("./verdict.js").TwinOutcome[]} */ ([])];
  for (const { name, does, check, twins: worse = [] } of CHECKS.filter(({ name }) => isWanted(name))) {
    say(name);
    await release.install();
    const faults = await check(release);
    for (const fault of faults) say(`  ${fault}`);
    results.push({ name, does, faults });
    for (const twin of options["without-twins"] ? [] : worse) {
      say(`${name}, with ${twin.without}`);
      const found = await twin.check(release);
      say(`  ${found[0] ?? "nothing was noticed, so the check proves nothing"}`);
      twins.push({ name, without: twin.without, faults: found });
    }
  }
  return { results, twins };
}

/** @param {Release} release */
async function runScenarios(release) {
  const chosen = SCENARIOS.filter(({ name, own }) => isWanted(name) && (release.cluster.own || !own));
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

const known = [...SCENARIOS, ...CHECKS].map(({ name }) => name);
const unknown = wanted.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`no scenario ${unknown.join(", ")}; there are ${known.join(", ")}`);
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

/** Ends the cluster that this process has brought up. */
function end() {
  if (cluster.own && !options.keep && !isFound) script("down.sh");
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    end();
    process.exit(1);
  });
}
try {
  const [steady] = await cluster.machines();
  const release = new Release(cluster, steady, options.binaries);
  await release.prepare();
  const scenarios = await runScenarios(release);
  const checks = await runChecks(release);
  const twins = [...scenarios.twins, ...checks.twins];
  const text = `${machine()}\n\n${tables(scenarios.outcomes, checks.results, twins)}`;
  console.log(text);
  if (options.write) writeFileSync(PAGE, insert(readFileSync(PAGE, "utf8"), "kubernetes", text));
  const held = [...scenarios.outcomes, ...checks.results].every(({ faults }) => faults.length === 0) && twins.every(({ faults }) => faults.length > 0);
  process.exitCode = held ? 0 : 1;
} finally {
  end();
}
