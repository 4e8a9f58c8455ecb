import * as bad from "./lib/bad.js";
import * as metrics from "./lib/metrics.js";
import { CREDENTIALS, PROFILE_NAME, RUN } from "./lib/settings.js";
import { crowd, timer } from "./lib/crowd.js";
import { optionsOf, sizesOf } from "./lib/profile.js";
import { range, sleep } from "./lib/wait.js";
import { FLOOR } from "./thresholds.js";
import { Member } from "./lib/member.js";
import { Room } from "./lib/room.js";
import { act } from "./lib/conductor.js";
import exec from "k6/execution";
import http from "k6/http";
import { mintToken } from "./lib/tokens.js";
import { percentile } from "./lib/percentile.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("attack", "While strangers and members who mean harm attack, do good clients get in, as fast as before, and lose nothing?");
export const options = optionsOf("attack");

const sizes = sizesOf("attack");

/** The virtual user whose members are good; the other one's mean harm. */
const GOOD = 1;

/** The room of good members that is attacked. */
const ATTACKED = `${RUN}-${GOOD}-0`;

/** What strangers are answered: wrong tokens, too many of them, broken frames, pages of a name that was resolved to the node. */
const REFUSALS = ["401", "429", "1002", "4204"];

/** The longest that the quiet time before the attack may take on a slow machine, beyond its length (s). */
const SLOW = 60;

export default () => (exec.vu.idInTest === GOOD ? behave() : misbehave());

/** Rooms in which good members talk all the time, and clients that come and go beside them. */
async function behave() {
  let done = false;
  let quiet = null;
  await crowd(sizes, async (index) => {
    const room = await new Room(String(index)).fill(sizes.size);
    if (index === 0) quiet = measure(room).finally(() => (done = true));
    await room.talk(sizes.every, () => done);
    await room.finish();
  });
  await quiet;
}

/** Joins before the attack and during it, and compares them. @param {Room} room the one that is attacked */
async function measure(room) {
  const before = await comers("quiet", timer(sizes.hold));
  room.members[0].say({ state: "begin" });
  let over = false;
  const attacked = comers("attacked", () => over);
  const facts = await act(sizes.hold);
  over = true;
  const during = await attacked;
  metrics.slowdown.add(percentile(during, 0.99) / Math.max(percentile(before, 0.99), FLOOR[PROFILE_NAME]));
  if (facts) {
    metrics.growth.add(facts.growth);
    metrics.check(REFUSALS.every((code) => facts.answers[code] > 0), `strangers are refused, and then not looked at: ${REFUSALS.join(", ")}`);
  }
}

/** Clients that come one after the other, until it is over; returns how long each took to get in (ms). @param {string} when @param {() => boolean} over */
async function comers(when, over) {
  const times = [];
  await Promise.all(range(sizes.comers).map(async (which) => {
    for (let count = 0; !over(); count += 1) {
      const began = Date.now();
      const name = `${when}-${which}-${count}`;
      const member = new Member({ room: `${RUN}-${name}`, sub: name });
      const isIn = await member.join().then(() => true, () => false);
      metrics.joinOk.add(isIn);
      times.push(Date.now() - began);
      if (isIn) await member.leave();
      await sleep(100);
    }
  }));
  return times;
}

/** Members who mean harm take their places while it is quiet, and begin together. */
async function misbehave() {
  const spy = await new bad.BadMember("spy", ATTACKED).enter();
  await spy.joinOthers();
  const rosters = await bad.fillRoom(sizes.rosters);
  const guest = await new bad.BadMember("guest", rosters.name).enter();
  const banned = await bad.getBanned();
  const flapper = await new bad.BadMember("flapper", ATTACKED).enter();
  metrics.check(await bad.beginning(spy, (sizes.hold + SLOW) * 1000), "the attack begins");
  let over = false;
  const victim = spy.peers[0].id;
  const attacks = [bad.flood(spy, victim, () => over), bad.comeAndGo(flapper, () => over), bad.comeAndGo(guest, () => over), bad.swell(rosters.members[0], () => over)];
  const [opened, escaped] = [bad.openRooms(() => over), bad.escapeBan(banned, () => over)];
  metrics.check(longest(86_400) <= 600 && longest(1e15) <= 600, "nobody gets a credential for longer than the service allows");
  await act(sizes.hold);
  over = true;
  await Promise.all(attacks);
  metrics.check(spy.errors.has("rate_limited"), "an addressed flood is refused: rate_limited");
  metrics.check(rosters.members[0].errors.has("too_large"), "a meta that is too large is refused: too_large");
  metrics.check((await opened).has("limit_exceeded"), "a subject that opens rooms without an end is refused: limit_exceeded");
  metrics.check(await escaped, "a banned subject gets in by no way");
  // Good members would count one that only closes as away.
  await spy.leave();
  for (const member of [spy, flapper, guest, ...rosters.members]) member.close();
}

/** For how long a credential is good that is asked for this long (s). @param {number} ttl */
function longest(ttl) {
  const headers = { Authorization: `Bearer ${mintToken({ sub: `ttl-${ttl}` })}`, "Content-Type": "application/json" };
  const answer = http.post(`${CREDENTIALS}/v1/ice-servers`, JSON.stringify({ ttl }), { headers });
  return answer.status === 200 ? Number(answer.json("ttl")) : 0;
}
