/**
 * What was sent and what arrived, by the word of applications, and what of it must not be.
 *
 * A *member* is one identity in one room: `room/user.life`. What each member was told by each other one has numbers without a gap
 * and without a repeat, unless the SDK has told the application that history was lost.
 */
export class Ledger {
  received = 0;
  counts = { sent: 0, settled: 0, refused: 0, reloads: 0, renewals: 0, resets: 0, snapshots: 0, anew: 0, volatile: 0 };
  violations = [];
  /** What became of each message: `undefined` while nobody knows. @type {Map<string, boolean | undefined>} */
  #fates = new Map();
  /** The last message of each member that arrived. @type {Map<string, {number: number, isCertain: boolean}>} */
  #last = new Map();
  /** Gaps that the fates of messages have to explain at the end. */
  #gaps = [];
  /** Messages that came again, or after a later one. */
  #repeats = [];
  /** Messages that were not settled when their sender was told of a loss: they may come twice. */
  #repeatable = new Set();

  /** Seconds since the beginning, as the faults of the run are told. */
  #at = () => (performance.now() / 1000).toFixed(3);

  violate(what) {
    this.violations.push(`${this.#at()} s: ${what}`);
  }

  count(what) {
    this.counts[what] += 1;
  }

  sent(from, number) {
    this.counts.sent += 1;
    this.#fates.set(`${from}#${number}`, undefined);
  }

  settled(from, number, isTaken) {
    this.counts[isTaken ? "settled" : "refused"] += 1;
    this.#fates.set(`${from}#${number}`, isTaken);
  }

  /** History was lost for this member: whatever it was told before says nothing about what comes, and what it waits for is sent again. */
  interrupted(to) {
    for (const [message, isTaken] of this.#fates) if (isTaken === undefined && message.startsWith(`${to}#`)) this.#repeatable.add(message);
    for (const [way, last] of this.#last) if (way.startsWith(`${to}<`)) last.isCertain = false;
  }

  arrived(to, from, number) {
    this.received += 1;
    const way = `${to}<${from}`;
    const last = this.#last.get(way);
    this.#last.set(way, { number: Math.max(number, last?.number ?? 0), isCertain: true });
    if (!last?.isCertain) return;
    if (number <= last.number) this.#repeats.push({ to, from, number, after: last.number, at: this.#at() });
    for (let missed = last.number + 1; missed < number; missed += 1) this.#gaps.push({ to, from, missed, at: this.#at() });
  }

  /** Everything is quiet: whatever was taken has arrived at those who are there. */
  verdict(users) {
    for (const { to, from, missed, at } of this.#gaps) {
      if (this.#fates.get(`${from}#${missed}`)) this.violate(`${to} never got message ${missed} of ${from}, and was told of no gap before ${at} s`);
    }
    for (const { to, from, number, after, at } of this.#repeats) {
      if (!this.#repeatable.has(`${from}#${number}`)) this.violate(`${to} got message ${number} of ${from} after ${after} at ${at} s`);
    }
    for (const user of users) for (const from of user.members) this.#tail(from, users);
    return { ...this.counts, received: this.received, violations: this.violations };
  }

  /** The last messages of a member. */
  #tail({ member, room, number }, users) {
    let newest = number;
    while (newest > 0 && !this.#fates.get(`${member}#${newest}`)) newest -= 1;
    for (const { member: to } of users.flatMap((user) => user.members).filter((it) => it.room === room && it.member !== member)) {
      const last = this.#last.get(`${to}<${member}`);
      if (last?.isCertain && last.number < newest) this.violate(`${to} never got message ${newest} of ${member}, the last one`);
    }
  }
}
