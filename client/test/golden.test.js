import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { CLOSE_CODES, DEFAULTS, ERRORS, build, closeAction, parse } from "../src/protocol.js";
import { explainClose, explainError } from "../src/explain.js";

const WIRE = new URL("../../crates/signal-protocol/wire/", import.meta.url);
const files = readdirSync(WIRE).filter((name) => name.endsWith(".json"));
const read = (name) => readFileSync(new URL(name, WIRE), "utf8").trim();
const codes = JSON.parse(read("codes.json"));

for (const name of files.filter((name) => name.startsWith("client."))) {
  test(`the SDK builds the golden frame ${name} to the letter`, () => {
    const { type, ...fields } = JSON.parse(read(name));
    assert.equal(JSON.stringify(build[type](fields)), JSON.stringify(JSON.parse(read(name))));
  });
}

for (const name of files.filter((name) => name.startsWith("server."))) {
  test(`the SDK understands the golden frame ${name}`, () => {
    assert.deepEqual(parse(read(name)), JSON.parse(read(name)));
  });
}

test("the close codes and what to do about them agree with the protocol", () => {
  assert.deepEqual(CLOSE_CODES, codes.close);
  for (const { code, action } of codes.close) assert.equal(closeAction(code), action);
  for (const code of codes.stop) assert.equal(closeAction(code), "stop");
});

test("the error codes agree with the protocol", () => {
  assert.deepEqual(ERRORS, codes.errors);
});

test("the limits assumed before welcome agree with the protocol", () => {
  assert.equal(DEFAULTS.limits.message, codes.limits.message);
  assert.equal(DEFAULTS.limits.unacked, codes.limits.unacked);
});

test("every code has an explanation of its own", () => {
  const closes = codes.close.map(({ code }) => explainClose(code).what);
  const errors = codes.errors.map(({ code }) => explainError(code).what);
  assert.equal(new Set(closes).size, codes.close.length);
  assert.ok(!closes.includes(explainClose(1006).what));
  assert.ok(errors.every((what) => !what.startsWith("Something went wrong")));
});
