#!/usr/bin/env node
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { tmpdir } from "node:os";
import { openBrowser } from "../../../client/e2e/browser.js";
import { findOnPath } from "../../local/tools.js";
import { Terminal } from "./terminal.js";
import { missingLines, readPage } from "./pages.js";

/**
 * Does what a page says, in its order, in a copy of the repository as somebody gets it:
 *
 *   node deploy/test/walk/main.js PAGE     prints each step; fails at the first that does not do what the page shows
 *
 * The ports are those of the page: start this where nobody has them, such as in a network namespace.
 */

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const BINARIES = process.env.TARGET_DIR ?? join(ROOT, "target/debug");

/** One reader with a clone. */
class Reader {
  #home = mkdtempSync(join(tmpdir(), "walk-"));
  #clone = join(this.#home, "signal-cluster");
  /** @type {Terminal[]} */
  #terminals = [];
  #env;

  constructor() {
    mkdirSync(join(this.#home, "bin"));
    const cargo = join(this.#home, "bin/cargo");
    writeFileSync(cargo, `#!/bin/sh\nexec ${process.execPath} ${join(ROOT, "deploy/test/walk/built-cargo.js")} "$@"\n`);
    chmodSync(cargo, 0o755);
    const { HOME, LANG = "C.UTF-8", RUSTUP_HOME, CARGO_HOME } = process.env;
    const path = [join(this.#home, "bin"), process.env.PATH, "/usr/sbin"].join(":");
    this.#env = { HOME, LANG, RUSTUP_HOME, CARGO_HOME, PATH: path, REAL_CARGO: findOnPath("cargo") ?? "cargo", BINARIES };
    mkdirSync(this.#clone);
    // What git has, and what it would take.
    const copy = `git ls-files -z --cached --others --exclude-standard | tar c --null --ignore-failed-read -T - | tar x -C '${this.#clone}'`;
    execFileSync("bash", ["-euo", "pipefail", "-c", copy], { cwd: ROOT, stdio: ["ignore", "inherit", "ignore"] });
  }

  /** Does a page, after the one that it follows. @param {string} page below the repository */
  async follows(page) {
    const { follows, steps } = readPage(join(this.#clone, page));
    if (follows) await this.follows(join(dirname(page), follows));
    for (const step of steps) {
      console.log(`${page}: ${step.kind} ${step.file ?? step.text.trim().replaceAll("\n", "\n  ")}`);
      await this.#does(step);
    }
  }

  /** @param {import("./pages.js").Step} step */
  async #does(step) {
    switch (step.kind) {
      case "run":
        return this.#runs(step);
      case "write":
        mkdirSync(dirname(join(this.#clone, step.file ?? "")), { recursive: true });
        return writeFileSync(join(this.#clone, step.file ?? ""), step.text);
      case "interrupt":
        for (const terminal of this.#terminals.splice(0).reverse()) await terminal.interrupt();
        return;
      case "look":
        return this.#shows(step);
      case "open":
        return seeEachOther(step.text);
      case "skip":
    }
  }

  /** @param {import("./pages.js").Step} step */
  async #runs({ text, stays, url, prints = [] }) {
    const terminal = new Terminal(text, this.#clone, this.#env);
    this.#terminals.push(terminal);
    try {
      await (stays ? terminal.serves(url, prints) : terminal.finishes());
      const missing = missingLines(prints, terminal.output);
      if (missing.length > 0) throw new Error(`does not print, or not in this order:\n${missing.join("\n")}`);
    } catch (error) {
      throw new Error(`${/** @type {Error} */ (error).message}\n--- it printed:\n${terminal.output.slice(-4000)}`);
    }
  }

  /** Waits until an earlier terminal shows these lines. @param {import("./pages.js").Step} step */
  async #shows({ text, prints = [] }) {
    const terminal = this.#terminals.find(({ commands }) => commands.includes(text));
    if (!terminal) throw new Error(`nothing with ${text} was started`);
    await terminal.serves(undefined, prints);
  }

  /** Ends everything, and leaves nothing behind. */
  leave() {
    for (const terminal of this.#terminals) {
      if (process.exitCode) console.log(`--- a terminal:\n${terminal.output.slice(-2000)}`);
      terminal.kill();
    }
    if (existsSync(this.#home)) rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Two tabs of a page each show a picture that moves. @param {string} url */
async function seeEachOther(url) {
  const browser = await openBrowser();
  try {
    const tabs = [await browser.context.newPage(), await browser.context.newPage()];
    for (const tab of tabs) await tab.goto(url);
    for (const tab of tabs) await tab.waitForFunction(() => [...document.querySelectorAll("video")].some((video) => video.currentTime > 0));
  } finally {
    await browser.close();
  }
}

const reader = new Reader();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
process.on("exit", () => reader.leave());
try {
  await reader.follows(process.argv[2]);
} catch (error) {
  console.error(/** @type {Error} */ (error).message);
  process.exitCode = 1;
}
process.exit();
