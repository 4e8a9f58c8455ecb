import { SignalError, build } from "./protocol.js";
import { between } from "./backoff.js";

/**
 * Where one member stands: the link it is joined on, the link it has asked to join on, and how far it
 * has read in the room's log. It asks, is refused, is moved or ended; what that means for the peers
 * and for the member's own messages is the room's business.
 *
 * During a handover two links are open. The old one carries the room until its membership ends at the
 * very entry of the new join; what the new one repeats of that is dropped. If the new link fails after
 * the member has moved, it joins once more on whatever link is open.
 *
 * @typedef {import("./link.js").Link} Link
 * @typedef {import("./protocol.js").Joined} Joined
 * @typedef {import("./protocol.js").ServerFrame} ServerFrame
 *
 * @typedef {object} MembershipHooks
 * @property {() => {meta: any, mid: number}} own what a join says about this member, and its last message that is settled
 * @property {(frame: Joined, link: Link) => void} joined the member is in, or back
 * @property {() => void} unlinked no link carries the member's messages for now
 * @property {() => void} expired the member was removed while its link lived; a new one follows
 * @property {(error: SignalError) => void} delayed a join failed for a passing reason
 * @property {(reason: string, error?: SignalError) => void} ended the membership does not come back by itself
 *
 * @typedef {object} MembershipContext
 * @property {string} name of the room
 * @property {{to?: string, call: string}} [call] the call that gives the right to enter
 * @property {import("./connection.js").Connection} connection
 * @property {import("./clock.js").Clock} clock
 * @property {() => number} random uniform in [0, 1)
 */

/** Wait before a join is repeated that failed for a passing reason (ms), unless the server names one. */
const JOIN_AGAIN_AFTER = /** @type {const} */ ([1000, 3000]);

/**
 * Said by a link that the member has moved away from, until the room's log has told it so. A link that says so again has
 * answered a join whose `joined` was not waited for any more: the member is taken back over a new link.
 */
const TAKEN = "already_joined";
const PING_TIMEOUT = 4001;

export class Membership {
  #context;
  #identity;
  #hooks;
  /** @type {Link | null} the link this member is joined on */
  #link = null;
  /** @type {Link | null} the newest link a join was sent on, while it may have the member or get it */
  #asked = null;
  /** @type {Link | null} the link that has said last that this member is on it already, although it was not told so */
  #taken = null;
  /**
   * Links on which this member is, or was, and some of whose entries were not heeded: what such a link tells next does not
   * follow the position.
   * @type {WeakSet<Link>}
   */
  #missed = new WeakSet();
  /** @type {WeakMap<Link, number>} the `try` of the newest join on each link */
  #tries = new WeakMap();
  /** The `try` on that link before the newest join. */
  #triedBefore = 0;
  /** @type {number | undefined} the position in the room's log */
  #position;
  /** The `seq` of the newest reset: both links of a handover may tell of it. @type {number | undefined} */
  #resetAt;
  #cancelRejoin = () => {};
  /** The `id` of the newest join: an earlier membership of the room on this connection is answered too. */
  #askedAs = 0;
  /** Whether the last `joined` was not taken, since it lay behind the position. */
  #wasStale = false;
  /** Resolves when the newest join is answered and, if this member has left meanwhile, that is undone. @type {Promise<void> | null} */
  #answered = null;
  #isOver = false;

  /**
   * @param {MembershipContext} context
   * @param {import("./identity.js").Identity} identity
   * @param {MembershipHooks} hooks
   */
  constructor(context, identity, hooks) {
    this.#context = context;
    this.#identity = identity;
    this.#hooks = hooks;
  }

  /** The link this member is joined on, if any. */
  get link() {
    return this.#link;
  }

  /** Joins, or comes back, on a link that is open. @param {Link} link */
  join(link) {
    if (!this.#identity.key) return;
    this.#cancelRejoin();
    this.#asked = link;
    const attempt = this.#identity.nextTry();
    this.#triedBefore = this.#tries.get(link) ?? 0;
    this.#tries.set(link, attempt);
    const { name: room, connection, call } = this.#context;
    const { meta, mid } = this.#hooks.own();
    const back = this.#position === undefined ? {} : { seq: this.#position, mid };
    const member = { room, key: this.#identity.key, try: attempt, ...back, meta, call };
    const ask = (/** @type {number} */ id) => build.join({ id: (this.#askedAs = id), ...member });
    this.#answered = new Promise((done) => {
      connection.requests.send(link, ask, (reply) => {
        if (reply?.type === "error") this.#refused(new SignalError(reply), link);
        done(reply?.type === "joined" && this.#isOver ? this.#sendLeave(link) : undefined);
      });
    });
  }

  /** Joins on the connection's newest link, unless the member is on an open link or on its way to one. */
  settle() {
    const { successor, link } = this.#context.connection;
    const newest = successor ?? link;
    if (newest && !this.#link?.open && !this.#asked?.open) this.join(newest);
  }

  /** Whether the member is on its way to a link other than `link`. @param {Link} link */
  movesFrom(link) {
    return this.#asked !== link && this.#asked?.open === true;
  }

  /** The link is gone; the membership goes on elsewhere, now or later. @param {Link} link */
  lost(link) {
    if (link === this.#asked) this.#asked = null;
    if (link === this.#link) this.#unlink();
    this.settle();
  }

  /**
   * Leaves; resolves once the server has been told, or cannot be. A node refuses to leave what is not joined yet,
   * so a join under way is waited for.
   */
  async leave() {
    const link = this.#link;
    this.#isOver = true;
    this.stop();
    await Promise.all([link && this.#sendLeave(link), this.#answered]);
  }

  /**
   * Asks the server to remove another member.
   * @param {string} peer
   * @param {number} [ban] in seconds
   * @returns {Promise<void>}
   */
  kick(peer, ban) {
    const link = this.#link;
    if (!link) return Promise.reject(new SignalError({ code: "unavailable", message: "not connected", retry: true }));
    const { name: room, connection } = this.#context;
    return new Promise((resolve, reject) => {
      connection.requests.send(link, (id) => build.kick({ id, room, peer, ban }), (reply) => {
        if (reply?.type === "ok") resolve();
        else reject(new SignalError(reply?.type === "error" ? reply : { code: "unavailable", retry: true }));
      });
    });
  }

  /** Asks for nothing any more. */
  stop() {
    this.#link = this.#asked = null;
    this.#cancelRejoin();
  }

  /**
   * Takes `joined` and `left`; returns whether a frame of another kind is to be heeded: none comes
   * twice, and none comes from a link that the member has left.
   * @param {ServerFrame} frame
   * @param {Link} link
   */
  takes(frame, link) {
    if (frame.type === "joined") return this.#joined(frame, link), false;
    if (frame.type === "left") return this.#left(frame.reason, link), false;
    if (!this.#listensTo(link)) {
      if ("seq" in frame) this.#missed.add(link);
      return false;
    }
    return frame.type === "reset" ? this.#rewind(frame.seq, link) : this.#isNews(frame);
  }

  /** Whether what a link tells follows the position. @param {Link} link */
  #listensTo(link) {
    return link === this.#link || (link === this.#asked && !this.#missed.has(link));
  }

  /** @param {ServerFrame} frame */
  #isNews(frame) {
    if (!("seq" in frame) || typeof frame.seq !== "number") return true;
    const ahead = frame.seq > (this.#position ?? 0);
    if (ahead) this.#position = frame.seq;
    return ahead || frame.type === "ack";
  }

  /**
   * A reset sets the position even backwards, so taking it twice would repeat what followed it. One that is
   * replayed, before `joined`, may be older than what another link has told meanwhile.
   * @param {number} seq
   * @param {Link} link
   */
  #rewind(seq, link) {
    const replayed = link !== this.#link && seq <= (this.#position ?? 0);
    if (replayed || seq === this.#resetAt) return false;
    this.#position = this.#resetAt = seq;
    return true;
  }

  /**
   * @param {Joined} frame
   * @param {Link} link
   */
  #joined(frame, link) {
    if (link !== this.#asked) return void this.#missed.add(link);
    if (frame.id !== this.#askedAs) return;
    // A part of the replay was not heeded.
    if (this.#missed.delete(link) && frame.recovery === "replay") return link.close(PING_TIMEOUT);
    if (this.#isStale(frame)) return link.close(PING_TIMEOUT);
    this.#link = link;
    // A replay goes on from the position: where the log has lost the join and gone on, another link may have told of that already.
    this.#position = frame.recovery === "replay" ? Math.max(frame.seq, this.#position ?? 0) : frame.seq;
    this.#hooks.joined(frame, link);
  }

  /**
   * Whether a snapshot is of an earlier time than what was told meanwhile: it was answered late, before the log lost data and went
   * on, and what follows it would be told again. Once it is asked for anew; the next one counts.
   * @param {Joined} frame
   */
  #isStale({ recovery, seq }) {
    this.#wasStale = !this.#wasStale && recovery === "snapshot" && seq < (this.#position ?? 0);
    return this.#wasStale;
  }

  /**
   * The server ended this socket's membership. If this page has asked elsewhere since, the answer to that counts.
   * @param {string} reason
   * @param {Link} link
   */
  #left(reason, link) {
    this.#missed.delete(link);
    if (link !== this.#link && link !== this.#asked) return;
    const moved = reason !== "kicked" && (this.#tries.get(link) ?? 0) < this.#identity.tries;
    if (!moved) return void (reason === "expired" ? this.#startOver() : this.#hooks.ended(reason));
    link.outrun = true;
    if (link !== this.#link) return;
    this.#unlink();
    this.settle();
  }

  /**
   * A join was refused: later again, elsewhere, or never.
   * @param {SignalError} error
   * @param {Link} link
   */
  #refused(error, link) {
    if (link !== this.#asked) return;
    if (this.#link?.open && this.#link !== link) return this.#stay(link);
    const foreign = error.code === "forbidden" && this.#identity.restored && this.#position === undefined;
    if (foreign) return void this.#startOver();
    const wasTaken = this.#taken === link;
    this.#taken = error.code === TAKEN ? link : null;
    // The link did not take this join. What it says next is about an earlier one.
    if (this.#taken) this.#tries.set(link, this.#triedBefore);
    else this.#missed.delete(link);
    if (this.#taken && wasTaken) return link.close(PING_TIMEOUT);
    if (!error.retry && !this.#taken) return this.#hooks.ended(error.code, error);
    this.#hooks.delayed(error);
    const { clock, random } = this.#context;
    this.#cancelRejoin = clock.after(error.after ?? between(...JOIN_AGAIN_AFTER, random), () => link.open && this.join(link));
  }

  /** The link that should have taken over cannot; the one in use still works. @param {Link} link */
  #stay(link) {
    this.#asked = null;
    this.#context.connection.abandon(link);
  }

  /** Joins anew under another key: the member was removed, or the stored key belongs to somebody else. */
  async #startOver() {
    this.stop();
    this.#position = undefined;
    this.#hooks.expired();
    await this.#identity.renew();
    this.settle();
  }

  /** @param {Link} link @returns {Promise<void>} */
  #sendLeave(link) {
    const { name: room, connection } = this.#context;
    return new Promise((done) => connection.requests.send(link, (id) => build.leave({ id, room }), () => done()));
  }

  #unlink() {
    this.#link = null;
    this.#hooks.unlinked();
  }
}
