import { QUESTIONS, readArguments } from "../lib/arguments.js";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { thresholdsOf } from "../k6/thresholds.js";

/** What is said of a wrong command line. @param {string[]} args */
function complaint(...args) {
  try {
    readArguments(args);
  } catch (error) {
    assert.equal(error.code, "usage");
    return error.message;
  }
  return assert.fail("nothing was said");
}

test("without arguments every question is asked of a local cluster", () => {
  const { questions, profile, url } = readArguments([]);
  assert.deepEqual([questions, profile, url], [QUESTIONS, "smoke", undefined]);
});

test("every question has a script", () => {
  for (const question of QUESTIONS) assert.ok(existsSync(new URL(`../k6/${question}.js`, import.meta.url)), question);
});

test("every question fails if nothing was delivered and if anything was lost", () => {
  const sizes = { vus: 1, rooms: 1, size: 2, rounds: 1, candidates: 1, guests: 1, rate: 10, hold: 2 };
  for (const question of QUESTIONS) {
    const { sig_delivered: delivered, sig_ice_servers: servers, sig_lost: lost } = thresholdsOf(question, "smoke", sizes);
    assert.match((delivered ?? servers)[0], /^count(>0|[>=]=[1-9]\d*)$/, question);
    if (question !== "ice") assert.deepEqual(lost, ["count==0"], question);
  }
});

test("a wrong command line is answered with what would be right", () => {
  assert.match(complaint("call"), /no such question: call; there are calls, conference/);
  assert.match(complaint("--profile", "big"), /there are smoke, small, full/);
  assert.match(complaint("--nodes", "1"), /from 2 to 9/);
  assert.match(complaint("--hold", "10m"), /a number of seconds/);
  assert.match(complaint("--url", "https://x"), /such as wss:/);
  assert.match(complaint("--url", "wss://x/v1/ws"), /--secret-file/);
  assert.match(complaint("--url", "wss://x/v1/ws", "--secret-file", "k", "ice"), /--credentials/);
  assert.match(complaint("--frob"), /frob/);
});
