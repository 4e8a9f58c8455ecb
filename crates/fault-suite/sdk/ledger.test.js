import assert from "node:assert/strict";
import { test } from "node:test";
import { Ledger } from "./ledger.js";

const [ANA, BO] = ["r/0.1", "r/1.1"];

/** A user with one membership, of which so many messages were made. */
function user(member, number) {
  return { members: [{ member, room: "r", number }] };
}

/** A ledger in which Ana has sent messages that were taken, and Bo got some. */
function told(sent, arrived) {
  const ledger = new Ledger();
  for (let number = 1; number <= sent; number += 1) {
    ledger.sent(ANA, number);
    ledger.settled(ANA, number, true);
  }
  for (const number of arrived) ledger.arrived(BO, ANA, number);
  return ledger;
}

function violations(ledger, sent) {
  return ledger.verdict([user(ANA, sent), user(BO, 0)]).violations.length;
}

test("messages that arrive in order and once are fine", () => {
  assert.equal(violations(told(3, [1, 2, 3]), 3), 0);
});

test("twin: a gap, a repeat, a turned order and a missing end are found", () => {
  assert.equal(violations(told(3, [1, 3]), 3), 1);
  assert.equal(violations(told(3, [1, 2, 2, 3]), 3), 1);
  assert.equal(violations(told(3, [1, 3, 2, 3]), 3), 3);
  assert.equal(violations(told(3, [1, 2]), 3), 1);
});

test("a message that was not taken may be missing, and so may what a reset stands for", () => {
  const ledger = told(1, [1]);
  ledger.sent(ANA, 2);
  ledger.settled(ANA, 2, false);
  ledger.sent(ANA, 3);
  ledger.arrived(BO, ANA, 3);
  assert.equal(violations(ledger, 3), 0);

  const reset = told(3, [1]);
  reset.interrupted(BO);
  reset.arrived(BO, ANA, 3);
  assert.equal(violations(reset, 3), 0);
});

test("a message may come twice that waits when its sender is told of a loss, and no other", () => {
  const ledger = told(1, [1]);
  ledger.sent(ANA, 2);
  ledger.arrived(BO, ANA, 2);
  ledger.interrupted(ANA);
  ledger.arrived(BO, ANA, 2);
  ledger.settled(ANA, 2, true);
  assert.equal(violations(ledger, 2), 0);
  ledger.arrived(BO, ANA, 1);
  assert.equal(violations(ledger, 2), 1);
});
