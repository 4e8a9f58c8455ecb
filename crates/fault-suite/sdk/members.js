#!/usr/bin/env node
/**
 * Members of rooms over the JavaScript SDK, as pages have them, while the cluster is being broken.
 *
 *   node members.js < the settings, one line of JSON
 *
 * It says `{"joined":N}` once everyone is in, sends until a further line comes in, waits until all is quiet, and prints
 * one line of JSON: what happened, and the violations that `ledger.js` has found.
 */
import { createInterface } from "node:readline";
import { Ledger } from "./ledger.js";
import { User } from "./user.js";

/** All is quiet when nothing arrived for so long (ms). */
const QUIET = 2000;
/** How long the cluster may take until then (ms). */
const SETTLE_WITHIN = 60_000;
const LOOK_EVERY = 50;
/** Members of a room. */
const SIZE = 3;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const settings = JSON.parse((await lines.next()).value);
const ledger = new Ledger();
const users = Array.from({ length: settings.users }, (_, number) => new User(number, roomsOf(number), { ...settings, ledger }));

await Promise.all(users.map((user) => user.start()));
console.log(JSON.stringify({ joined: users.length }));
for (const user of users) user.talk();
await lines.next();
for (const user of users) user.fallSilent();
const settled = await quiet();
if (!settled) ledger.violate(`not all was settled within ${SETTLE_WITHIN} ms`);
const members = new Map(users.flatMap((user) => user.members).map((member) => [member.id, member]));
if (settled) for (const user of users) user.report(members);
console.log(JSON.stringify(ledger.verdict(users)));
process.exit(0);

/** Two rooms on one connection: neighbours meet in one, others in the other. @param {number} number */
function roomsOf(number) {
  const groups = Math.ceil(settings.users / SIZE);
  return [`sdk-a${Math.floor(number / SIZE)}`, `sdk-b${number % groups}`];
}

async function quiet() {
  const begun = Date.now();
  let seen = { count: -1, at: begun };
  while (Date.now() - begun < SETTLE_WITHIN) {
    if (ledger.received !== seen.count) seen = { count: ledger.received, at: Date.now() };
    if (users.every((user) => user.isSettled) && Date.now() - seen.at >= QUIET) return true;
    await new Promise((done) => setTimeout(done, LOOK_EVERY));
  }
  return false;
}
