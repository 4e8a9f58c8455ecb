import * as metrics from "./lib/metrics.js";
import { crowd, timer } from "./lib/crowd.js";
import { optionsOf, sizesOf } from "./lib/profile.js";
import { range, sleep, until } from "./lib/wait.js";
import { Member } from "./lib/member.js";
import { PATIENCE } from "./lib/settings.js";
import { Room } from "./lib/room.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("churn", "Do those who stay in a room lose anything while others come and go, and is every guest seen, greeted and seen off?");
export const options = optionsOf("churn");

const sizes = sizesOf("churn");

/** How many signals each resident greets a guest with. */
const GREETINGS = 3;

export default () => crowd(sizes, async (index) => {
  const room = new Room(String(index));
  const news = { come: 0, gone: 0 };
  await room.fill(sizes.size, (which) => ({ onPeer: (frame) => welcome(room.members[which], frame, news) }));
  const residents = new Set(room.members.map(({ id }) => id));
  const over = timer(sizes.hold);
  const guests = range(sizes.guests).map((which) => visits(room, which, residents, over));
  await Promise.all([room.talk(sizes.every, over), ...guests]);
  const visited = (await Promise.all(guests)).reduce((sum, visits) => sum + visits, 0);
  // Residents who came later were news to those before, once per pair.
  const expected = visited * sizes.size + (sizes.size * (sizes.size - 1)) / 2;
  await until(() => news.come >= expected && news.gone >= visited * sizes.size, PATIENCE);
  metrics.check(news.come === expected && news.gone === visited * sizes.size, "every coming and going was told");
  await room.finish();
});

/** @param {Member} member @param {any} frame @param {{come: number, gone: number}} news */
function welcome(member, { type, peer }, news) {
  if (type === "peer_left") news.gone += 1;
  if (type !== "peer_joined") return;
  news.come += 1;
  for (const _ of range(GREETINGS)) member.say({ state: "hello" }, peer.id);
}

/** Comes and goes until the time is over; returns how often. @returns {Promise<number>} */
async function visits(room, which, residents, over) {
  let count = 0;
  for (; !over(); count += 1) {
    await sleep(Math.random() * 500);
    const guest = await new Member({ room: room.name, sub: `guest-${which}`, late: true }).join();
    await stay(guest, residents);
  }
  return count;
}

/** @param {Member} guest @param {Set<string>} residents */
async function stay(guest, residents) {
  const missing = () => [...residents].reduce((sum, id) => sum + guest.heard.lost(id, guest.id, GREETINGS), 0);
  await until(() => missing() === 0, PATIENCE);
  metrics.lost.add(missing());
  metrics.delivered.add(guest.heard.delivered);
  metrics.duplicated.add(guest.heard.duplicated);
  metrics.reordered.add(guest.heard.reordered);
  await guest.leave();
  metrics.visits.add(1);
}
