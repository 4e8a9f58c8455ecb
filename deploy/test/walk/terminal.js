import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { spawn } from "node:child_process";
import { bind } from "../../local/coturn.js";
import { missingLines } from "./pages.js";

/** How often something that starts is asked whether it answers (ms). */
const ASK_EVERY = 50;

/** How long something may take until it answers and has printed what the page shows (ms). */
const READY_WITHIN = 20_000;

/** A terminal in which a reader runs the commands of one block. */
export class Terminal {
  /** What the commands have printed. */
  output = "";
  /** How they ended; null while they run. @type {string | null} */
  end = null;

  /** @param {string} commands @param {string} folder @param {Record<string, string | undefined>} env */
  constructor(commands, folder, env) {
    this.commands = commands;
    // A process group of its own, as that of a terminal in the foreground, which Ctrl-C reaches as a whole.
    this.process = spawn("bash", ["-euo", "pipefail", "-c", commands], { cwd: folder, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (/** @type {Buffer} */ data) => (this.output += data));
    this.ended = once(this.process, "close").then(([code, signal]) => (this.end = signal ?? String(code)));
  }

  /** Waits until the commands have ended. @throws where they fail */
  async finishes() {
    if ((await this.ended) !== "0") throw new Error(`ended with ${this.end}`);
  }

  /** Waits until what stays here answers, and has printed these lines. @param {string | undefined} url @param {string[]} lines */
  async serves(url, lines) {
    const isThere = async () => (url === undefined || (await answers(url))) && missingLines(lines, this.output).length === 0;
    const deadline = Date.now() + READY_WITHIN;
    while (!(await isThere())) {
      if (this.end !== null) throw new Error(`ended with ${this.end}`);
      if (Date.now() > deadline) throw new Error(`does not answer at ${url ?? "any address"}, or does not print ${missingLines(lines, this.output).join("\n")}`);
      await wait(ASK_EVERY);
    }
  }

  /** Ctrl-C, and another signal for who has no time: programs of ours that drain end at the second one. */
  async interrupt() {
    for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) this.#signal(signal);
    await this.ended;
  }

  /** Ends all of it at once. */
  kill() {
    this.#signal("SIGKILL");
  }

  /** @param {NodeJS.Signals} signal */
  #signal(signal) {
    try {
      if (this.process.pid) process.kill(-this.process.pid, signal);
    } catch {
      // The group has ended.
    }
  }
}

/** Whether something answers at a URL of HTTP or TURN. @param {string} url @returns {Promise<boolean>} */
function answers(url) {
  if (url.startsWith("turn:")) return bind(Number(url.split(":")[2]));
  return fetch(url).then(({ status }) => status < 500, () => false);
}
