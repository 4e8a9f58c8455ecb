import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { CHART, NAME, NAMESPACE } from "./release.js";
import { fromYaml } from "../../helm/test/render.js";

/**
 * What is looked at once, without calls: each returns what is wrong, in words.
 *
 * @typedef {import("./release.js").Release} Release
 * @typedef {{name: string, does: string, check: (release: Release) => Promise<string[]>, twins?: {without: string, check: (release: Release) => Promise<string[]>}[]}} Check
 */

const exec = promisify(execFile);

/** Modules that carry the definitions of kinds which the chart can make and Kubernetes does not know. */
const DEFINITIONS = [
  { module: "sigs.k8s.io/gateway-api@v1.4.0", files: ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"] },
  { module: "github.com/kedacore/keda/v2@v2.18.0", files: ["config/crd/bases/keda.sh_scaledobjects.yaml"] },
];

/** Kinds whose definitions no module carries. */
const UNDEFINED = new Set(["PodMonitor", "PrometheusRule"]);

/** @param {Release} release */
async function define(release) {
  for (const { module, files } of DEFINITIONS) {
    const { stdout } = await exec("go", ["mod", "download", "-json", module], { env: { ...process.env, PATH: `${process.env.PATH}:/usr/local/go/bin` } });
    const folder = JSON.parse(stdout).Dir;
    // Larger than what a client-side apply may note of it.
    for (const file of files) await release.cluster.kubectl("apply", "--server-side", "--filename", join(folder, file));
  }
  await release.cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "customresourcedefinitions", "--all");
}

/** Every file of ci/ is accepted by the API server. @param {Release} release */
async function dryRun(release) {
  await define(release);
  // Pods are refused without it, and a dry run makes none.
  await release.cluster.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name: `dry-${basename(CHART)}`, namespace: NAMESPACE } });
  const files = readdirSync(join(CHART, "ci")).map((file) => join(CHART, "ci", file));
  const refused = [];
  for (const file of files) refused.push(...(await refusals(release, file)));
  return refused;
}

/** What the API server refuses of the objects that these values make. @param {Release} release @param {string} values */
async function refusals(release, values) {
  const rendered = await release.cluster.helm("template", "dry", CHART, "--namespace", NAMESPACE, "--values", values);
  const objects = fromYaml(rendered).filter((object) => object && !UNDEFINED.has(object.kind));
  await makeClasses(release, objects);
  try {
    await release.cluster.kubectlWith(list(objects), "apply", "--dry-run=server", "--namespace", NAMESPACE, "--filename", "-");
    return [];
  } catch (error) {
    return [`${basename(values)}: ${errorsOf(error)}`];
  }
}

/** Makes the PriorityClasses and the RuntimeClasses that pods name. @param {Release} release @param {object[]} objects */
async function makeClasses(release, objects) {
  const named = (/** @type {RegExp} */ field) => [...new Set([...JSON.stringify(objects).matchAll(field)].map(([, name]) => name))];
  const priorities = named(/"priorityClassName":"([^"]+)"/g).map((name) => ({ apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata: { name }, value: 1_000 }));
  const runtimes = named(/"runtimeClassName":"([^"]+)"/g).map((name) => ({ apiVersion: "node.k8s.io/v1", kind: "RuntimeClass", metadata: { name }, handler: "runc" }));
  if (priorities.length + runtimes.length > 0) await release.cluster.apply(...priorities, ...runtimes);
}

/** What kubectl calls an error, without its warnings. @param {unknown} error */
function errorsOf(error) {
  const lines = String(/** @type {{stderr?: string}} */ (error).stderr ?? error).split("\n");
  return lines.filter((line) => /error/i.test(line)).join("; ");
}

/** A misspelt field is refused by the same way. @param {Release} release */
async function misspelt(release) {
  const object = { apiVersion: "v1", kind: "Service", metadata: { name: "misspelt" }, spec: { ports: [{ port: "eighty" }] } };
  try {
    await release.cluster.kubectlWith(list([object]), "apply", "--dry-run=server", "--namespace", NAMESPACE, "--filename", "-");
    return [];
  } catch (error) {
    return [errorsOf(error)];
  }
}

/** @param {object[]} items */
const list = (items) => JSON.stringify({ apiVersion: "v1", kind: "List", items });

/** A pod of another namespace, and one that Prometheus could be. @param {Release} release */
async function placeStrangers(release) {
  const pod = (/** @type {string} */ namespace) => ({
    apiVersion: "v1", kind: "Pod", metadata: { name: "probe", namespace },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "probe", image: "docker.io/library/probe:1", command: ["sleep", "3600"] }] },
  });
  const spaces = ["strangers", "monitoring"].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }));
  await release.cluster.apply(...spaces);
  await release.cluster.apply(...["strangers", "monitoring"].map(pod));
  for (const space of ["strangers", "monitoring"]) {
    await release.cluster.kubectl("wait", "--namespace", space, "--for=condition=Ready", "pod/probe", "--timeout=60s");
  }
}

/** Whether a pod of a namespace can connect to an address. @param {Release} release @param {string} namespace @param {string} address */
async function reaches(release, namespace, address) {
  const curl = ["curl", "--silent", "--output", "/dev/null", "--connect-timeout", "3", "--max-time", "5", "--write-out", "%{time_connect}", `http://${address}/`];
  const exec = release.cluster.kubectl("exec", "--namespace", namespace, "probe", "--", ...curl);
  // Redis does not speak HTTP, so that curl fails once it is connected.
  return Number(await exec.catch((error) => error.stdout)) > 0;
}

/** Who may reach what. @param {Release} release @param {string[]} values @returns {Promise<string[]>} */
async function reached(release, values) {
  await release.install(...values);
  await placeStrangers(release);
  const [{ status }] = await release.nodes();
  const redis = await release.cluster.json("service", `${NAME}-redis`, "--namespace", NAMESPACE);
  const expected = /** @type {const} */ ([
    ["strangers", "clients", `${status.podIP}:8080`, true],
    ["monitoring", "metrics", `${status.podIP}:9080`, true],
    ["strangers", "metrics", `${status.podIP}:9080`, false],
    ["strangers", "Redis", `${redis.spec.clusterIP}:6379`, false],
  ]);
  const wrong = [];
  for (const [who, what, address, may] of expected) {
    if ((await reaches(release, who, address)) !== may) wrong.push(`${who} ${may ? "do not reach" : "reach"} the port of ${what}`);
  }
  return wrong;
}

const FROM_MONITORING = "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring";

/** A relay of a release of its own, and a credential service in one of its modes: `helm test` allocates. @param {Release} release */
async function turnModes(release) {
  await release.relays();
  const wrong = [];
  for (const mode of ["sidecar", "container", "deployment"]) {
    await release.install(`turn.mode=${mode}`, "turn.secret.existingSecret=relays", `turn.uris[0]=turn:${await release.relayAddress()}:3478`);
    wrong.push(...(await release.test()).map((words) => `${mode}: ${words}`));
  }
  return wrong;
}

/** A credential service whose key is not that of the relay. @param {Release} release */
async function otherKey(release) {
  await release.relays();
  await release.install("turn.mode=sidecar", "turn.secret.existingSecret=other-relays", `turn.uris[0]=turn:${await release.relayAddress()}:3478`);
  return release.test();
}

/** @type {Check[]} */
export const CHECKS = [
  { name: "dry-run", does: "each file of `ci/` of the chart passes a server-side dry run", check: dryRun, twins: [{ without: "a port that is a word", check: misspelt }] },
  {
    name: "policies", does: "strangers reach neither metrics nor Redis; Prometheus reaches metrics, clients the nodes",
    check: (release) => reached(release, ["networkPolicy.enabled=true", FROM_MONITORING]),
    twins: [{ without: "`networkPolicy.enabled=false`", check: (release) => reached(release, []) }],
  },
  {
    name: "turn-modes", does: "with a relay of the chart, each mode of the credential service passes `helm test`, which allocates",
    check: turnModes, twins: [{ without: "another key than the relay has", check: otherKey }],
  },
];
