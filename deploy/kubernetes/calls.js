import { createInterface } from "node:readline";
import { once } from "node:events";
import { spawn } from "node:child_process";

/**
 * Calls between two members each, by the clients of the fault suite, through the Service of a release.
 *
 * @typedef {{signals: number, lost: number, doubled: number, reordered: number, members_lost: number, moved: number, cut: number,
 *   failed_dials: number, slowest_back: number, worst_delay: number, violations: string[], failure: string | null}} CallReport
 *   of crates/fault-suite/src/scenario/calls; times are in milliseconds
 */

export class Calls {
  #child;
  #lines;
  /** @type {any[]} */
  #heard = [];

  /**
   * Starts the clients.
   * @param {import("./cluster.js").Cluster} cluster
   * @param {{program: string, address: string, pairs: number, history: string}} options
   */
  constructor(cluster, { program, address, pairs, history }) {
    const [first, ...args] = [...cluster.inside, program, "calls", "--address", address, "--pairs", String(pairs), "--history", history];
    this.#child = spawn(first, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#lines.on("line", (line) => this.#heard.push(JSON.parse(line)));
  }

  /** Resolves when all members are in their rooms. */
  async ready() {
    await Promise.race([once(this.#lines, "line"), once(this.#lines, "close")]);
    if (!this.#heard[0]?.ready) throw new Error(`the calls did not begin: ${this.#heard[0]?.failure ?? "the clients have ended"}`);
  }

  /** Says what is done to the cluster from now on, as a kind of fault of the fault suite. @param {string} kind */
  fault(kind) {
    this.#child.stdin.write(`fault ${kind}\n`);
  }

  /** Says that nothing is broken any more. */
  healed() {
    this.#child.stdin.write("healed\n");
  }

  /** Ends the calls and judges them. @returns {Promise<CallReport>} */
  async end() {
    const closed = once(this.#lines, "close");
    this.#child.stdin.end();
    await closed;
    const report = this.#heard.at(-1);
    if (report?.signals === undefined) throw new Error("the clients ended without a report");
    return report;
  }

  /** Ends the clients without a report. */
  kill() {
    this.#child.kill("SIGKILL");
  }
}
