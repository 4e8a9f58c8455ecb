/**
 * Typed events: a name, one detail value, listeners in the order they were added.
 *
 * A listener that throws is reported to the host as an uncaught error and never disturbs the
 * code that emitted: a fault in a page must not cost it the order of its room. That holds as well for a
 * listener that `on` or `once` calls at once.
 */

/** @template {Record<string, any>} Events */
export class Emitter {
  /** @type {Map<keyof Events, Set<{listener: (detail: any) => void, once: boolean}>>} */
  #subscriptions = new Map();

  /**
   * Calls `listener` for every event called `name`.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => void} listener
   * @returns {() => void} a function that removes the listener
   */
  on(name, listener) {
    return this.#subscribe(name, listener, false);
  }

  /**
   * Calls `listener` for the next event called `name` only.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => void} listener
   * @returns {() => void} a function that removes the listener
   */
  once(name, listener) {
    return this.#subscribe(name, listener, true);
  }

  /**
   * Removes a listener that `on` or `once` added; it is not called again, not even by an `emit` that is running.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(detail: Events[Name]) => void} listener
   */
  off(name, listener) {
    const subscriptions = this.#of(name);
    for (const subscription of subscriptions) if (subscription.listener === listener) subscriptions.delete(subscription);
  }

  /**
   * Calls every listener of `name` with `detail`.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {Events[Name]} detail
   */
  emit(name, detail) {
    const subscriptions = this.#of(name);
    for (const subscription of [...subscriptions]) call(subscriptions, subscription, detail);
  }

  /**
   * Returns the details that a new listener of `name` is called with at once. A subclass overrides it for
   * an event that tells of a state, such as the peers that are in the room already.
   * @protected
   * @param {keyof Events} _name
   * @returns {Iterable<any>}
   */
  current(_name) {
    return [];
  }

  /**
   * @param {keyof Events} name
   * @param {(detail: any) => void} listener
   * @param {boolean} once
   */
  #subscribe(name, listener, once) {
    const subscriptions = this.#of(name);
    const known = [...subscriptions].find((other) => other.listener === listener && other.once === once);
    const subscription = known ?? { listener, once };
    // Read before the listener is added: what it causes to be emitted reaches it through `emit`, and only so.
    const details = [...this.current(name)];
    subscriptions.add(subscription);
    for (const detail of details) call(subscriptions, subscription, detail);
    return () => void subscriptions.delete(subscription);
  }

  /** @param {keyof Events} name */
  #of(name) {
    const subscriptions = this.#subscriptions.get(name) ?? new Set();
    this.#subscriptions.set(name, subscriptions);
    return subscriptions;
  }
}

/**
 * @template {{listener: (detail: any) => void, once: boolean}} Subscription
 * @param {Set<Subscription>} subscriptions
 * @param {Subscription} subscription
 * @param {any} detail
 */
function call(subscriptions, subscription, detail) {
  if (!subscriptions.has(subscription)) return;
  if (subscription.once) subscriptions.delete(subscription);
  try {
    subscription.listener(detail);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
