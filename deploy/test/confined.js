import { chmodSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { findOnPath } from "../local/tools.js";
import { run } from "./settings.js";

/**
 * Processes with the user, the capabilities and the privileges of a container, and the root of this machine.
 *
 * @typedef {{uid: number, gid: number, capabilities: string[]}} Confinement all other capabilities are dropped
 */

/** Why this process cannot confine others; false if it can, as `skip` of a test has it. */
export const CANNOT_CONFINE = process.getuid?.() === 0 ? false : "only root can start processes as somebody else";

/**
 * What to start instead of a program, so that it runs confined.
 * @param {Confinement} confinement
 * @param {string} program
 * @param {string[]} args
 */
export function confined({ uid, gid, capabilities }, program, args) {
  const bounds = ["-all", ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(",");
  const user = [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
  return { program: "setpriv", args: [...user, `--bounding-set=${bounds}`, "--inh-caps=-all", "--no-new-privs", program, ...args] };
}

/**
 * A turnserver as it is in coturn's image: with a file capability. Of it, the kernel says EPERM where the bounding set
 * lacks what a program is marked with.
 * @param {string} folder where it is put, for everybody to start
 */
export function markedRelay(folder) {
  const copy = join(folder, "turnserver");
  copyFileSync(findOnPath("turnserver") ?? "", copy);
  chmodSync(copy, 0o755);
  run(findOnPath("setcap") ?? "setcap", ["cap_net_bind_service=+ep", copy]);
  return copy;
}
