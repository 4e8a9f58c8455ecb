/** A clock that moves when the test says so; timers run in order of their time. */
export class FakeClock {
  #now = 0;
  #timers = [];

  now = () => this.#now;
  date = () => 1_795_366_362_000 + this.#now;

  after = (ms, run) => {
    const timer = { at: this.#now + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  /** Lets `ms` milliseconds pass, running what falls due, and what the due code waits for. */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers.splice(this.#timers.indexOf(next), 1);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
    await settle();
  }
}

/** Lets promises that can settle do so. */
export function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}
