import * as metrics from "./lib/metrics.js";
import { candidate, description } from "./lib/samples.js";
import { crowd, timer } from "./lib/crowd.js";
import { optionsOf, sizesOf } from "./lib/profile.js";
import { Room } from "./lib/room.js";
import { range } from "./lib/wait.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("conference", "Do eight people in one room reach each other, each of the 28 pairs with an offer, an answer and all candidates?");
export const options = optionsOf("conference");

const { size, candidates, hold, every, ...sizes } = sizesOf("conference");

export default () => crowd(sizes, async (index) => {
  const room = new Room(String(index));
  for (const _ of range(size)) await enter(room);
  await room.talk(every, timer(hold));
  await room.finish();
});

/** A newcomer offers to everyone who is there. @param {Room} room */
async function enter(room) {
  const offered = new Map();
  const member = await room.add({ onSignal: ({ description: said }, from) => {
    if (said?.type === "offer") negotiate(member, "answer", from);
    if (said?.type === "answer") metrics.callSetup.add(Date.now() - offered.get(from));
  } });
  for (const { id } of member.peers) {
    offered.set(id, Date.now());
    negotiate(member, "offer", id);
  }
}

/** @param {import("./lib/member.js").Member} member @param {"offer" | "answer"} type @param {string} to */
function negotiate(member, type, to) {
  member.say(description(type), to);
  for (const index of range(candidates)) member.say(candidate(index), to);
}
