import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { HANDED_OVER, RESUMED, failed, faultsOf, insert, row, tables } from "../kubernetes/verdict.js";

/** What `make kubernetes` makes of its measurements; the cluster itself is no part of `make test`. */

/** @type {import("../kubernetes/verdict.js").CallReport} */
const GOOD = {
  signals: 8_000, lost: 0, doubled: 0, reordered: 0, members_lost: 0, moved: 80, cut: 1, failed_dials: 0,
  slowest_back: 200, worst_delay: 1_234, violations: [], failure: null,
};

test("a run within its limits has no fault, and each figure above one is named", () => {
  assert.deepEqual(faultsOf(GOOD, HANDED_OVER), []);
  for (const name of Object.keys(HANDED_OVER)) {
    assert.match(faultsOf({ ...GOOD, [name]: 99_999 }, HANDED_OVER).join(), new RegExp(`^${name} is 99999, not \\d+ at most$`));
  }
  assert.deepEqual(faultsOf({ ...GOOD, failed_dials: 7, slowest_back: 4_000 }, RESUMED), [], "a killed node refuses connections");
});

test("a promise of the protocol that was broken is a fault, and so are calls that did not come to their end", () => {
  const report = { ...GOOD, violations: ["order: 1.000000 s: 3 before 2"], failure: "not within 90s: all clients are back" };
  assert.deepEqual(faultsOf(report, RESUMED), [...report.violations, report.failure]);
});

test("a scenario that did not come to its end has a row and a fault, and those after it go on", () => {
  const report = failed("Error: not within 240 s: three nodes");
  assert.deepEqual(faultsOf(report, RESUMED), [report.failure]);
  assert.match(row({ name: "power", report, faults: faultsOf(report, RESUMED) }), /^\| power \| 0 \|.*\*\*no\*\* \|$/);
});

test("a row says every count, and a twin that nothing noticed stands out", () => {
  const outcome = { name: "rollout", report: GOOD, faults: [] };
  assert.equal(row(outcome), "| rollout | 8000 | 0 | 0 | 0 | 0 | 80 | 1 | 0 | 0.2 s | 1.2 s | yes |");
  assert.match(row({ ...outcome, faults: ["lost is 1"] }), /\| \*\*no\*\* \|$/);
  const text = tables([outcome], [{ name: "policies", does: "nobody", faults: ["somebody"] }], [{ name: "rollout", without: "goaway", faults: [] }]);
  assert.match(text, /^\| scenario \|.*\n\|---\|/);
  assert.match(text, /\n\| policies \| nobody \| \*\*no\*\* \|\n/);
  assert.match(text, /\| rollout \| goaway \| \*\*nothing was noticed\*\* \|/);
});

test("a table replaces what is between its markers, and a page without them is refused", () => {
  const page = "a\n<!-- t: begin -->\nold\n<!-- t: end -->\nz\n";
  assert.equal(insert(page, "t", "new"), "a\n<!-- t: begin -->\nnew\n<!-- t: end -->\nz\n");
  assert.throws(() => insert("a", "t", "new"), /has no lines <!-- t: begin -->/);
});

test("an unknown scenario is refused before a cluster is brought up, and the known ones are named", () => {
  const main = fileURLToPath(new URL("../kubernetes/main.js", import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [main, "rolout"], { encoding: "utf8" });
  assert.equal(status, 64);
  assert.match(stderr, /no scenario rolout; there are rollout, upgrade, /);
});
