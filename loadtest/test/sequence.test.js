import { ALL, Heard, Said } from "../k6/lib/sequence.js";
import assert from "node:assert/strict";
import { test } from "node:test";

const counts = ({ delivered, duplicated, reordered }) => ({ delivered, duplicated, reordered });

/** Hears these numbers in a row. @param {number[]} numbers @param {object} [options] */
function hear(numbers, options) {
  const heard = new Heard();
  const verdicts = numbers.map((n) => heard.take("ana", ALL, n, options));
  return { heard, verdicts };
}

test("a sender counts each stream from 1", () => {
  const said = new Said();
  assert.deepEqual([said.next("bo"), said.next(ALL), said.next("bo")], [1, 1, 2]);
  assert.deepEqual([said.total("bo"), said.total(ALL), said.total("cy")], [2, 1, 0]);
});

test("what comes once and in order is delivered and nothing else", () => {
  const { heard } = hear([1, 2, 3]);
  assert.deepEqual(counts(heard), { delivered: 3, duplicated: 0, reordered: 0 });
  assert.equal(heard.lost("ana", ALL, 3), 0);
});

test("a hole is a loss, and so is the end that never came, and so is a stream of which nothing came", () => {
  const { heard } = hear([1, 3]);
  assert.equal(heard.lost("ana", ALL, 3), 1);
  assert.equal(heard.lost("ana", ALL, 5), 3);
  assert.equal(heard.lost("bo", ALL, 4), 4);
});

test("a number that comes twice is a duplicate, however late", () => {
  const { heard, verdicts } = hear([1, 2, 3, 1, 3]);
  assert.deepEqual(verdicts, ["new", "new", "new", "again", "again"]);
  assert.deepEqual(counts(heard), { delivered: 3, duplicated: 2, reordered: 0 });
});

test("a number that fills a hole was overtaken: reordered, not lost", () => {
  const { heard, verdicts } = hear([1, 3, 2]);
  assert.deepEqual(verdicts, ["new", "new", "late"]);
  assert.deepEqual(counts(heard), { delivered: 3, duplicated: 0, reordered: 1 });
  assert.equal(heard.lost("ana", ALL, 3), 0);
});

test("who comes late misses nothing of what was said before", () => {
  const { heard } = hear([41, 42, 44], { late: true });
  assert.equal(heard.lost("ana", ALL, 44), 1);
});
