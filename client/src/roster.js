/**
 * Who is in the room, and who speaks first: keeps one Peer per member and applies what the log says.
 *
 * @typedef {import("./protocol.js").Member} Member
 * @typedef {import("./peer.js").Peer} Peer
 *
 * @typedef {object} RosterHooks
 * @property {(member: Member) => Peer} create
 * @property {(peer: Peer) => void} entered
 * @property {(peer: Peer) => void} updated
 * @property {(peer: Peer, reason: string) => void} left
 */
export class Roster {
  #hooks;
  #clock;
  /** @type {Map<string, () => void>} cancels the removal of members that a `reset` did not name */
  #missing = new Map();
  /** @type {Map<string, Peer>} */
  peers = new Map();

  /**
   * @param {RosterHooks} hooks
   * @param {import("./clock.js").Clock} clock
   */
  constructor(hooks, clock) {
    this.#hooks = hooks;
    this.#clock = clock;
  }

  /**
   * A `new` join: this side offers to everyone it is not connected to. Somebody who is missing and yet
   * connected did not leave, or the connection would be closed: the server has lost the room, and that
   * member has not come back to it yet.
   * @param {Member[]} members
   * @param {number} grace milliseconds
   */
  begin(members, grace) {
    for (const peer of this.#absent(members)) {
      if (peer.connected) this.#markAbsent(peer, grace);
      else this.remove(peer.id, "gone");
    }
    for (const member of members) {
      const known = this.peers.get(member.id);
      const peer = this.#put(member);
      if (!known) peer.start({ offers: true });
      else if (known.connected) known.renegotiate();
      else known.renew({ offers: true });
    }
  }

  /** A `snapshot`: messages may have been lost, so negotiation starts again where nothing flows. @param {Member[]} members */
  compare(members) {
    for (const peer of this.#absent(members)) if (!this.#missing.has(peer.id)) this.remove(peer.id, "gone");
    for (const member of members) this.#put(member).renegotiate();
  }

  /**
   * A `reset`: whoever is missing counts as away, and as gone after `grace`; the polite side offers
   * where nothing flows.
   * @param {Member[]} members
   * @param {number} grace milliseconds
   */
  reset(members, grace) {
    for (const peer of this.#absent(members)) this.#markAbsent(peer, grace);
    for (const member of members) {
      const peer = this.#put(member);
      if (peer.polite) peer.renegotiate();
      else peer.start({ offers: false });
    }
  }

  /** `peer_joined`: the newcomer offers, this side waits. @param {Member} member */
  add(member) {
    const known = this.peers.get(member.id);
    const peer = this.#put(member);
    if (!known) peer.start({ offers: false });
    else if (!known.connected) known.renew({ offers: false });
  }

  /** `peer_updated`: new meta, gone away, or back. @param {Partial<Member> & {id: string}} change */
  update(change) {
    const peer = this.peers.get(change.id);
    if (!peer) return;
    const back = peer.away && change.away === false;
    this.#found(peer.id);
    peer.describe(change);
    if (back && (peer.state === "failed" || peer.state === "reconnecting")) peer.renegotiate();
    this.#hooks.updated(peer);
  }

  /**
   * `peer_left`, or not in the room any more.
   * @param {string} id
   * @param {string} reason
   */
  remove(id, reason) {
    const peer = this.peers.get(id);
    if (!peer) return;
    this.#found(id);
    this.peers.delete(id);
    peer.close();
    this.#hooks.left(peer, reason);
  }

  /** Forgets everyone. @param {string} reason */
  clear(reason) {
    for (const id of [...this.peers.keys()]) this.remove(id, reason);
  }

  /** Returns the peers that a roster does not name. @param {Member[]} members */
  #absent(members) {
    const named = new Set(members.map(({ id }) => id));
    return [...this.peers.values()].filter(({ id }) => !named.has(id));
  }

  /** Adds or updates a member and says so. @param {Member} member */
  #put(member) {
    const known = this.peers.get(member.id);
    this.#found(member.id);
    if (known) {
      known.describe(member);
      this.#hooks.updated(known);
      return known;
    }
    const peer = this.#hooks.create(member);
    this.peers.set(member.id, peer);
    this.#hooks.entered(peer);
    return peer;
  }

  /**
   * @param {Peer} peer
   * @param {number} grace
   */
  #markAbsent(peer, grace) {
    peer.describe({ away: true });
    this.#hooks.updated(peer);
    if (!this.#missing.has(peer.id)) {
      this.#missing.set(peer.id, this.#clock.after(grace, () => this.remove(peer.id, "timeout")));
    }
  }

  /** @param {string} id */
  #found(id) {
    this.#missing.get(id)?.();
    this.#missing.delete(id);
  }
}
