import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { tmpdir } from "node:os";

/** What stands in files of this folder, as the programs and tools themselves see it. */

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const TOOLS = join(ROOT, "target/ops");
export const BINARIES = process.env.TARGET_DIR ?? join(ROOT, "target/debug");

/** A key that every check of secrets admits, and a URL of Redis. */
const SECRETS = /** @type {Record<string, string>} */ ({ "redis-url": "redis://user:password@redis:6379" });
const KEY = "0123456789abcdef0123456789abcdef";

/** Runs a program and returns what it prints. @param {string} program @param {string[]} args @param {object} [options] */
export function run(program, args, options = {}) {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["pipe", "pipe", "pipe"], maxBuffer: 64 << 20, ...options });
}

/** Calls with a new folder, which is gone afterwards. @template T @param {(folder: string) => T} act @returns {T} */
export function inFolder(act) {
  const folder = mkdtempSync(join(tmpdir(), "deploy-"));
  try {
    return act(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Has a program check these settings; secrets are read of files that stand for the real ones.
 * @param {string} program its name
 * @param {Record<string, string>} variables
 */
export function checkConfig(program, variables) {
  inFolder((folder) => {
    const here = Object.entries(variables).map(([name, value]) => {
      if (!name.endsWith("_FILE")) return [name, value];
      const secret = value.split("/").at(-1) ?? "";
      const file = join(folder, secret);
      writeFileSync(file, SECRETS[secret] ?? KEY, { mode: 0o600 });
      return [name, file];
    });
    run(join(BINARIES, program), ["check-config"], { env: Object.fromEntries(here) });
  });
}

/** Reads YAML. @param {string} text @returns {any[]} */
export function fromYaml(text) {
  const script = "import sys, json, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
  return JSON.parse(run(join(TOOLS, "venv/bin/python"), ["-c", script], { input: text }));
}
