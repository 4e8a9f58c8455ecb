import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { tmpdir } from "node:os";

/** The chart, rendered by helm itself. */

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const CHART = join(ROOT, "helm/signal-cluster");
export const TOOLS = join(ROOT, "target/ops");
export const HELM = process.env.HELM ?? join(TOOLS, "bin/helm");

/** @typedef {{apiVersion?: string, kind: string, immutable?: boolean, metadata: {name: string, namespace?: string, labels?: Record<string, string>, annotations?: Record<string, string>}, spec?: any, data?: Record<string, string>}} Manifest */

/** Runs a program and returns what it prints. @param {string} program @param {string[]} args @param {string} [input] */
export function run(program, args, input) {
  return execFileSync(program, args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"], maxBuffer: 64 << 20 });
}

/** @param {string[]} args */
export function helm(...args) {
  return run(HELM, args);
}

/** The manifests as YAML. @param {string[]} args further flags */
export function renderText(...args) {
  return helm("template", "demo", CHART, "--namespace", "calls", ...args);
}

/** The manifests as objects. @param {string[]} args @returns {Manifest[]} */
export function render(...args) {
  return fromYaml(renderText(...args)).filter(Boolean);
}

/** Reads YAML by the Python that the tools came with. @param {string} text @returns {any[]} */
export function fromYaml(text) {
  const script = "import sys, json, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
  return JSON.parse(run(join(TOOLS, "venv/bin/python"), ["-c", script], text));
}

/** @param {Manifest[]} manifests @param {string} kind @param {string} [name] @returns {Manifest} */
export function find(manifests, kind, name) {
  const found = manifests.find((manifest) => manifest.kind === kind && (name === undefined || manifest.metadata.name === name));
  if (found === undefined) throw new Error(`no ${kind} ${name ?? ""} among the manifests`);
  return found;
}

/** Why helm refuses values. @param {string[]} args @returns {string} */
export function refusal(...args) {
  try {
    renderText(...args);
  } catch (error) {
    return String(/** @type {{stderr: string}} */ (error).stderr);
  }
  return "";
}

/** Calls with a file of this text, which is gone afterwards. @template T @param {string} text @param {(path: string) => T} act @returns {T} */
export function withFile(text, act) {
  const folder = mkdtempSync(join(tmpdir(), "chart-"));
  try {
    const path = join(folder, "manifests.yaml");
    writeFileSync(path, text);
    return act(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @param {string} path */
export function read(path) {
  return readFileSync(join(CHART, path), "utf8");
}
