import { availableParallelism, cpus, release } from "node:os";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { versionOf } from "./k6.js";

/**
 * What figures were measured on, in one line: without it they mean nothing.
 * @param {string} k6
 * @param {{profile: string, url?: string, nodes: number, binaries: string}} options
 */
export function machineLine(k6, { profile, url, nodes, binaries }) {
  const where = url ? "an existing cluster" : `${nodes} nodes on the same machine, ${/release/.test(binaries) ? "release" : "debug"} build`;
  const processor = `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? "unknown"}), Linux ${release()}`;
  return `Profile ${profile}, ${where}. ${processor}, commit ${commit()}, ${versionOf(k6)}, ${new Date().toISOString().slice(0, 10)}.`;
}

function commit() {
  try {
    const cwd = fileURLToPath(new URL("..", import.meta.url));
    return execFileSync("git", ["describe", "--always", "--dirty"], { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown";
  }
}
