import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";

/** Programs with a network of their own, in which they may have the ports, addresses and names that a page shows. */

const ISOLATED = ["--net", "--mount", ...(process.getuid?.() === 0 ? [] : ["--map-root-user"])];

/** Whether this system allows that. */
export const CAN_ISOLATE = (() => {
  try {
    execFileSync("unshare", [...ISOLATED, "ip", "link", "set", "lo", "up"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/**
 * Runs a program in a network with a loopback interface alone.
 * @param {string[]} command
 * @param {{signal: AbortSignal, network?: string, hosts?: string}} options `signal` ends it; `network`: addresses of the loopback interface,
 *   such as `10.0.0.0/24`; `hosts`: a file in place of /etc/hosts
 * @returns {Promise<{stdout: string, stderr: string}>} it rejects with what was printed
 */
export async function runIsolated(command, { signal, network, hosts }) {
  const steps = ["ip link set lo up", network && `ip address add ${network} dev lo`, hosts && `mount --bind ${hosts} /etc/hosts`, 'exec "$@"'];
  const args = [...ISOLATED, "sh", "-c", steps.filter(Boolean).join(" && "), "isolated", ...command];
  try {
    return await promisify(execFile)("unshare", args, { encoding: "utf8", maxBuffer: 16 << 20, signal });
  } catch (error) {
    const { message, stdout = "", stderr = "" } = /** @type {any} */ (error);
    throw new Error(stdout || stderr ? `${stdout}\n${stderr}` : message);
  }
}
