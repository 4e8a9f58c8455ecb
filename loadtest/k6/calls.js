import * as metrics from "./lib/metrics.js";
import { candidate, description } from "./lib/samples.js";
import { optionsOf, sizesOf } from "./lib/profile.js";
import { range, sleep, until } from "./lib/wait.js";
import { PATIENCE } from "./lib/settings.js";
import { Room } from "./lib/room.js";
import { crowd } from "./lib/crowd.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("calls", "How long does it take to set up a call of two, and does every offer, answer and candidate arrive once and in order?");
export const options = optionsOf("calls");

const { rounds, candidates, hold, ...sizes } = sizesOf("calls");

/** Candidates are found one after the other: this long apart (ms). */
const TRICKLE = 20;

export default () => crowd(sizes, async (index) => {
  for (const round of range(rounds)) await call(`${index}-${round}`);
});

/** Two people meet; whoever came last offers: docs/PROTOCOL.md, section 7. @param {string} name */
async function call(name) {
  const room = new Room(name);
  const heard = { answered: false, candidates: 0 };
  const callee = await room.add({ onSignal: (data, from) => {
    if (data.description) {
      callee.say(description("answer"), from);
      trickle(callee, from);
    } else heard.candidates += 1;
  } });
  const caller = await room.add({ onSignal: (data) => (data.description ? (heard.answered = true) : (heard.candidates += 1)) });
  const began = Date.now();
  caller.say(description("offer"), callee.id);
  trickle(caller, callee.id);
  const complete = await until(() => heard.answered && heard.candidates === 2 * candidates, PATIENCE);
  if (complete) metrics.callSetup.add(Date.now() - began);
  await sleep(hold * 1000);
  await room.finish();
}

/** @param {import("./lib/member.js").Member} member @param {string} to */
async function trickle(member, to) {
  for (const index of range(candidates)) {
    await sleep(TRICKLE);
    member.say(candidate(index), to);
  }
}
