import * as cases from "./lib/cases.js";
import * as metrics from "./lib/metrics.js";
import { crowd } from "./lib/crowd.js";
import exec from "k6/execution";
import { optionsOf, sizesOf } from "./lib/profile.js";
import { Room } from "./lib/room.js";
import { sleep } from "./lib/wait.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("abuse", "Does every limit bite those who pass it, and do good clients beside them lose nothing?");
export const options = optionsOf("abuse");

const sizes = sizesOf("abuse");

/** The longest of all abuse: ten seconds of unbroken excess, and half a minute of grace for a slow machine (s). */
const LONGEST = 45;

let done = false;
let begun = null;

export default () => crowd(sizes, async (index) => {
  const room = await new Room(String(index)).fill(sizes.size);
  begun ??= misbehave().finally(() => (done = true));
  await Promise.all([room.talk(sizes.every, () => done), begun]);
  await room.finish();
});

/** One virtual user is bad; the others are good for as long as that may take. */
async function misbehave() {
  if (exec.vu.idInTest !== 1) return sleep((sizes.ramp + sizes.hold + LONGEST / 3) * 1000);
  await sleep((sizes.ramp + sizes.hold) * 1000);
  for (const [promise, holds] of Object.entries(cases.atOnce)) metrics.check(holds(), promise);
  await Promise.all(Object.entries(cases.inTime).map(async ([promise, holds]) => {
    metrics.check(await holds().catch((error) => void console.error(`${promise}: ${error}`)) === true, promise);
  }));
  // Last, and alone: while an address has all the connections it may have, nobody else comes in from there.
  for (const [promise, holds] of Object.entries(cases.alone)) metrics.check(await holds(), promise);
}
