import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { readFileSync } from "node:fs";
import { CAN_ISOLATE, runIsolated } from "./isolated.js";
import { ROOT } from "./settings.js";
import { missingLines, readPage } from "./walk/pages.js";

/**
 * A newcomer's walk: the commands of both READMEs, docs/start and docs/guides are run in the order of docs/SUMMARY.md's pages, in a copy of the
 * repository, with the programs that are built already in place of cargo, and do and print what the page shows.
 */

const summary = readFileSync(join(ROOT, "docs/SUMMARY.md"), "utf8");
const pages = ["README.md", "README.zh-CN.md", ...[...summary.matchAll(/\((?:start|guides)\/[\w.-]+\.md\)/g)].map(([link]) => `docs/${link.slice(1, -1)}`)];

/** Each page has a network of its own where the system allows that, since its ports are those of the page. @param {string} page @param {AbortSignal} signal */
function walk(page, signal) {
  const command = [process.execPath, join(ROOT, "deploy/test/walk/main.js"), page];
  return CAN_ISOLATE ? runIsolated(command, { signal }) : promisify(execFile)(command[0], command.slice(1), { signal });
}

describe("a newcomer's walk", { concurrency: CAN_ISOLATE ? 2 : 1 }, () => {
  for (const page of pages) {
    const { steps, silent } = readPage(join(ROOT, page));
    const commands = steps.filter(({ kind }) => kind === "run");
    if (silent) {
      test(`${page} has no commands: ${silent}`, () => assert.equal(commands.length, 0));
      continue;
    }
    test(`${page}: ${commands.length} blocks of commands do what it shows`, { timeout: 120_000 }, async (context) => {
      for (const { text } of steps.filter(({ kind }) => kind === "skip")) context.diagnostic(`not run: ${text}`);
      assert(commands.length > 0, "run something, or say in the page why not");
      await walk(page, context.signal);
    });
  }
});

test("an output that differs from that of the page is noticed", () => {
  assert.deepEqual(missingLines(["ok … yes", "b"], "x\nok she says yes\nb\n"), []);
  assert.deepEqual(missingLines(["a", "b"], "b\na\n"), ["b"]);
  assert.deepEqual(missingLines(["ok  echo"], "ok  echoes\n"), ["ok  echo"]);
});
