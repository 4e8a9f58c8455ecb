import * as metrics from "./metrics.js";
import { range, sleep, until } from "./wait.js";
import { ALL } from "./sequence.js";
import { Member } from "./member.js";
import { PATIENCE, RUN } from "./settings.js";
import exec from "k6/execution";

/**
 * A room all of whose members live in this virtual user, so that at the end each of them can be told how much it
 * should have heard. They reach the nodes through the balancer, as strangers would.
 */

export class Room {
  /** @type {Member[]} */
  members = [];

  /** @param {string} name unique within this virtual user */
  constructor(name) {
    this.name = `${RUN}-${exec.vu.idInTest}-${name}`;
  }

  /** Adds a member. @param {object} [handlers] of `Member` */
  async add(handlers = {}) {
    const member = new Member({ room: this.name, sub: `${this.name}-u${this.members.length}`, ...handlers });
    this.members.push(member);
    return member.join();
  }

  /** Adds several, one after the other. @param {number} count @param {(index: number) => object} [handlers] */
  async fill(count, handlers = () => ({})) {
    for (const index of range(count)) await this.add(handlers(index));
    return this;
  }

  /**
   * Everybody says something to all, at a steady pace, until `over` says so.
   * @param {number} every milliseconds between two signals of one member
   * @param {() => boolean} over
   */
  async talk(every, over) {
    // Members of one room and of different rooms would otherwise speak in step.
    await sleep(Math.random() * every);
    while (!over()) {
      for (const member of this.members) member.say({ state: "muted" });
      await sleep(every);
    }
  }

  /** Waits for what is under way, counts what is missing, and ends the room. */
  async finish() {
    await this.settle();
    for (const member of this.members) await member.leave();
    metrics.sessions.add(this.members.length);
  }

  /** Waits until everything was heard, or for long enough, and counts. */
  async settle() {
    await until(() => this.#lost() === 0 && this.members.every(({ settled }) => settled), PATIENCE);
    metrics.lost.add(this.#lost());
    metrics.across.add(new Set(this.members.map(({ node }) => node)).size > 1);
    for (const { heard } of this.members) {
      metrics.delivered.add(heard.delivered);
      metrics.duplicated.add(heard.duplicated);
      metrics.reordered.add(heard.reordered);
    }
  }

  #lost() {
    const pairs = this.members.flatMap((sender) => this.members.filter((peer) => peer !== sender).map((receiver) => [sender, receiver]));
    return pairs.reduce((sum, [sender, receiver]) => sum + lostBetween(sender, receiver), 0);
  }
}

/** @param {Member} sender @param {Member} receiver */
function lostBetween({ id, said }, { id: me, heard }) {
  return heard.lost(id, me, said.total(me)) + heard.lost(id, ALL, said.total(ALL));
}
