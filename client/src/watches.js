import { SignalError, build } from "./protocol.js";
import { between } from "./backoff.js";
import { Watch } from "./watch.js";

/**
 * The users that this client watches: asks on every new link, and hands what comes to the watches of the application.
 *
 * @typedef {import("./link.js").Link} Link
 * @typedef {import("./protocol.js").PresenceFrame} PresenceFrame
 *
 * @typedef {object} WatchesContext
 * @property {import("./connection.js").Connection} connection
 * @property {import("./clock.js").Clock} clock
 * @property {() => number} random uniform in [0, 1)
 */

/** Users that one frame names. */
const AT_ONCE = 100;

/** Wait before users are asked for again whose watch failed for a passing reason (ms), unless the server names one. */
const AGAIN_AFTER = /** @type {const} */ ([1000, 3000]);

export class Watches {
  #context;
  /** The watches of each user. @type {Map<string, Set<Watch>>} */
  #users = new Map();
  /** What was told last of each user. @type {Map<string, PresenceFrame>} */
  #told = new Map();
  /** The newest link on which users were asked for: what an older one tells may be older. @type {Link | null} */
  #link = null;

  /** @param {WatchesContext} context */
  constructor(context) {
    this.#context = context;
  }

  /**
   * Watches users from now on.
   * @param {Iterable<string>} users
   * @returns {Watch}
   */
  open(users) {
    const watch = new Watch(users, (closed) => this.#close(closed));
    const asked = [];
    for (const user of watch.users) {
      const watches = this.#users.get(user) ?? new Set();
      if (watches.size === 0) asked.push(user);
      this.#users.set(user, watches.add(watch));
      const told = this.#told.get(user);
      if (told) watch.tell(told);
    }
    this.#context.connection.start();
    const { successor, link } = this.#context.connection;
    const newest = successor ?? link;
    if (newest) this.#ask(newest, asked);
    return watch;
  }

  /** Asks for all users on a link that was just welcomed. @param {Link} link */
  moveTo(link) {
    this.#ask(link, [...this.#users.keys()]);
  }

  /** @param {PresenceFrame} frame @param {Link} link */
  tell(frame, link) {
    const watches = this.#users.get(frame.user);
    if (link !== this.#link || !watches) return;
    this.#told.set(frame.user, frame);
    for (const watch of [...watches]) watch.tell(frame);
  }

  /** The server watches a user no more. @param {import("./protocol.js").ErrorFrame & {user: string}} frame @param {Link} link */
  failed(frame, link) {
    if (link === this.#link) this.#refused(new SignalError(frame), [frame.user], link);
  }

  /** The connection has stopped for good. @param {{code: number | string | null, reason: string}} why */
  stopped({ code, reason }) {
    this.#fail([...this.#users.keys()], new SignalError({ code: code === null ? "closed" : String(code), message: reason }));
  }

  /**
   * @param {Link} link
   * @param {string[]} users
   */
  #ask(link, users) {
    this.#link = link;
    const { requests } = this.#context.connection;
    for (let at = 0; at < users.length; at += AT_ONCE) {
      const some = users.slice(at, at + AT_ONCE);
      requests.send(link, (id) => build.watch({ id, users: some }), (reply) => {
        if (reply?.type === "error" && link === this.#link) this.#refused(new SignalError(reply), some, link);
      });
    }
  }

  /**
   * @param {SignalError} error
   * @param {string[]} users
   * @param {Link} link
   */
  #refused(error, users, link) {
    const { clock, random } = this.#context;
    if (!error.retry) return this.#fail(users, error);
    clock.after(error.after ?? between(...AGAIN_AFTER, random), () => {
      const still = users.filter((user) => this.#users.has(user));
      if (link.open && link === this.#link) this.#ask(link, still);
    });
    return undefined;
  }

  /**
   * @param {string[]} users
   * @param {SignalError} error
   */
  #fail(users, error) {
    const failed = new Set(users.flatMap((user) => [...(this.#users.get(user) ?? [])]));
    for (const user of users) this.#forget(user);
    for (const watch of failed) watch.fail(users, error);
  }

  /** @param {Watch} watch */
  #close(watch) {
    const over = [];
    for (const user of watch.users) {
      const watches = this.#users.get(user);
      watches?.delete(watch);
      if (watches?.size === 0) over.push(user);
    }
    for (const user of over) this.#forget(user);
    const { requests } = this.#context.connection;
    const link = this.#link;
    for (let at = 0; link?.open && at < over.length; at += AT_ONCE) {
      const some = over.slice(at, at + AT_ONCE);
      requests.send(link, (id) => build.unwatch({ id, users: some }), () => {});
    }
  }

  /** @param {string} user */
  #forget(user) {
    this.#users.delete(user);
    this.#told.delete(user);
  }
}
