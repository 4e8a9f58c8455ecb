import { HELP, readArguments } from "./lib/arguments.js";
import { existingCluster, localCluster } from "./lib/clusters.js";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { findK6, runK6 } from "./lib/k6.js";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { machineLine } from "./lib/machine.js";
import { startConductor } from "./lib/conductor.js";
import { table } from "./k6/lib/report.js";

/** What `make load` runs: asks a cluster some questions with k6, and says what came out. */

const OUT = fileURLToPath(new URL("../target/loadtest", import.meta.url));

/** As BSD's sysexits names it: the command line is wrong. */
const USAGE = 64;

/** @param {string} line */
function say(line) {
  process.stdout.write(`${line}\n`);
}

/**
 * Asks one question of a cluster that is there for it alone, or of the one that was named.
 * @returns {Promise<any>} what k6 found; null if it found nothing
 */
async function ask(question, { k6, machine, options }) {
  say(`\n── ${question}`);
  const facts = join(OUT, `${question}.json`);
  rmSync(facts, { force: true });
  const cluster = options.url ? existingCluster(options) : await localCluster(question, { ...options, say });
  try {
    const conductor = cluster.act && (await startConductor(cluster.act, say));
    const env = { ...cluster.env, PROFILE: options.profile, OUT, MACHINE: machine, ...(options.hold && { HOLD: options.hold }), ...(conductor && { CONDUCTOR: conductor.url }) };
    const { code, faulty } = await runK6(k6, question, { env, vus: conductor?.expect, failed: cluster.failed, verbose: options.verbose });
    conductor?.stop();
    const found = read(facts);
    return found && { ...found, passed: found.passed && code === 0 && !faulty };
  } finally {
    await cluster.stop();
  }
}

/** @param {string} file */
function read(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return null;
  }
}

/** Runs what was asked for; returns the exit code. */
async function main() {
  const options = readArguments(process.argv.slice(2));
  if (options === null) return say(HELP), 0;
  const k6 = findK6();
  const machine = machineLine(k6, options);
  mkdirSync(OUT, { recursive: true });
  const all = [];
  for (const question of options.questions) {
    all.push((await ask(question, { k6, machine, options })) ?? { question, passed: false, seconds: 0, values: {}, thresholds: [] });
  }
  say(`\n${table(all, machine)}\nReports: ${OUT}`);
  return all.every(({ passed }) => passed) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`load: ${error.message}\n${error.code === "usage" ? "Try --help.\n" : ""}`);
  process.exitCode = error.code === "usage" ? USAGE : 1;
}
