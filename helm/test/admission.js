import assert from "node:assert/strict";
import { join } from "node:path";
import { TOOLS, run, withFile } from "./render.js";

/**
 * What a cluster would say to manifests: its schemas and Pod Security. The tools pass over kinds that they do not know,
 * so that each of these checks fails on a kind that is not named here.
 *
 * @typedef {import("./render.js").Manifest} Manifest
 */

/** The oldest version that the chart admits, and the newest schemas there are. */
export const KUBERNETES = ["1.29", "1.31", "1.33", "1.35", "1.37"];

/** Kinds that Kubernetes itself does not have; crds.py knows them. */
export const CUSTOM = ["PodMonitor", "PrometheusRule", "HTTPRoute", "ScaledObject"];

/** Kinds whose pods Pod Security judges, and kinds that make none. */
const WITH_PODS = ["Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"];
const WITHOUT_PODS = [
  ...["ConfigMap", "Secret", "Service", "ServiceAccount", "NetworkPolicy", "Ingress"],
  ...["PodDisruptionBudget", "HorizontalPodAutoscaler", ...CUSTOM],
];

/** Fails unless every version admits the manifests. @param {string} text as YAML @param {string[]} versions */
export function assertAdmitted(text, versions = KUBERNETES) {
  const warnings = withFile(text, (path) => versions.map((version) => validate(path, version)).join("\n"));
  const unknown = [...warnings.matchAll(/find schema for kind (\w+)/g)].map(([, kind]) => kind);
  assert.deepEqual(unknown.filter((kind) => !CUSTOM.includes(kind)), [], "kinds without a schema");
}

/** Warnings about kinds that the schemas do not have. @param {string} path @param {string} version */
function validate(path, version) {
  const script = 'exec "$0" -k "$1" --strict "$2" 2>&1';
  return run("sh", ["-c", script, join(TOOLS, "venv/bin/kubernetes-validate"), version, path]);
}

/** Fails unless every pod is as restricted as Pod Security knows. @param {Manifest[]} manifests */
export function assertRestricted(manifests) {
  const kinds = manifests.map(({ kind }) => kind);
  assert.deepEqual(kinds.filter((kind) => ![...WITH_PODS, ...WITHOUT_PODS].includes(kind)), [], "kinds of which nobody knows whether they make pods");
  assert(kinds.some((kind) => WITH_PODS.includes(kind)), "there is no pod to judge");
  const { compliant_level: level, violations } = judge(manifests);
  assert.equal(level, "restricted", JSON.stringify(violations.filter((/** @type {any} */ { category }) => category === "Pod Security")));
}

/** @param {Manifest[]} manifests */
function judge(manifests) {
  return withFile(manifests.map((manifest) => JSON.stringify(manifest)).join("\n---\n"), (path) => {
    run(join(TOOLS, "venv/bin/policy-guard"), ["scan", path, "-f", "json", "-o", `${path}.json`]);
    return JSON.parse(run("cat", [`${path}.json`]));
  });
}
