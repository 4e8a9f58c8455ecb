import { createServer } from "node:http";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import { CHART, HELM, fromYaml } from "./render.js";

/**
 * What Helm asks of a cluster when it renders: which kinds there are, and objects by their names (`lookup`).
 *
 * @typedef {import("./render.js").Manifest} Manifest
 */

const exec = promisify(execFile);

/** Kinds of the chart, by their groups. @type {Record<string, string[]>} */
const KINDS = {
  v1: ["ConfigMap", "Pod", "Secret", "Service", "ServiceAccount"],
  "apps/v1": ["Deployment"],
  "autoscaling/v2": ["HorizontalPodAutoscaler"],
  "networking.k8s.io/v1": ["NetworkPolicy"],
  "policy/v1": ["PodDisruptionBudget"],
};

/** The name of a kind in paths. @param {string} kind */
const plural = (kind) => `${kind.toLowerCase().replace(/y$/, "ie")}s`;

/** Answers of discovery, by their paths. */
const DISCOVERY = discovery();

/** @returns {Record<string, object>} */
function discovery() {
  const groups = Object.keys(KINDS).filter((group) => group !== "v1").map((groupVersion) => {
    const [name, version] = groupVersion.split("/");
    return { name, versions: [{ groupVersion, version }], preferredVersion: { groupVersion, version } };
  });
  const lists = Object.entries(KINDS).map(([groupVersion, kinds]) => {
    const resources = kinds.map((kind) => ({ name: plural(kind), kind, namespaced: true, verbs: ["get"] }));
    return [groupVersion === "v1" ? "/api/v1" : `/apis/${groupVersion}`, { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources }];
  });
  return {
    "/version": { major: "1", minor: "35", gitVersion: "v1.35.0" },
    "/api": { kind: "APIVersions", versions: ["v1"] },
    "/apis": { kind: "APIGroupList", apiVersion: "v1", groups },
    ...Object.fromEntries(lists),
  };
}

/** An object as Helm has left it there: marked as this release's. @param {Manifest} object */
function installed({ metadata, ...object }) {
  const labels = { ...metadata.labels, "app.kubernetes.io/managed-by": "Helm" };
  const annotations = { ...metadata.annotations, "meta.helm.sh/release-name": "demo", "meta.helm.sh/release-namespace": "calls" };
  return { ...object, metadata: { ...metadata, labels, annotations } };
}

/** @param {Manifest[]} objects @param {string} path @returns {object | undefined} */
function answer(objects, path) {
  const [, resource, name] = path.match(/\/namespaces\/calls\/(\w+)\/([\w.-]+)$/) ?? [];
  const object = objects.find(({ kind, metadata }) => plural(kind) === resource && metadata.name === name);
  return DISCOVERY[path] ?? (object && installed(object));
}

/** The manifests as objects, rendered by a Helm that finds these objects in the cluster. @param {Manifest[]} objects @param {string[]} args @returns {Promise<Manifest[]>} */
export async function renderIn(objects, ...args) {
  const server = createServer((request, response) => {
    const found = answer(objects, (request.url ?? "").split("?")[0]);
    response.writeHead(found ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(found ?? { kind: "Status", apiVersion: "v1", status: "Failure", reason: "NotFound", code: 404 }));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  try {
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    const cluster = ["--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", `http://127.0.0.1:${port}`];
    const { stdout } = await exec(HELM, ["template", "demo", CHART, "--namespace", "calls", ...cluster, ...args], { maxBuffer: 64 << 20 });
    return fromYaml(stdout).filter(Boolean);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
