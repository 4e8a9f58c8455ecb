import { RUN, URL } from "./settings.js";
import { range, sleep, until, within } from "./wait.js";
import { Socket } from "./socket.js";
import { mintToken, newKey } from "./tokens.js";

/** Members with a valid token who mean harm, and what they do: nothing of it is in the SDK. */

/** How long a node may take to answer (ms). */
const ANSWER_WITHIN = 10_000;

/** What a signal may nearly be: a description that is none. */
const LARGE = "x".repeat(60_000);

/** As large as `meta` may be. */
const META = { filler: "x".repeat(4_000) };

/** A member that keeps none of the rules of `Member`. */
export class BadMember {
  #socket = null;
  #mid = 0;
  #answers = new Map();
  /** The codes of the errors it was sent. @type {Set<string>} */
  errors = new Set();
  /** The roster as of its join. */
  peers = [];
  /** Its id as of its join. */
  id = "";
  /** The key that it joined with last, and how often that was used. */
  key = "";
  tries = 0;
  /** Whether another member has said that the attack begins. */
  begun = false;

  /** @param {string} sub @param {string} room @param {{rooms?: string[], can?: string[]}} [rights] */
  constructor(sub, room, rights = {}) {
    Object.assign(this, { room, token: mintToken({ sub, room, ...rights }) });
  }

  /** Opens a socket. */
  async enter() {
    this.#socket = new Socket({ url: URL, token: this.token, heard: (frame) => this.#hear(frame), ended() {} });
    await within(this.#socket.welcome, ANSWER_WITHIN, "welcome");
    return this;
  }

  /** Joins as a new member; returns whether it is in. @param {object} [meta] */
  async join(meta) {
    return this.joinWith(newKey(), 1, meta);
  }

  /** Joins with a key that may have been used before; returns whether it is in. @param {string} key @param {number} tries @param {object} [meta] */
  async joinWith(key, tries, meta) {
    this.#mid = 0;
    Object.assign(this, { key, tries });
    return this.#ask({ type: "join", id: 1, room: this.room, key, try: tries, meta });
  }

  /** Joins once others are there. */
  async joinOthers() {
    while (await this.join(), this.peers.length === 0) {
      await this.leave();
      await sleep(100);
    }
  }

  async leave() {
    return this.#ask({ type: "leave", id: 2, room: this.room });
  }

  /** Removes a member and keeps its subject out. @param {string} peer @param {number} ban in seconds */
  async kick(peer, ban) {
    return this.#ask({ type: "kick", id: 3, room: this.room, peer, ban });
  }

  /** Replaces the member's `meta`. @param {object} meta */
  update(meta) {
    this.#mid += 1;
    this.#socket.send({ type: "update", mid: this.#mid, room: this.room, meta });
  }

  /** Says 60 kB to one member, in a session of its own each time. @param {string} to */
  signal(to) {
    this.#mid += 1;
    const data = `{"signal-cluster:rtc":1,"session":"s${this.#mid}","description":{"type":"offer","sdp":"${LARGE}"}}`;
    this.#socket.sendText(`{"type":"signal","mid":${this.#mid},"room":"${this.room}","to":"${to}","data":${data}}`);
  }

  close() {
    this.#socket.close();
  }

  async #ask(frame) {
    const answer = new Promise((resolve) => this.#answers.set(frame.id, resolve));
    this.#socket.send(frame);
    return within(answer, ANSWER_WITHIN, frame.type).catch(() => false);
  }

  #hear(frame) {
    if (frame.type === "signal" && frame.data.state === "begin") this.begun = true;
    if (frame.type === "joined") Object.assign(this, { peers: frame.peers ?? [], id: frame.self.id });
    if (frame.type === "error") this.#fail(frame);
    if (frame.id !== undefined) this.#answers.get(frame.id)?.(frame.type !== "error");
  }

  /** What was refused for now has used nothing up: it goes on where the node wants it. */
  #fail({ code, mid, expected, retry }) {
    this.errors.add(code);
    if (mid !== undefined && retry) this.#mid = (expected ?? mid) - 1;
  }
}

/** Sends one member 100 × 60 kB a second. @param {BadMember} bad @param {string} victim @param {() => boolean} over */
export async function flood(bad, victim, over) {
  while (!over()) {
    for (const _ of range(5)) bad.signal(victim);
    await sleep(50);
  }
}

/** Leaves and joins without a break, each time as another member with all the `meta` there may be. @param {BadMember} bad @param {() => boolean} over */
export async function comeAndGo(bad, over) {
  while (!over()) {
    if (await bad.join(META)) await bad.leave();
    await sleep(10);
  }
}

/** Replaces its `meta` fifty times a second, by one that is too large each second time. @param {BadMember} bad @param {() => boolean} over */
export async function swell(bad, over) {
  while (!over()) {
    bad.update(META);
    bad.update({ filler: "x".repeat(5_000) });
    await sleep(40);
  }
}

/** As many rooms as a connection may be in. */
const ROOMS_PER_CONNECTION = 8;

/**
 * Opens rooms without an end as one subject, over one connection after the other, and leaves none of them; returns the codes
 * that it was refused with.
 * @param {() => boolean} over
 */
export async function openRooms(over) {
  const codes = new Set();
  for (let count = 0; !over(); ) {
    const bad = new BadMember("opener", undefined, { rooms: [`${RUN}-opened-*`] });
    if (!(await bad.enter().catch(() => null))) continue;
    for (let opened = 0; opened < ROOMS_PER_CONNECTION && !over(); opened += 1) {
      bad.room = `${RUN}-opened-${(count += 1)}`;
      await bad.join();
    }
    for (const code of bad.errors) codes.add(code);
    bad.close();
    await sleep(10);
  }
  return codes;
}

/** Longer than any run (s). */
const BAN = 3600;

/** Takes two seats in a room as one subject, and has a moderator remove one of them. */
export async function getBanned() {
  const room = `${RUN}-banned`;
  const members = ["banned", "banned", "moderator"].map((sub) => new BadMember(sub, room, { can: ["signal", ...(sub === "moderator" ? ["moderate"] : [])] }));
  await Promise.all(members.map((member) => member.enter()));
  for (const member of members) await member.join();
  const [first, second, moderator] = members;
  const isKicked = await moderator.kick(first.id, BAN);
  return { room, seats: [first, second], members, isKicked };
}

/**
 * Tries to get in again after a ban: as a new member and by a resume of both seats, at once. Returns whether it was refused
 * each time.
 * @param {Awaited<ReturnType<typeof getBanned>>} banned @param {() => boolean} over
 */
export async function escapeBan({ room, seats: [first, second], members, isKicked }, over) {
  let [isOut, refused] = [isKicked, 0];
  do {
    const attempts = await Promise.all([null, first, second].map((seat) => attempt(room, seat)));
    isOut &&= !attempts.some((outcome) => outcome === "in");
    refused += attempts.filter((outcome) => outcome === "refused").length;
    await sleep(100);
  } while (!over());
  for (const member of members) member.close();
  return isOut && refused > 0;
}

/** Comes as a new member or with the key of another one. @param {string} room @param {BadMember | null} seat */
async function attempt(room, seat) {
  const again = await new BadMember("banned", room).enter().catch(() => null);
  if (!again) return "away";
  const isIn = await (seat ? again.joinWith(seat.key, seat.tries + 1) : again.join());
  again.close();
  if (isIn) return "in";
  return again.errors.has("forbidden") ? "refused" : "away";
}

/** Fills a room whose every roster is large. @param {number} size */
export async function fillRoom(size) {
  const name = `${RUN}-rosters`;
  const all = await Promise.all(range(size).map((index) => new BadMember(`roster-${index}`, name).enter()));
  for (const member of all) await member.join(META);
  return { name, members: all };
}

/** Waits until the attack begins. @param {BadMember} bad @param {number} ms */
export function beginning(bad, ms) {
  return until(() => bad.begun, ms);
}
