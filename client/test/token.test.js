import assert from "node:assert/strict";
import { test } from "node:test";
import { Tokens, lifeOf } from "../src/token.js";
import { FakeClock } from "./support/clock.js";

const HOUR = 3_600_000;

/** @param {Record<string, any>} dates in ms */
function jwt(dates) {
  const seconds = Object.entries(dates).map(([name, ms]) => [name, Math.floor(ms / 1000)]);
  return `h.${Buffer.from(JSON.stringify(Object.fromEntries(seconds))).toString("base64url")}.s`;
}

test("the life of a token is told by its issuer where the device has another date", () => {
  const now = 1_795_366_362_000;
  const token = jwt({ iat: now, exp: now + HOUR });
  assert.equal(lifeOf(token, now), HOUR);
  assert.equal(lifeOf(token, now + 2 * HOUR), HOUR, "the device is two hours ahead");
  assert.equal(lifeOf(token, now - 2 * HOUR), HOUR, "two hours behind");
  assert.equal(lifeOf(token, now + HOUR / 2), HOUR / 2, "half of it may be over");
  assert.equal(lifeOf(jwt({ exp: now + HOUR }), now), HOUR, "without iat the date is all there is");
  assert.equal(lifeOf(jwt({ exp: now + HOUR }), now + 2 * HOUR), null, "and a fresh token is not over");
  for (const none of ["", "a.b", "h.e30.s", "h.bnVsbA.s"]) assert.equal(lifeOf(none, now), null);
});

test("a device that is ahead asks for a token as seldom as any other", async () => {
  const clock = new FakeClock();
  const ahead = { ...clock, now: clock.now, after: clock.after, date: () => clock.date() + 2 * HOUR };
  let asked = 0;
  const tokens = new Tokens(() => ((asked += 1), jwt({ iat: clock.date(), exp: clock.date() + HOUR })), ahead);
  for (let minute = 0; minute < 59; minute += 1) {
    await tokens.get();
    await clock.pass(60_000);
  }
  assert.equal(asked, 1);
  await clock.pass(60_000);
  await tokens.get();
  assert.equal(asked, 2, "it is over");
});
