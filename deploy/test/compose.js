import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { CANNOT_CONFINE, confined } from "./confined.js";
import { ROOT, fromYaml, run } from "./settings.js";

/**
 * compose.yaml, and its containers as processes.
 *
 * @typedef {import("../local/processes.js").Group} Group
 * @typedef {Record<string, string>} Files paths by the names of the secrets
 */

export const DEPLOY = join(ROOT, "deploy");
export const COMPOSE = compose({});

/** The file as Compose reads it with these variables. @param {Record<string, string>} variables */
export function compose(variables) {
  const text = readFileSync(join(DEPLOY, "compose.yaml"), "utf8");
  const [file] = fromYaml(text.replace(/\$\{(\w+):-([^}]*)\}/g, (_, name, otherwise) => variables[name] ?? otherwise));
  return file;
}

export const SERVICES = /** @type {[string, any][]} */ (Object.entries(COMPOSE.services));

/** Has make-secrets.sh make what is mounted, in a copy: a working copy may have secrets of its own. @param {string} folder @returns {Files} */
export function makeSecrets(folder) {
  const filter = (/** @type {string} */ from) => basename(from) !== "secrets";
  for (const name of ["compose", "coturn"]) cpSync(join(DEPLOY, name), join(folder, "deploy", name), { recursive: true, filter });
  cpSync(join(DEPLOY, "../helm/signal-cluster/static-auth-secrets.awk"), join(folder, "helm/signal-cluster/static-auth-secrets.awk"));
  run(join(folder, "deploy/compose/make-secrets.sh"), []);
  const files = /** @type {[string, {file: string}][]} */ (Object.entries(COMPOSE.secrets));
  return Object.fromEntries(files.map(([name, { file }]) => [name, join(folder, "deploy", file)]));
}

/** The user and the capabilities of a service. @param {string} service */
export function confinement(service) {
  const { user, cap_add: capabilities = [] } = COMPOSE.services[service];
  const [uid, gid] = user.split(":").map(Number);
  return { uid, gid, capabilities };
}

/** Makes a folder of the user of a service, for all that it may write. @param {Group} group @param {string} service @param {string} name */
export function ownFolder(group, service, name) {
  const folder = join(group.dir, name);
  mkdirSync(folder);
  if (CANNOT_CONFINE) return folder;
  // The way there leads through the folder of the group.
  chmodSync(group.dir, 0o711);
  const { uid, gid } = confinement(service);
  chownSync(folder, uid, gid);
  return folder;
}

/**
 * Puts the secrets of a service into a folder, as Compose does: for everybody to read who gets there.
 * @param {string} service
 * @param {string} folder
 * @param {Files} secrets
 * @param {(text: string) => string} moved what stands in them, at home here
 * @returns {Files}
 */
export function mount(service, folder, secrets, moved) {
  const names = /** @type {string[]} */ (COMPOSE.services[service].secrets);
  return Object.fromEntries(names.map((name) => {
    const file = join(folder, name);
    writeFileSync(file, moved(readFileSync(secrets[name], "utf8")), { mode: 0o444 });
    return [name, file];
  }));
}

/** A word of a command, or a value of a variable, with mounted files where they are here. @param {string} word @param {Files} mounted */
export function here(word, mounted) {
  return word.replace(/^\/run\/secrets\/([\w-]+)$/, (_, name) => mounted[name]);
}

/** The variables of a service. @param {string} service @param {Files} mounted @returns {Record<string, string>} */
export function environment(service, mounted) {
  const variables = /** @type {[string, string][]} */ (Object.entries(COMPOSE.services[service].environment));
  return Object.fromEntries(variables.map(([name, value]) => [name, here(value, mounted)]));
}

/**
 * What to start for a service that is not of this repository: its command, confined where this process can.
 * @param {string} service
 * @param {string} program
 * @param {Files} mounted
 * @param {string[]} further arguments
 */
export function container(service, program, mounted, further) {
  // An image begins the command with its program, or leaves that to its entry point.
  const words = /** @type {string[]} */ (COMPOSE.services[service].command).filter((word) => word !== basename(program));
  const args = [...words.map((word) => here(word, mounted)), ...further];
  return { name: service, ...(CANNOT_CONFINE ? { program, args } : confined(confinement(service), program, args)) };
}
