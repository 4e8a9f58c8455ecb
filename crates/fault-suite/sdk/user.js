import { createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { SignalClient } from "../../../client/src/index.js";

const { WebSocket } = createRequire(new URL("../../../client/package.json", import.meta.url))("ws");

/** Tokens live so long (s): each is renewed several times in a run. */
const TOKEN_LIFE = 30;
/** How often a page is loaded again (ms, least and most). */
const RELOADS_AFTER = [20_000, 60_000];
/** One in so many things said is an update of `meta`, and as many are volatile. */
const ONE_UPDATE_IN = 16;
/** More than that unsettled, and an application would wait. */
const MOST_UNSETTLED = 200;

/**
 * A person with one page, which is in several rooms over one connection, says something in each now and then, and is loaded again
 * from time to time.
 */
export class User {
  #number;
  #rooms;
  #options;
  #storage = new Map();
  /** What of this user goes on through reloads, by room. @type {Map<string, any>} */
  #memberships;
  #page;
  #timers = [];
  #unsettled = 0;

  constructor(number, rooms, options) {
    this.#number = number;
    this.#rooms = rooms;
    this.#options = options;
    this.#memberships = new Map(rooms.map((room) => [room, { room, life: 0, number: 0, updates: 0, member: "", peers: null }]));
  }

  get members() {
    return [...this.#memberships.values()];
  }

  get isSettled() {
    return this.#unsettled === 0 && this.members.every(({ joined }) => joined?.state === "joined");
  }

  /** Resolves once all rooms are joined. */
  async start() {
    this.#page = this.#open();
    await Promise.all(this.#page.joining);
  }

  talk() {
    const { every } = this.#options;
    this.#timers.push(setInterval(() => this.#say(), every * (0.5 + Math.random())));
    this.#reloadLater();
  }

  fallSilent() {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  /** Compares what the page holds for the others with what they are, when all is quiet. @param {Map<string, any>} members by id */
  report(members) {
    for (const { joined, member } of this.members) for (const peer of joined.peers.values()) this.#compare(member, peer, members.get(peer.id));
  }

  #compare(member, peer, other) {
    const { ledger } = this.#options;
    if (!other) return ledger.violate(`${member} sees ${peer.id}, who is not there`);
    if (peer.away) ledger.violate(`${member} holds ${other.member} to be away`);
    if (peer.meta?.updates !== other.updates) ledger.violate(`${member} holds update ${peer.meta?.updates} of ${other.member}, not ${other.updates}`);
    return undefined;
  }

  #reloadLater() {
    const [least, most] = RELOADS_AFTER;
    this.#timers.push(setTimeout(() => this.#reload(), least + Math.random() * (most - least)));
  }

  /** The page goes without a word, and is there again: what it had not settled is nobody's any more. */
  async #reload() {
    this.#options.ledger.count("reloads");
    this.#page.end();
    this.#unsettled = 0;
    this.#page = this.#open();
    this.#reloadLater();
  }

  #open() {
    const sockets = new Set();
    const page = { isOver: false, end: () => {}, joining: [], client: null };
    class Socket extends WebSocket {
      constructor(...args) {
        super(...args);
        sockets.add(this);
        this.on("close", () => sockets.delete(this));
        // A page that is gone opens nothing: its client here may have been about to.
        if (page.isOver) this.terminate();
      }
    }
    const client = new SignalClient({
      url: this.#options.urls,
      token: () => this.#token(),
      WebSocket: Socket,
      network: null,
      retry: () => (page.isOver ? false : undefined),
      identity: { storage: this.#store(page), locks: null },
    });
    page.client = client;
    page.end = () => {
      page.isOver = true;
      for (const socket of sockets) socket.terminate();
    };
    page.joining = this.#rooms.map((room) => this.#join(client, page, room));
    return page;
  }

  async #join(client, page, name) {
    const it = this.#memberships.get(name);
    try {
      const room = await client.join(name, { RTCPeerConnection: null, meta: { updates: it.updates } });
      if (page.isOver) return;
      it.joined = room;
      this.#follow(room, it, page);
    } catch (error) {
      if (!page.isOver) this.#options.ledger.violate(`user ${this.#number} cannot join ${name}: ${error.message}`);
    }
  }

  #follow(room, it, page) {
    const { ledger } = this.#options;
    const whileOpen = (listener) => (event) => page.isOver || listener(event);
    this.#entered(room, it);
    // A page knows nothing of what the one before was told.
    ledger.interrupted(it.member);
    room.on("joined", whileOpen(({ recovery }) => {
      if (recovery === "new") ledger.count("anew");
      if (recovery === "snapshot") ledger.count("snapshots");
      if (recovery === "new") this.#entered(room, it);
      if (recovery !== "replay") ledger.interrupted(it.member);
    }));
    room.on("reset", whileOpen(() => {
      ledger.count("resets");
      ledger.interrupted(it.member);
    }));
    room.on("signal", whileOpen(({ data, volatile }) => {
      if (volatile) return ledger.count("volatile");
      return ledger.arrived(it.member, data.from, data.number);
    }));
    room.on("left", whileOpen(async ({ reason }) => {
      const { log } = await page.client.dump();
      ledger.violate(`${it.member} was told left: ${reason}; ${JSON.stringify(log.slice(-40))}`);
    }));
  }

  /** Another id is another member, whose messages are counted anew. */
  #entered(room, it) {
    if (it.id !== room.self.id) Object.assign(it, { id: room.self.id, life: it.life + 1, number: 0 });
    it.member = `${it.room}/${this.#number}.${it.life}`;
  }

  #say() {
    for (const it of this.members) if (it.joined?.state === "joined" && this.#unsettled <= MOST_UNSETTLED) this.#sayIn(it);
  }

  #sayIn(it) {
    const drawn = Math.floor(Math.random() * ONE_UPDATE_IN);
    if (drawn === 0) it.joined.update({ updates: (it.updates += 1) });
    else if (drawn === 1) it.joined.signal({ from: it.member }, { volatile: true });
    else this.#signal(it);
  }

  #signal(it) {
    const { ledger } = this.#options;
    const [from, number, page] = [it.member, (it.number += 1), this.#page];
    ledger.sent(from, number);
    this.#unsettled += 1;
    const over = (isTaken) => {
      if (page.isOver) return;
      this.#unsettled -= 1;
      ledger.settled(from, number, isTaken);
    };
    it.joined.signal({ from, number }).settled.then(() => over(true), () => over(false));
  }

  /** As a token endpoint signs it. */
  #token() {
    this.#options.ledger.count("renewals");
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: `sdk-${this.#number}`, rooms: ["sdk-*"], can: ["signal"], iat: now, exp: now + TOKEN_LIFE };
    const parts = [{ alg: "HS256", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
    const mac = createHmac("sha256", this.#options.secret).update(parts.join(".")).digest("base64url");
    return Promise.resolve([...parts, mac].join("."));
  }

  /** The storage of the tab, which a page that is gone changes no more. */
  #store(page) {
    return {
      getItem: (slot) => this.#storage.get(slot) ?? null,
      setItem: (slot, text) => page.isOver || void this.#storage.set(slot, text),
      removeItem: (slot) => page.isOver || void this.#storage.delete(slot),
    };
  }
}
