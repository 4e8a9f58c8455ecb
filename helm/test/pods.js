import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CANNOT_CONFINE, confined, markedRelay } from "../../deploy/test/confined.js";
import { LOOPBACK, onFreePort } from "../../deploy/local/ports.js";
import { bind } from "../../deploy/local/coturn.js";
import { startService } from "../../deploy/local/services.js";
import { find, run } from "./render.js";

/**
 * Pods as processes: each container's program with exactly the arguments, variables and files of its manifest. What
 * differs is where: mounts are folders of the pod, and ports are free ones of loopback.
 *
 * @typedef {import("./render.js").Manifest} Manifest
 * @typedef {import("../../deploy/local/processes.js").Group} Group
 * @typedef {import("../../deploy/local/processes.js").Child} Child
 * @typedef {{name: string, args?: string[], env?: {name: string, value: string}[], volumeMounts?: {name: string, mountPath: string}[]}} Container
 * @typedef {{folder: string, mounts: Record<string, string>}} Pod where it is, and its mounts by their paths in the manifest
 */

/** Addresses that a pod has for itself. */
const ANY_PORT = /^(\[::\]|0\.0\.0\.0|127\.0\.0\.1):\d+$/;

/**
 * Makes the folders of a pod and the files of its volumes.
 * @param {Group} group
 * @param {string} name
 * @param {any} spec of the pod
 * @param {Manifest[]} objects with its ConfigMaps and Secrets
 * @returns {Pod}
 */
export function materialise(group, name, spec, objects) {
  const folder = join(group.dir, name);
  for (const volume of spec.volumes) {
    const at = join(folder, volume.name);
    mkdirSync(at, { recursive: true });
    for (const [file, content] of files(volume, objects)) writeFileSync(join(at, file), content, { mode: 0o600 });
  }
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const mounts = containers.flatMap(({ volumeMounts = [] }) => volumeMounts);
  return { folder, mounts: Object.fromEntries(mounts.map(({ name: volume, mountPath }) => [mountPath, join(folder, volume)])) };
}

/** @param {any} volume @param {Manifest[]} objects @returns {[string, string | Buffer][]} */
function files(volume, objects) {
  if (volume.configMap) return Object.entries(find(objects, "ConfigMap", volume.configMap.name).data ?? {});
  if (!volume.secret) return [];
  const data = find(objects, "Secret", volume.secret.secretName).data ?? {};
  return volume.secret.items.map((/** @type {{key: string, path: string}} */ { key, path }) => {
    if (data[key] === undefined) throw new Error(`the Secret ${volume.secret.secretName} has no ${key}`);
    return [path, Buffer.from(data[key], "base64")];
  });
}

/** The variables of a container, at home here. @param {Container} container @param {Pod} pod @returns {Record<string, string>} */
export function environment(container, { mounts }) {
  const here = (/** @type {string} */ value) => {
    if (ANY_PORT.test(value)) return `${LOOPBACK}:0`;
    const mount = Object.keys(mounts).find((path) => value.startsWith(`${path}/`) || value.startsWith(`unix:${path}/`));
    return mount === undefined ? value : value.replace(mount, mounts[mount]);
  };
  return Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, here(value)]));
}

/** Gives a pod's folder to the user of its manifest. @param {Group} group @param {Pod} pod @param {any} spec */
function handOver(group, { folder }, { securityContext: { runAsUser, runAsGroup } }) {
  // The way there leads through the folder of the group.
  chmodSync(group.dir, 0o711);
  run("chown", ["-R", `${runAsUser}:${runAsGroup}`, folder]);
}

/** What to start instead of a program of a pod's container, to have it confined. @param {any} spec @param {string} program @param {string[]} args */
function asContainer({ securityContext, containers: [container] }, program, args) {
  const capabilities = container.securityContext.capabilities.add ?? [];
  return confined({ uid: securityContext.runAsUser, gid: securityContext.runAsGroup, capabilities }, program, args);
}

/**
 * The script of a relay's container, at home here: its mounts, its program on loopback, and in place of its port another one.
 * @param {Container} container
 * @param {Pod} pod
 * @param {string} program
 * @param {string} address that it listens on
 */
export function relayScript({ args = [] }, pod, program, address = LOOPBACK) {
  const mounts = new RegExp(Object.keys(pod.mounts).map((path) => `(?<![\\w/])${path}(?=/)`).join("|"), "g");
  const script = args[0].replace(mounts, (/** @type {string} */ path) => pod.mounts[path]);
  // Named in full: a shell that may not start the one goes on to the next of its PATH.
  const own = `${program} --listening-ip=${address} --relay-ip=${address} --userdb=${pod.folder}/db/turndb --pidfile=${pod.folder}/pid`;
  return script.replace(/^( *)turnserver /m, (/** @type {string} */ _, /** @type {string} */ indent) => `${indent}${own} `);
}

/**
 * Starts the relay of a pod: its shell, its script and its files, on another port; as its user and with a program as in
 * coturn's image, where this process can do that.
 * @param {Group} group
 * @param {any} spec
 * @param {Manifest[]} objects
 * @returns {Promise<number>} the port
 */
export function startRelay(group, spec, objects) {
  const [container] = spec.containers;
  const [program, ...flags] = container.command;
  return onFreePort(async (port) => {
    const moved = JSON.parse(JSON.stringify(objects).replaceAll("listening-port=3478", `listening-port=${port}`));
    const pod = materialise(group, `relay-${port}`, spec, moved);
    if (!CANNOT_CONFINE) handOver(group, pod, spec);
    const args = [...flags, relayScript(container, pod, CANNOT_CONFINE ? "turnserver" : markedRelay(pod.folder))];
    const what = CANNOT_CONFINE ? { program, args } : asContainer(spec, program, args);
    await group.start({ name: "relay", ...what }, (child) => child.ready(() => bind(port)));
    return port;
  });
}

/**
 * Starts the containers of a pod in the order of Kubernetes: native sidecars, then the others.
 * @param {Group} group
 * @param {Record<string, string>} programs by the name of the container
 * @param {string} name
 * @param {any} spec
 * @param {Manifest[]} objects
 * @returns {Promise<Record<string, {child: Child, ready: Record<string, string>}>>} by the name of the container
 */
export async function startPod(group, programs, name, spec, objects) {
  const pod = materialise(group, name, spec, objects);
  /** @type {Record<string, {child: Child, ready: Record<string, string>}>} */
  const started = {};
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    const what = { name: `${name}-${container.name}`, program: programs[container.name], env: environment(container, pod) };
    started[container.name] = await startService(group, what);
  }
  return started;
}
