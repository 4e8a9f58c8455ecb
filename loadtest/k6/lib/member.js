import { backoff } from "../../../client/src/backoff.js";
import { Outgoing } from "../../../client/src/outgoing.js";
import * as metrics from "./metrics.js";
import { ALL, Heard, Said } from "./sequence.js";
import { newKey, mintToken } from "./tokens.js";
import { sleep, until, within } from "./wait.js";
import { Socket } from "./socket.js";
import { URL } from "./settings.js";

/**
 * One member of one room: docs/PROTOCOL.md, sections 3 to 6. It numbers what it says, keeps it until it is
 * acknowledged, comes back after a lost socket as the same member, and moves to another node before its own stops.
 * What is numbered and resent when is the SDK's `Outgoing`; everything else here is written from the protocol.
 */

/** How long a socket may take to open, or a join to be answered (ms). */
const ENTER_WITHIN = 10_000;

/** A close code from here on means: do not come back. */
const STAY_AWAY = 4200;

/** What the socket before is closed with when the next one has taken over. */
const REPLACED = 4202;

export class Member {
  #key = newKey();
  #tries = 0;
  #outgoing = new Outgoing();
  #position;
  #current = null;
  #joining = new Map();
  #wake = null;
  /** Sockets that are being opened. */
  #entering = 0;
  #leaving = false;
  said = new Said();
  heard = new Heard();
  id = "";
  /** The roster as of the join. */
  peers = [];
  /** The node that holds the socket. */
  node = "";

  /**
   * @param {object} options
   * @param {string} options.room
   * @param {string} options.sub
   * @param {boolean} [options.late] streams may be running when this member comes
   * @param {(data: any, from: string) => void} [options.onSignal]
   * @param {(frame: any) => void} [options.onPeer] what peers do: `peer_joined`, `peer_left`, `peer_updated`
   */
  constructor({ room, sub, late = false, onSignal = () => {}, onPeer = () => {} }) {
    Object.assign(this, { room, late, onSignal, onPeer });
    this.token = mintToken({ sub, room });
  }

  /** Enters the room. */
  async join() {
    await this.#enter();
    return this;
  }

  /** Says something numbered, to one or to all. @param {object} data @param {string} [to] */
  say(data, to) {
    const n = this.said.next(to ?? ALL);
    this.#outgoing.push({ type: "signal", room: this.room, to, data: { ...data, n, at: Date.now() } });
    this.#flush();
  }

  /** Asks the node for a sign of life, once there is a socket again. */
  async ping() {
    await until(() => this.#current !== null, ENTER_WITHIN);
    if (!this.#current) throw new Error("there is no socket to ping on");
    await within(this.#current.ping(), ENTER_WITHIN, "a pong");
  }

  /** Whether everything said was acknowledged. */
  get settled() {
    return this.#outgoing.length === 0;
  }

  /** Loses the socket, as a network does, and comes back. */
  drop() {
    const socket = this.#current;
    if (!socket) return;
    socket.close();
    this.#lose(socket, "drop");
  }

  /** Ends the membership and the connection. */
  async leave() {
    if (!(await until(() => this.#current !== null, ENTER_WITHIN))) metrics.errors.add(1, { code: "gone" });
    this.#leaving = true;
    clearTimeout(this.#wake);
    const gone = this.#current;
    if (!gone) return;
    const left = new Promise((resolve) => this.#joining.set(gone, { resolve, reject: resolve }));
    gone.send({ type: "leave", id: 2, room: this.room });
    await within(left, ENTER_WITHIN, "leaving").catch(() => metrics.errors.add(1, { code: "leave" }));
    gone.close();
  }

  /** Opens a socket and joins over it; the one before goes on until then, and is closed after. */
  async #enter() {
    const socket = new Socket({
      url: URL,
      token: this.token,
      heard: (frame) => this.#hear(socket, frame),
      ended: (code, asked) => this.#end(socket, code, asked),
    });
    this.#entering += 1;
    try {
      const welcome = await within(socket.welcome, ENTER_WITHIN, "welcome");
      this.#outgoing.limit(welcome.limits);
      await within(this.#joined(socket), ENTER_WITHIN, "joined");
      this.node = welcome.node;
    } catch (error) {
      metrics.refused.add(1);
      socket.close();
      throw error;
    } finally {
      this.#entering -= 1;
    }
  }

  async #joined(socket) {
    const began = Date.now();
    const answer = new Promise((resolve, reject) => this.#joining.set(socket, { resolve, reject }));
    this.#tries += 1;
    socket.send({ type: "join", id: 1, room: this.room, key: this.#key, try: this.#tries, seq: this.#position });
    await answer;
    metrics.join.add(Date.now() - began);
  }

  #hear(socket, frame) {
    switch (frame.type) {
      case "joined":
        return this.#arrive(socket, frame);
      case "signal":
        if (this.#moves(frame.seq)) this.#take(frame);
        return;
      case "peer_joined":
      case "peer_left":
      case "peer_updated":
        if (!this.#moves(frame.seq)) return;
        if (frame.peer.away) metrics.away.add(1);
        return this.onPeer(frame);
      case "ack":
        this.#outgoing.ack(frame.mid);
        this.#moves(frame.seq);
        return this.#flush();
      case "goaway":
        return void this.#move(socket, frame.after);
      case "ok":
        return this.#answer(socket).resolve();
      case "reset":
        return this.#reset(socket, frame);
      case "error":
        return this.#fail(socket, frame);
      case "left":
        // `replaced` is what a socket hears whose member has moved to the next one.
        if (frame.reason !== "replaced") metrics.errors.add(1, { code: frame.reason });
        return;
      // `ice`, `pong` and `welcome` need no answer here.
    }
  }

  /** Moves the position, and tells whether an entry is news: section 5. What is volatile has no `seq`, and always is. */
  #moves(seq) {
    if (seq === undefined) return true;
    if (seq <= this.#position) return false;
    this.#position = seq;
    return true;
  }

  #arrive(socket, { seq, recovery, mid, self, peers = this.peers }) {
    const back = this.id !== "";
    if (recovery === "new") this.#outgoing.restart();
    else this.#outgoing.resume(mid);
    if (back && recovery === "new") metrics.forgotten.add(1);
    if (back) this.recovery = recovery;
    this.#position = seq;
    Object.assign(this, { id: self.id, peers });
    const before = this.#current;
    this.#current = socket;
    before?.close();
    this.#answer(socket).resolve();
    this.#flush();
  }

  #take({ from, to, data }) {
    // What members who mean harm say has no number.
    if (data.n === undefined) return;
    if (this.heard.take(from, to ?? ALL, data.n, { late: this.late }) !== "again") metrics.deliver.add(Date.now() - data.at);
    this.onSignal(data, from);
  }

  /** Before `joined` it is part of a replay, and only the position may decide whether it is old. */
  #reset(socket, { seq, mid }) {
    metrics.resets.add(1);
    if (socket !== this.#current) return this.#moves(seq);
    this.#position = seq;
    this.#outgoing.resume(mid);
    this.#flush();
  }

  #fail(socket, frame) {
    if (frame.id !== undefined) return this.#answer(socket).reject(new Error(frame.code));
    if (!frame.retry) metrics.errors.add(1, { code: frame.code });
    if (frame.mid === undefined || socket !== this.#current) return;
    this.#outgoing.fail(frame, Date.now());
    this.#flush();
  }

  #answer(socket) {
    const waiting = this.#joining.get(socket) ?? { resolve() {}, reject() {} };
    this.#joining.delete(socket);
    return waiting;
  }

  #flush() {
    clearTimeout(this.#wake);
    if (!this.#current) return;
    const now = Date.now();
    for (const frame of this.#outgoing.due(now)) this.#current.send(frame);
    const at = this.#outgoing.wakeAt(now);
    if (at !== null) this.#wake = setTimeout(() => this.#flush(), at - now);
  }

  #end(socket, code, asked) {
    this.#answer(socket).reject(new Error(`the socket was closed ${code}`));
    // One that never opened was refused, which is another thing, and counted.
    if (asked || !socket.opened || (code === REPLACED && this.#entering > 0)) return;
    metrics.closed.add(1, { code: String(code) });
    if (code < STAY_AWAY) this.#lose(socket, String(code));
  }

  #lose(socket, why) {
    if (socket !== this.#current) return;
    this.#current = null;
    this.#outgoing.suspend();
    clearTimeout(this.#wake);
    if (!this.#leaving) this.#return(why, (attempt) => backoff(attempt, Math.random));
  }

  /** The node is about to stop: make before break. */
  async #move(socket, after) {
    if (socket === this.#current && !this.#leaving) await this.#return("goaway", (attempt) => (attempt === 0 ? after : backoff(attempt, Math.random)));
  }

  async #return(why, pause) {
    const began = Date.now();
    const from = this.#current;
    for (let attempt = 0; this.#current === from && !this.#leaving; attempt += 1) {
      await sleep(pause(attempt));
      const entered = await this.#enter().then(() => true, () => false);
      if (!entered) continue;
      metrics.resume.add(Date.now() - began, { why });
      metrics.resumed.add(1, { why, recovery: this.recovery });
    }
  }
}
