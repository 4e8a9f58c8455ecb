import { closeSync, mkdirSync, openSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { findOnPath } from "../local/tools.js";

/**
 * Containers as an engine starts them that was told to be strict: the root is read-only, the process has the user of
 * the image, no capability, no way to new privileges, and processes of its own. The network is this machine's.
 *
 * @typedef {{User: string, Env: string[], Entrypoint: string[], Cmd: string[], ExposedPorts: Record<string, object>, Labels: Record<string, string>, StopSignal: string}} Config of an image
 * @typedef {{root: string, config: Config, hosts: string, resolv: string}} Container
 *   where its files are, what its image says, and what is mounted over /etc/hosts and /etc/resolv.conf
 */

/** Arguments: root, hosts, resolv.conf, UID, GID, and the command. */
const START = `
root=$1 hosts=$2 resolv=$3 uid=$4 gid=$5 program=$6
shift 6
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero random urandom; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount --bind "$hosts" "$root/etc/hosts"
mount --bind "$resolv" "$root/etc/resolv.conf"
mount -o remount,bind,ro "$root"
exec capsh --chroot="$root" --drop=all --noamb --groups= --gid="$gid" --uid="$uid" --no-new-privs --shell="$program" -- "$@"
`;

/** Makes what an engine mounts upon, which an image need not have. @param {string} root */
export function makeMountpoints(root) {
  for (const folder of ["proc", "dev", "etc"]) mkdirSync(join(root, folder), { recursive: true });
  for (const file of ["etc/hosts", "etc/resolv.conf"]) closeSync(openSync(join(root, file), "a"));
}

/**
 * Starts a container: the image's entry point with these arguments, the image's variables and these.
 * @param {Container} container
 * @param {string[]} args
 * @param {Record<string, string>} variables
 */
export function startContainer({ root, config, hosts, resolv }, args, variables) {
  const own = Object.fromEntries(config.Env.map((variable) => variable.split(/=(.*)/s).slice(0, 2)));
  const inner = [root, hosts, resolv, ...config.User.split(":"), ...config.Entrypoint, ...args];
  const isolated = ["--mount", "--pid", "--fork", findOnPath("sh") ?? "sh", "-ec", START, "engine", ...inner];
  return spawn(findOnPath("unshare") ?? "unshare", isolated, { env: { ...own, ...variables }, stdio: ["ignore", "pipe", "pipe"] });
}

/** The first process in a container, as this machine counts it; 0 if it has ended. @param {import("node:child_process").ChildProcess} outer */
export function firstProcess({ pid }) {
  return Number(readdirSync("/proc").find((name) => /^\d+$/.test(name) && parentOf(name) === pid) ?? 0);
}

/**
 * Ends a container without asking. Its first process has to be killed itself: that it ends with its parent, as unshare
 * offers, is forgotten by the kernel when it becomes another user's.
 * @param {import("node:child_process").ChildProcess} outer
 */
export function killContainer(outer) {
  if (outer.exitCode !== null || outer.signalCode !== null) return;
  const first = firstProcess(outer);
  if (first > 0) process.kill(first, "SIGKILL");
  outer.kill("SIGKILL");
}

/** @param {string} pid */
function parentOf(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")[1]);
  } catch {
    return 0; // It has ended meanwhile.
  }
}
