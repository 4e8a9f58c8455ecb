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
  /** Whether another member has said that the attack begins. */
  begun = false;

  /** @param {string} sub @param {string} room */
  constructor(sub, room) {
    Object.assign(this, { room, token: mintToken({ sub, room }) });
  }

  /** Opens a socket. */
  async enter() {
    this.#socket = new Socket({ url: URL, token: this.token, heard: (frame) => this.#hear(frame), ended() {} });
    await within(this.#socket.welcome, ANSWER_WITHIN, "welcome");
    return this;
  }

  /** Joins as a new member; returns whether it is in. @param {object} [meta] */
  async join(meta) {
    this.#mid = 0;
    return this.#ask({ type: "join", id: 1, room: this.room, key: newKey(), try: 1, meta });
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
    if (frame.type === "joined") this.peers = frame.peers ?? [];
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
