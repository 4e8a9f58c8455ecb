import { optionsOf, sizesOf } from "./lib/profile.js";
import { Room } from "./lib/room.js";
import { crowd } from "./lib/crowd.js";
import { sleep } from "./lib/wait.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("connect-ramp", "How fast may people come, how long does a socket take to open and to join, and is everyone still there at the end?");
export const options = optionsOf("connect-ramp");

const sizes = sizesOf("connect-ramp");

/** Over how much of the ramp the signals at the end are spread: all at once would measure k6. */
const SPREAD = 0.25;

/** From here on nobody comes any more, in this virtual user (ms). */
const full = Date.now() + sizes.ramp * 1000;

export default () => crowd(sizes, async (index) => {
  const room = await new Room(String(index)).fill(sizes.size);
  await sleep(Math.max(0, full - Date.now()) + sizes.hold * 1000);
  await sleep(Math.random() * SPREAD * sizes.ramp * 1000);
  for (const member of room.members) await member.ping();
  // One signal each way: a socket that is open and a member that is reached are two things.
  for (const member of room.members) member.say({ state: "here" });
  await room.finish();
});
