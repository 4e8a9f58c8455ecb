import { crowd, timer } from "./lib/crowd.js";
import { optionsOf, sizesOf } from "./lib/profile.js";
import { Room } from "./lib/room.js";
import { act } from "./lib/conductor.js";
import { sleep } from "./lib/wait.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("rolling-restart", "When every node is stopped and started in turn, does anybody lose a signal, or look away to others for a moment?");
export const options = optionsOf("rolling-restart");

const sizes = sizesOf("rolling-restart");

let over = () => false;
let acted = null;

export default () => crowd(sizes, async (index) => {
  const room = await new Room(String(index)).fill(sizes.size);
  acted ??= sleep(sizes.ramp * 1000).then(() => act(sizes.hold)).then(() => (over = timer(sizes.hold)));
  await room.talk(sizes.every, () => over());
  await room.finish();
});
