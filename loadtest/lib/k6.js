import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { findOnPath } from "../../deploy/local/tools.js";
import { once } from "node:events";

/** The load generator: which one, and one run of it. */

const INSTALLED = fileURLToPath(new URL("../../target/k6/bin/k6", import.meta.url));

const SCRIPTS = fileURLToPath(new URL("../k6/", import.meta.url));

/** Finds k6, or says how to get it. */
export function findK6() {
  const found = process.env.K6 ?? findOnPath("k6") ?? (existsSync(INSTALLED) ? INSTALLED : null);
  if (!found) throw new Error("there is no k6: set K6, or run deploy/install-test-tools.sh");
  return found;
}

/** @param {string} k6 */
export function versionOf(k6) {
  return execFileSync(k6, ["version"], { encoding: "utf8" }).split(/[\s(]+/).slice(0, 2).join(" ");
}

/**
 * Runs one script to its end. If a part of the cluster fails meanwhile, the run is ended and is faulty.
 * @param {string} k6
 * @param {string} question
 * @param {{env: Record<string, string>, vus?: (count: number) => void, failed?: Promise<Error>, verbose: boolean}} options
 *   `vus` is told how many virtual users there are
 * @returns {Promise<{code: number | null, faulty: boolean}>}
 */
export async function runK6(k6, question, { env, vus, failed, verbose }) {
  const script = `${SCRIPTS}${question}.js`;
  const all = { PATH: process.env.PATH, HOME: process.env.HOME, K6_NO_USAGE_REPORT: "true", RUN: String(Date.now()), ...dashboard(question, env), ...env };
  if (vus) vus(plannedUsers(k6, script, all));
  const child = spawn(k6, ["run", "--address", "", ...(verbose || process.stdout.isTTY ? [] : ["--quiet"]), script], { env: all, stdio: ["ignore", "inherit", "inherit"] });
  let faulty = false;
  failed?.then((error) => {
    faulty = true;
    process.stderr.write(`${error.message}\n`);
    child.kill();
  });
  const release = bind(child, { alone: failed === undefined });
  const [code] = await once(child, "close");
  release();
  return { code, faulty };
}

/**
 * Ends k6 when this program ends, by a signal too. A local cluster ends this program itself, once it has stopped.
 * @param {import("node:child_process").ChildProcess} child
 * @param {{alone: boolean}} options `alone`: there is no local cluster
 */
function bind(child, { alone }) {
  const stop = () => child.kill("SIGKILL");
  const onSignal = () => {
    stop();
    if (alone) process.exit(1);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  process.on("exit", stop);
  for (const signal of signals) process.on(signal, onSignal);
  return () => {
    process.off("exit", stop);
    for (const signal of signals) process.off(signal, onSignal);
  };
}

/** k6's own page, with curves over time; it is written if a run is long enough for them. */
function dashboard(question, { OUT }) {
  return { K6_WEB_DASHBOARD: "true", K6_WEB_DASHBOARD_PORT: "-1", K6_WEB_DASHBOARD_PERIOD: "1s", K6_WEB_DASHBOARD_EXPORT: `${OUT}/${question}-curves.html` };
}

/** How many virtual users the script will have in this profile. */
function plannedUsers(k6, script, env) {
  const { scenarios } = JSON.parse(execFileSync(k6, ["inspect", "--include-system-env-vars", script], { env, encoding: "utf8" }));
  return Object.values(scenarios).reduce((sum, { vus }) => sum + vus, 0);
}
