import { SignalError, build } from "./protocol.js";
import { between } from "./backoff.js";

/**
 * Where one member stands: the link it is joined on, the link it has asked to join on, and how far it
 * has read in the room's log. It asks, is refused, is moved or ended; what that means for the peers
 * and for the member's own messages is the room's business.
 *
 * @typedef {import("./link.js").Link} Link
 * @typedef {import("./protocol.js").Joined} Joined
 * @typedef {import("./protocol.js").ServerFrame} ServerFrame
 *
 * @typedef {object} MembershipHooks
 * @property {() => any} meta what a join says about this member
 * @property {(frame: Joined, link: Link) => void} joined the member is in, or back
 * @property {() => void} unlinked no link carries the member's messages for now
 * @property {() => void} expired the member was removed while its link lived; a new one follows
 * @property {(error: SignalError) => void} delayed a join failed for a passing reason
 * @property {(reason: string, error?: SignalError) => void} ended the membership does not come back by itself
 *
 * @typedef {object} MembershipContext
 * @property {string} name of the room
 * @property {import("./connection.js").Connection} connection
 * @property {import("./clock.js").Clock} clock
 * @property {() => number} random uniform in [0, 1)
 */

/** Wait before a join is repeated that failed for a passing reason (ms), unless the server names one. */
const JOIN_AGAIN_AFTER = /** @type {const} */ ([1000, 3000]);

export class Membership {
  #context;
  #identity;
  #hooks;
  /** @type {Link | null} the link this member is joined on */
  #link = null;
  /** @type {Link | null} the newest link a join was sent on */
  #joiningOn = null;
  /** @type {number | undefined} the position in the room's log */
  #position;
  #cancelRejoin = () => {};

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

  /** Joins, or comes back, on a link that was just welcomed. @param {Link} link */
  join(link) {
    if (!this.#identity.key) return;
    this.#cancelRejoin();
    this.#joiningOn = link;
    const { name: room, connection } = this.#context;
    const member = { room, key: this.#identity.key, try: this.#identity.nextTry(), seq: this.#position, meta: this.#hooks.meta() };
    connection.requests.send(link, (id) => build.join({ id, ...member }), (reply) => {
      if (reply?.type === "error") this.#refused(new SignalError(reply), link);
    });
  }

  /** The link is gone; the membership waits for the next one. @param {Link} link */
  lost(link) {
    if (link === this.#link) this.#unlink();
  }

  /** Asks for nothing any more. */
  stop() {
    this.#link = this.#joiningOn = null;
    this.#cancelRejoin();
  }

  /**
   * Takes `joined` and `left`; returns whether a frame of another kind is to be heeded, which it is
   * only once however many links it comes by.
   * @param {ServerFrame} frame
   * @param {Link} link
   */
  takes(frame, link) {
    if (frame.type === "joined") this.#joined(frame, link);
    else if (frame.type === "left") this.#left(frame.reason, link);
    else return this.#isNews(frame);
    return false;
  }

  /** @param {ServerFrame} frame */
  #isNews(frame) {
    if (!("seq" in frame) || typeof frame.seq !== "number") return true;
    const ahead = frame.seq > (this.#position ?? 0);
    if (ahead || frame.type === "reset") this.#position = frame.seq;
    return ahead || frame.type === "reset" || frame.type === "ack";
  }

  /**
   * @param {Joined} frame
   * @param {Link} link
   */
  #joined(frame, link) {
    if (link !== this.#joiningOn) return;
    this.#link = link;
    this.#position = frame.seq;
    this.#hooks.joined(frame, link);
  }

  /**
   * The server ended this socket's membership.
   * @param {string} reason
   * @param {Link} link
   */
  #left(reason, link) {
    const byNewerLink = reason === "replaced" && link !== this.#joiningOn;
    if (byNewerLink && link === this.#link) this.#unlink();
    if (reason === "expired") this.#startOver();
    else if (!byNewerLink) this.#hooks.ended(reason);
  }

  /**
   * A join was refused: later again, elsewhere, or never.
   * @param {SignalError} error
   * @param {Link} link
   */
  #refused(error, link) {
    if (link !== this.#joiningOn) return;
    if (this.#link?.open && this.#link !== link) return this.#stay(link);
    const foreign = error.code === "forbidden" && this.#identity.restored && this.#position === undefined;
    if (foreign) return void this.#startOver();
    if (!error.retry) return this.#hooks.ended(error.code, error);
    this.#hooks.delayed(error);
    const { clock, random } = this.#context;
    this.#cancelRejoin = clock.after(error.after ?? between(...JOIN_AGAIN_AFTER, random), () => link.open && this.join(link));
  }

  /** The link that should have taken over cannot; the one in use still works. @param {Link} link */
  #stay(link) {
    this.#joiningOn = this.#link;
    this.#context.connection.abandon(link);
  }

  /** Joins anew under another key: the member was removed, or the stored key belongs to somebody else. */
  async #startOver() {
    this.#link = null;
    this.#position = undefined;
    this.#hooks.expired();
    await this.#identity.renew();
    const { link } = this.#context.connection;
    if (link) this.join(link);
  }

  #unlink() {
    this.#link = null;
    this.#hooks.unlinked();
  }
}
