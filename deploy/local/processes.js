import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { finished } from "node:stream/promises";
import { join } from "node:path";
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";

/**
 * Child processes that never outlive their parent: a group with a folder of its own for sockets,
 * secrets and logs, stopped last in, first out. It is also stopped when the parent is asked to end
 * by a signal, and killed at once when the parent ends by an error.
 *
 * Children are in process groups of their own, so that Ctrl-C reaches the parent alone and the order
 * is kept.
 */

/** How long a child may take to end after SIGTERM (ms); then it is killed. */
const END_WITHIN = 5_000;

/** How long a child may take until it answers (ms). */
const READY_WITHIN = 15_000;

/** How often a child that starts is asked whether it answers (ms). */
const ASK_EVERY = 50;

/** How many lines of its log are shown when a child fails. */
const TAIL = 15;

const SIGNALS = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/** One running program. */
export class Child {
  #log;
  #stopping = false;
  /** Resolves with how it ended, in words. @type {Promise<string>} */
  ended;
  /** Whether it has not ended yet. */
  alive = true;

  /**
   * @param {object} options
   * @param {string} options.name
   * @param {string} options.program
   * @param {string[]} options.args
   * @param {Record<string, string>} options.env
   * @param {string} options.log where its output goes
   */
  constructor({ name, program, args, env, log }) {
    this.name = name;
    this.#log = log;
    this.process = spawn(program, args, { env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    const file = createWriteStream(log, { flags: "a", mode: 0o600 });
    this.process.stdout.pipe(file, { end: false });
    this.process.stderr.pipe(file, { end: false });
    const ended = Promise.race([
      once(this.process, "close").then(([code, signal]) => (signal ? `was ended by ${signal}` : `ended with code ${code}`)),
      once(this.process, "error").then(([error]) => `could not be started: ${error.message}`),
    ]).catch((error) => `could not be started: ${error.message}`);
    this.ended = ended.then(async (how) => {
      this.alive = false;
      file.end();
      await finished(file).catch(() => {}); // a log that cannot be written is no reason to stay
      return how;
    });
  }

  /** Whether it was asked to end. */
  get stopping() {
    return this.#stopping;
  }

  /**
   * Returns the first line of standard output that is JSON and of which `wanted` is true.
   * @param {(line: any) => boolean} wanted
   * @returns {Promise<any>}
   */
  async announcement(wanted) {
    const lines = createInterface({ input: this.process.stdout });
    const found = new Promise((resolve) => lines.on("line", (text) => {
      const line = parse(text);
      if (line && wanted(line)) resolve(line);
    }));
    const line = await Promise.race([found, this.ended, wait(READY_WITHIN, "said nothing for too long", { ref: false })]);
    if (typeof line === "string") throw this.failure(line);
    return line;
  }

  /**
   * Waits until `answers` returns true.
   * @param {() => Promise<boolean>} answers
   */
  async ready(answers) {
    const deadline = Date.now() + READY_WITHIN;
    while (this.alive && Date.now() < deadline) {
      // A stranger on the same port answers too; then this child has ended, or is about to.
      if ((await answers()) && this.alive) return;
      await wait(ASK_EVERY);
    }
    throw this.failure(this.alive ? "does not answer" : await this.ended);
  }

  /** Ends it: asks, then insists. @param {{within?: number}} [options] how long it may take when asked (ms) */
  async stop({ within = END_WITHIN } = {}) {
    this.#stopping = true;
    if (!this.alive) return;
    this.process.kill("SIGTERM");
    const late = await Promise.race([this.ended.then(() => false), wait(within, true, { ref: false })]);
    if (late) this.kill();
    await this.ended;
  }

  /** Ends it without asking. */
  kill() {
    this.#stopping = true;
    this.process.kill("SIGKILL");
  }

  /** Makes an error that shows the end of the log. @param {string} what */
  failure(what) {
    return new Error(`${this.name} ${what}\n${this.#tail()}`);
  }

  #tail() {
    try {
      const lines = readFileSync(this.#log, "utf8").trimEnd().split("\n").slice(-TAIL);
      return lines.map((line) => `  | ${line}`).join("\n");
    } catch {
      return "  | (no log)";
    }
  }
}

/** Children that belong together, and their folder. */
export class Group {
  /** @type {Child[]} */
  #children = [];
  /** @type {Promise<void> | null} */
  #stopped = null;
  #release;
  /** @type {(failure: Error) => void} */
  #fail = () => {};

  /** A folder that only this user can enter; gone once the group has stopped. */
  dir = mkdtempSync(join(tmpdir(), "signal-cluster-"));
  /** Resolves when a child ends that was not asked to. @type {Promise<Error>} */
  failed = new Promise((resolve) => (this.#fail = resolve));

  /** @param {{interrupted: (signal: NodeJS.Signals) => void}} options called once everything has stopped because of a signal */
  constructor({ interrupted }) {
    const kill = () => this.#kill();
    const onSignal = async (/** @type {NodeJS.Signals} */ signal) => {
      await this.stop();
      interrupted(signal);
    };
    process.on("exit", kill);
    for (const signal of SIGNALS) process.on(signal, onSignal);
    this.#release = () => {
      process.off("exit", kill);
      for (const signal of SIGNALS) process.off(signal, onSignal);
    };
  }

  /** Whether it has begun to stop. */
  get stopping() {
    return this.#stopped !== null;
  }

  /**
   * Writes a file that only this user can read.
   * @param {string} name
   * @param {string} content
   * @returns {string} its path
   */
  write(name, content) {
    const path = join(this.dir, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  }

  /**
   * Starts a program and returns once `ready` has; it is stopped again if that fails.
   * @template T
   * @param {{name: string, program: string, args?: string[], env?: Record<string, string>}} what
   * @param {(child: Child) => Promise<T>} ready
   * @returns {Promise<{child: Child, ready: T}>}
   */
  async start({ name, program, args = [], env = {} }, ready) {
    if (this.stopping) throw Object.assign(new Error("the cluster is being stopped"), { final: true });
    const child = new Child({ name, program, args, env: { ...essentials(), ...env }, log: join(this.dir, `${name}.log`) });
    this.#children.push(child);
    try {
      const answer = await ready(child);
      child.ended.then((how) => child.stopping || this.#fail(child.failure(how)));
      return { child, ready: answer };
    } catch (error) {
      await child.stop();
      throw error;
    }
  }

  /** Ends all children, the last one first, and removes the folder; calling it again waits for the same. */
  stop() {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop() {
    for (const child of this.#children.reverse()) await child.stop();
    this.#remove();
    this.#release();
  }

  /** The parent is ending this moment: nothing can be waited for. */
  #kill() {
    for (const child of this.#children) if (child.alive) child.kill();
    this.#remove();
  }

  #remove() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/**
 * Calls with a group of processes, which end with the call. A signal to the parent ends them, and then the parent.
 * @param {(group: Group) => Promise<void>} act
 */
export async function withGroup(act) {
  const group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  try {
    await act(group);
  } finally {
    await group.stop();
  }
}

/** What every program may know of the parent's environment; settings of services do not leak in. */
function essentials() {
  const { PATH = "/usr/bin:/bin", LANG = "C.UTF-8", RUST_LOG, RUST_BACKTRACE } = process.env;
  const known = Object.entries({ PATH, LANG, RUST_LOG, RUST_BACKTRACE }).filter(([, value]) => value !== undefined);
  return /** @type {Record<string, string>} */ (Object.fromEntries(known));
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
