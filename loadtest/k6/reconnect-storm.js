import { crowd, timer } from "./lib/crowd.js";
import { optionsOf, sizesOf } from "./lib/profile.js";
import { Room } from "./lib/room.js";
import { act } from "./lib/conductor.js";
import { sleep } from "./lib/wait.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("reconnect-storm", "When everyone loses the socket at one moment, and when a node is killed, how soon is everyone back, and what is lost?");
export const options = optionsOf("reconnect-storm");

const sizes = sizesOf("reconnect-storm");

/** The end of the whole, for all rooms of this virtual user; they talk until then. */
let over = () => false;
let told = null;

export default () => crowd(sizes, async (index) => {
  const room = await new Room(String(index)).fill(sizes.size);
  told ??= storm();
  const dropping = told.dropped.then(() => room.members.forEach((member) => member.drop()));
  await Promise.all([room.talk(sizes.every, () => over()), dropping]);
  await room.finish();
});

/** Once all are in: everybody drops the socket; then the conductor kills a node; then it is quiet again. */
function storm() {
  const dropped = sleep((sizes.ramp + sizes.hold) * 1000);
  const acted = dropped.then(() => sleep(sizes.hold * 1000)).then(() => act(sizes.hold));
  acted.then(() => (over = timer(sizes.hold)));
  return { dropped };
}
