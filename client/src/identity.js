import { randomName } from "./random.js";

/**
 * Who this page is in a room: a secret key of its own and a count of the joins made with it.
 *
 * The key survives a reload (sessionStorage), so that the member comes back as itself. A duplicated
 * tab inherits a copy of the storage; a Web Lock on the key tells the two apart, and the second
 * picks a new one.
 *
 * @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Store
 * @typedef {{storage?: Store | null, locks?: LockManager | null, patience?: number}} IdentityOptions
 */

/** How long a lock may stay with the page that is just being unloaded (ms). */
const LOCK_PATIENCE = 400;

/** How a request ends whose lock was not granted within the patience. */
const HELD = new Set(["AbortError", "TimeoutError"]);

export class Identity {
  #slot;
  #storage;
  #locks;
  #patience;
  #unlock = () => {};
  /** Whether the membership is over: a lock that is granted afterwards is given back. */
  #over = false;
  /** The member's secret: 22 characters of base64url. */
  key = "";
  /** How many joins were sent with this key. */
  tries = 0;
  /** Whether the key comes from an earlier page load. */
  restored = false;

  /**
   * @param {string} room
   * @param {IdentityOptions} [options]
   */
  constructor(room, { storage = sessionStore(), locks = webLocks(), patience = LOCK_PATIENCE } = {}) {
    this.#slot = `signal-cluster:${room}`;
    this.#storage = storage;
    this.#locks = locks;
    this.#patience = patience;
  }

  /** Takes the stored key if no other page holds it, else a new one. */
  async claim() {
    const stored = this.#load();
    if (!stored || !(await this.#lock(stored.key))) return this.renew();
    if (this.#over) return this.#drop();
    this.key = stored.key;
    this.tries = stored.tries;
    this.restored = true;
  }

  /** Takes a new key: a new member. There is no key until its lock is held. */
  async renew() {
    this.#drop();
    if (this.#over) return;
    const key = randomName();
    await this.#lock(key);
    if (this.#over) return this.#drop();
    Object.assign(this, { key, tries: 0, restored: false });
    this.#save();
  }

  /** Counts one more join and returns its number; stored first, so that no reload repeats it. */
  nextTry() {
    this.tries += 1;
    this.#save();
    return this.tries;
  }

  /** Lets another page load use the key; this identity takes no other one. */
  release() {
    this.#over = true;
    this.#drop();
  }

  /** Forgets the key: the member has left; this identity takes no other one. */
  forget() {
    this.release();
    this.#quietly(() => this.#storage?.removeItem(this.#slot));
  }

  #drop() {
    this.#unlock();
    this.key = "";
  }

  /** @returns {{key: string, tries: number} | null} */
  #load() {
    try {
      const { key, tries } = JSON.parse(this.#storage?.getItem(this.#slot) ?? "null");
      return /^[\w-]{22}$/.test(key) && Number.isSafeInteger(tries) ? { key, tries } : null;
    } catch {
      return null;
    }
  }

  #save() {
    this.#quietly(() => this.#storage?.setItem(this.#slot, JSON.stringify({ key: this.key, tries: this.tries })));
  }

  /**
   * Storage may be full, or forbidden at any time: then the key lives as long as the page, and a reload is a new member.
   * What an earlier page stored is older than this key, so it goes where it can.
   * @param {() => void} store
   */
  #quietly(store) {
    try {
      store();
    } catch {
      try {
        this.#storage?.removeItem(this.#slot);
      } catch {
        // Nothing can be kept here.
      }
    }
  }

  /**
   * Takes the Web Lock on a key for as long as this page lives; false if another page holds it, true where locks are not
   * to be had: absent, or forbidden in a sandbox.
   * @param {string} key
   * @returns {Promise<boolean>}
   */
  #lock(key) {
    const locks = this.#locks;
    if (!locks) return Promise.resolve(true);
    return new Promise((decided) => {
      const hold = () => new Promise((/** @type {(value: void) => void} */ release) => {
        this.#unlock = release;
        decided(true);
      });
      const refused = (/** @type {any} */ error) => decided(!HELD.has(error?.name));
      try {
        const options = { signal: AbortSignal.timeout(this.#patience) };
        locks.request(`signal-cluster:${key}`, options, hold).catch(refused);
      } catch (error) {
        refused(error);
      }
    });
  }
}

/** sessionStorage, where the host has one and allows it. @returns {Store | null} */
function sessionStore() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}

/** @returns {LockManager | null} */
function webLocks() {
  return globalThis.navigator?.locks ?? null;
}
