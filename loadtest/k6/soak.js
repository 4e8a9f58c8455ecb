import * as metrics from "./lib/metrics.js";
import { crowd, timer } from "./lib/crowd.js";
import { optionsOf, sizesOf } from "./lib/profile.js";
import { Room } from "./lib/room.js";
import { sleep } from "./lib/wait.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("soak", "Over hours of calls and lost sockets, is anything lost, or closed by the nodes or by what is in front of them?");
export const options = optionsOf("soak");

const sizes = sizesOf("soak");

/** How often a room loses a socket: so many times in the hold. */
const DROPS = 4;

export default () => crowd(sizes, async (index) => {
  const over = timer(sizes.hold);
  const room = await new Room(String(index)).fill(sizes.size);
  await Promise.all([room.talk(sizes.every, over), lose(room, over)]);
  for (const member of room.members) await member.ping().catch(() => metrics.errors.add(1, { code: "ping" }));
  await room.finish();
});

/** Now and then somebody goes into a tunnel. @param {Room} room @param {() => boolean} over */
async function lose(room, over) {
  const every = (sizes.hold / DROPS) * 1000;
  for (let count = 0; !over(); count += 1) {
    await sleep(every * (0.5 + Math.random() / 2));
    if (!over()) room.members[count % room.members.length].drop();
  }
}
