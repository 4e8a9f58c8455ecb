import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Finds the programs a local cluster is made of, and says how to get those that are missing. */

/** Where Debian keeps daemons that are not on the PATH of ordinary users. */
const DAEMON_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** What is needed: the program and the Debian package it comes in. */
const TOOLS = /** @type {const} */ ({
  redis: { program: "redis-server", package: "redis-server" },
  coturn: { program: "turnserver", package: "coturn" },
  haproxy: { program: "haproxy", package: "haproxy" },
});

/** The programs of this repository and the Cargo packages that make them. */
const BINARIES = /** @type {const} */ ({
  node: "signal-node",
  credentials: "turn-cred-service",
});

/**
 * The paths of everything a cluster runs.
 * @typedef {Record<keyof typeof TOOLS | keyof typeof BINARIES, string>} Programs
 */

/**
 * Finds every program a cluster needs.
 * @param {string} binaries the folder Cargo builds into, for instance `target/debug`
 * @returns {Programs}
 * @throws an error that names all that is missing at once, and how to get it
 */
export function findPrograms(binaries) {
  /** @type {string[]} */
  const complaints = [];
  const tools = find(TOOLS, ({ program }) => findOnPath(program));
  const missing = Object.values(TOOLS).filter((_, index) => !Object.values(tools)[index]);
  if (missing.length > 0) {
    const names = missing.map(({ program }) => program).join(", ");
    const packages = missing.map((tool) => tool.package).join(" ");
    complaints.push(`not installed: ${names}\n  sudo apt-get install ${packages}`);
  }
  const built = find(BINARIES, (name) => (executable(join(binaries, name)) ? join(binaries, name) : null));
  const unbuilt = Object.values(BINARIES).filter((_, index) => !Object.values(built)[index]);
  if (unbuilt.length > 0) {
    const packages = unbuilt.map((name) => `-p ${name}`).join(" ");
    complaints.push(`not built in ${binaries}: ${unbuilt.join(", ")}\n  cargo build ${packages}`);
  }
  if (complaints.length > 0) throw new Error(complaints.join("\n"));
  return /** @type {Programs} */ ({ ...tools, ...built });
}

/**
 * @template T
 * @param {Record<string, T>} wanted
 * @param {(what: T) => string | null} search
 */
function find(wanted, search) {
  return Object.fromEntries(Object.entries(wanted).map(([name, what]) => [name, search(what)]));
}

/** Returns the path of a program, or null. @param {string} program */
export function findOnPath(program) {
  const folders = [...(process.env.PATH ?? "").split(delimiter).filter(Boolean), ...DAEMON_FOLDERS];
  return folders.map((folder) => join(folder, program)).find(executable) ?? null;
}

/** @param {string} path */
function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
