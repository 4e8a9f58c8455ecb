import { factsOf, page, row, table, text } from "../k6/lib/report.js";
import assert from "node:assert/strict";
import { test } from "node:test";

const ABOUT = { question: "calls", title: "Does <it> work?", profile: "smoke", machine: "2 cores" };

/** What k6 hands over. @param {boolean} ok whether nothing was lost */
function run(ok) {
  const metrics = {
    sig_lost: { values: { count: ok ? 0 : 3 }, thresholds: { "count==0": { ok } } },
    sig_delivered: { values: { count: 40 }, thresholds: { "count>0": { ok: true } } },
    sig_deliver: { values: { "count": 40, "med": 2, "p(95)": 7.128, "p(99)": 31.7 }, thresholds: { "p(95)<250": { ok: true } } },
    http_reqs: { values: { count: 1 } },
  };
  return factsOf({ metrics, state: { testRunDurationMs: 2499 } }, ABOUT);
}

test("a run passes if every threshold was met", () => {
  const facts = run(true);
  assert.equal(facts.passed, true);
  assert.deepEqual(row(facts).slice(0, 3), ["calls", "passed", "2 s"]);
  assert.deepEqual(Object.keys(facts.values), ["sig_deliver", "sig_delivered", "sig_lost"]);
});

test("a threshold that was missed is named with what was wanted and what was measured", () => {
  const facts = run(false);
  assert.equal(facts.passed, false);
  assert.equal(row(facts)[1], "FAILED: sig_lost count==0");
  assert.match(text(facts), /MISS {2}sig_lost +3 +wanted count==0/);
  assert.match(page(facts), /<span class="miss">missed<\/span>/);
});

test("a run without thresholds has measured nothing and fails", () => {
  const facts = factsOf({ metrics: {}, state: { testRunDurationMs: 0 } }, ABOUT);
  assert.equal(facts.passed, false);
  assert.equal(row(facts)[1], "FAILED: nothing was measured");
});

test("the table is Markdown with the machine below it", () => {
  const [headings, rule, calls, , note] = table([run(true)], "2 cores").split("\n");
  assert.match(headings, /^\| question \| verdict/);
  assert.match(rule, /^\| --- \|/);
  assert.match(calls, /\| 40 \| 0 \/ – \/ – \| – \| 2 \/ 7\.13 \/ 32 \|/);
  assert.match(note, /2 cores$/);
});

test("what a page quotes is escaped", () => {
  assert.match(page(run(true)), /Does &#60;it&#62; work\?/);
});
