import { Emitter } from "./events.js";

/**
 * Some users that an application watches.
 *
 * @typedef {import("./protocol.js").PresenceFrame} PresenceFrame
 * @typedef {object} WatchEvents
 * @property {PresenceFrame} presence a user is like this; a new listener is called at once for everyone of whom that is known
 * @property {{users: string[], error: import("./protocol.js").SignalError}} error these users are watched no more
 */

/** @extends {Emitter<WatchEvents>} */
export class Watch extends Emitter {
  #close;
  /** @type {Map<string, PresenceFrame>} */
  #presence = new Map();
  /** The users that are watched. @type {Set<string>} */
  users;

  /**
   * @param {Iterable<string>} users
   * @param {(watch: Watch) => void} close
   */
  constructor(users, close) {
    super();
    this.users = new Set(users);
    this.#close = close;
  }

  /** How each user is, as far as that is known. @returns {ReadonlyMap<string, PresenceFrame>} */
  get presence() {
    return this.#presence;
  }

  /** Watches no more. */
  close() {
    this.#close(this);
    this.users.clear();
  }

  /**
   * @protected
   * @override
   * @param {keyof WatchEvents} name
   * @returns {Iterable<any>}
   */
  current(name) {
    return name === "presence" ? [...this.#presence.values()] : [];
  }

  /** @param {PresenceFrame} presence */
  tell(presence) {
    this.#presence.set(presence.user, presence);
    this.emit("presence", presence);
  }

  /**
   * @param {string[]} users
   * @param {import("./protocol.js").SignalError} error
   */
  fail(users, error) {
    const mine = users.filter((user) => this.users.delete(user));
    for (const user of mine) this.#presence.delete(user);
    if (mine.length > 0) this.emit("error", { users: mine, error });
  }
}
