// @ts-ignore as in demo.js
import * as stats from "../client/stats.js";
import { Channel } from "./channel.js";
import { Chat } from "./chat.js";
import { Tile } from "./tile.js";
import { Tools } from "./tools.js";
import { SCREEN, ScreenShare } from "./screen.js";
import { announce, byId, element } from "./dom.js";
import { closeMedia } from "./media.js";
import { dismiss, dismissAll, notify } from "./notices.js";
import { inviteLink } from "./params.js";
import { peerNote, refusalNote, statusLine } from "./notes.js";
import { watchGrid } from "./grid.js";

/**
 * The view of one call: a tile per peer and one's own, notices, chat, tools.
 *
 * @typedef {import("/client/index.js").SignalClient} SignalClient
 * @typedef {import("/client/room.js").Room} Room
 * @typedef {import("/client/peer.js").Peer} Peer
 * @typedef {import("/client/peer.js").IceError} IceError
 * @typedef {{peer: Peer, tile: Tile, channel: Channel, facts: import("./facts.js").PeerFacts | null}} Participant
 * @typedef {{client: SignalClient, room: Room, media: import("./media.js").Media, name: string, relayOnly: boolean,
 *   token?: string}} Session
 */

const { quality, speaking } = /** @type {typeof import("/client/stats.js")} */ (stats);

/** How often facts are read and pings sent (ms). */
const FACTS_EVERY = 1000;

/** ICE error codes below 700 come from the TURN server itself; 701 means an address did not answer. */
const UNREACHABLE = 701;

export class CallView {
  #grid = byId("grid");
  #tools;
  #chat;
  /** @type {Session | null} */
  #session = null;
  /** @type {Map<string, Participant>} */
  #participants = new Map();
  #own = new Tile({ id: "own", own: true });
  #invite = this.#makeInvite();
  #timer = 0;
  #stopListening = () => {};
  /** Tiles of screens, by member; one's own is `own`. @type {Map<string, Tile>} */
  #screens = new Map();
  #share = new ScreenShare((stream) => this.#showOwnScreen(stream));
  /** Every ICE error of this call. @type {IceError[]} */
  iceErrors = [];

  /** @param {{leave: () => void}} actions */
  constructor({ leave }) {
    watchGrid(this.#grid);
    this.#chat = new Chat((text) => this.#say(text));
    this.#tools = new Tools({
      microphone: (on) => this.#enable("audio", on),
      camera: (on) => this.#enable("video", on),
      relayOnly: (on) => this.#route(on),
      screen: (on) => this.#shareScreen(on),
      copyLink: () => this.#copyLink(),
      leave,
    });
  }

  /** Whom this side sees, with the newest facts. */
  get participants() {
    return [...this.#participants.values()];
  }

  /** Shows a call. @param {Session} session */
  open(session) {
    this.#session = session;
    const { client, room, media, relayOnly } = session;
    this.iceErrors = [];
    byId("call").hidden = false;
    byId("room-title").textContent = room.name;
    this.#tools.reset({ relayOnly });
    this.#own.show(media.stream, { mirror: media.camera });
    this.#own.play().catch(() => {});
    this.#grid.append(this.#own.root);
    if (media.problem) notify("media", media.problem);
    room.on("peer", (peer) => this.#enter(peer));
    room.on("peerLeft", ({ peer }) => this.#leave(peer));
    room.on("peerUpdated", (peer) => this.#drawPeer(peer.id));
    for (const name of /** @type {const} */ (["state", "joined"])) room.on(name, () => this.#draw());
    client.on("state", () => this.#draw());
    client.on("warning", () => this.#warn());
    this.#timer = setInterval(() => this.#measure(), FACTS_EVERY);
    this.#stopListening = speaking(room, (peers) => this.#showSpeaking(peers));
    this.#draw();
    this.#warn();
  }

  /** Takes the call off the page and frees camera and microphone. */
  close() {
    if (!this.#session) return;
    closeMedia(this.#session.media.stream);
    this.#share.stop();
    clearInterval(this.#timer);
    this.#stopListening();
    this.#session = null;
    this.#participants.clear();
    this.#screens.clear();
    this.#grid.replaceChildren();
    this.#own.show(null);
    this.#chat.clear();
    dismissAll();
    byId("call").hidden = true;
  }

  /** @param {Peer} peer */
  #enter(peer) {
    const tile = new Tile({ id: peer.id });
    const channel = new Channel(peer, (text) => this.#chat.add(nameOf(peer), text));
    this.#participants.set(peer.id, { peer, tile, channel, facts: null });
    this.#grid.insertBefore(tile.root, this.#own.root);
    peer.on("stream", (stream) => this.#play(tile, stream));
    peer.on("state", () => this.#drawPeer(peer.id));
    peer.on("open", () => this.#drawPeer(peer.id));
    peer.on("iceError", (error) => this.#iceError(error));
    peer.on("added", ({ label, stream }) => label === SCREEN && this.#showScreen(peer.id, `${nameOf(peer)}: screen`, stream));
    peer.on("removed", ({ label }) => label === SCREEN && this.#showScreen(peer.id, "", null));
    announce(`${nameOf(peer)} is here`);
    this.#draw();
  }

  /** @param {Peer} peer */
  #leave(peer) {
    this.#participants.get(peer.id)?.tile.root.remove();
    this.#participants.delete(peer.id);
    this.#showScreen(peer.id, "", null);
    announce(`${nameOf(peer)} has left`);
    this.#draw();
  }

  /**
   * Browsers hold back sound until somebody has clicked; the picture need not wait for that.
   * @param {Tile} tile
   * @param {MediaStream | null} stream
   */
  async #play(tile, stream) {
    tile.show(stream);
    try {
      await tile.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return;
      tile.mute(true);
      tile.play().catch(() => {});
      const run = () => this.#unmute();
      notify("sound", { what: "The browser holds back the sound.", todo: "It wants a click first.", action: { label: "Turn sound on", run } });
    }
  }

  /** @param {boolean} on */
  async #shareScreen(on) {
    const room = this.#session?.room;
    if (!on || !room) return this.#share.stop();
    try {
      await this.#share.start(room);
    } catch (error) {
      // The user closed the browser's dialog: nothing went wrong.
      if (error instanceof DOMException && error.name === "NotAllowedError") return;
      notify("screen", { what: "The screen cannot be shared.", todo: String(error) });
    }
  }

  /** @param {MediaStream | null} stream */
  #showOwnScreen(stream) {
    this.#tools.showSharing(stream !== null);
    this.#showScreen("own", "Your screen", stream);
  }

  /**
   * @param {string} of
   * @param {string} name
   * @param {MediaStream | null} stream
   */
  #showScreen(of, name, stream) {
    this.#screens.get(of)?.root.remove();
    this.#screens.delete(of);
    if (!stream || !this.#session) return;
    const tile = new Tile({ id: `${of} screen`, own: of === "own", screen: true });
    this.#screens.set(of, tile);
    tile.describe({ name, audio: true, video: true });
    tile.say("connected", null);
    this.#grid.prepend(tile.root);
    this.#play(tile, stream);
  }

  /** @param {Peer[]} peers */
  #showSpeaking(peers) {
    for (const { peer, tile } of this.#participants.values()) tile.speak(peers.includes(peer));
  }

  #unmute() {
    dismiss("sound");
    for (const { tile } of this.#participants.values()) tile.mute(false);
  }

  /** @param {IceError} error */
  #iceError(error) {
    this.iceErrors.push(error);
    if (error.code < UNREACHABLE) {
      notify("relay-refused", refusalNote(error));
    }
    for (const id of this.#participants.keys()) this.#drawPeer(id);
  }

  #warn() {
    const warning = this.#session?.client.warning;
    if (warning) notify("ice", warning);
    else dismiss("ice");
  }

  #draw() {
    if (!this.#session) return;
    const { client, room, name } = this.#session;
    const people = this.#participants.size + 1;
    const { text, tone } = statusLine(client.state, { roomState: room.state, people, node: client.node });
    const status = byId("status");
    status.dataset.tone = tone;
    if (status.textContent !== text) status.textContent = text;
    document.title = `${room.name} · ${people === 1 ? "only you" : `${people} people`}`;
    this.#own.describe({ name, audio: this.#tools.microphone, video: this.#tools.camera, own: true });
    this.#own.say("connected", null);
    if (people === 1) this.#grid.append(this.#invite);
    else this.#invite.remove();
    for (const id of this.#participants.keys()) this.#drawPeer(id);
  }

  /** @param {string} id */
  #drawPeer(id) {
    const participant = this.#participants.get(id);
    if (!participant) return;
    const { peer, tile } = participant;
    const name = peer.away && peer.connected ? `${nameOf(peer)} · away` : nameOf(peer);
    tile.describe({ name, audio: peer.meta?.audio !== false, video: peer.meta?.video !== false });
    tile.say(peer.state, peerNote({ name, state: peer.state, away: peer.away, connected: peer.connected }, this.#relays()));
    if (peer.connected) return;
    participant.facts = null; // of a connection that may be replaced
    tile.tell(null);
  }

  #relays() {
    const refusal = this.iceErrors.findLast(({ code }) => code < UNREACHABLE);
    const refused = refusal ? refusalNote(refusal) : null;
    return { relayOnly: this.#tools.relayOnly, noRelay: this.#session?.client.warning != null, refused };
  }

  async #measure() {
    for (const participant of this.#participants.values()) {
      const { peer, channel, tile } = participant;
      channel.ping();
      const facts = await peer.facts();
      participant.facts = peer.connected ? { ...facts, dataRoundTrip: channel.roundTrip } : null;
      tile.tell(participant.facts);
      tile.grade(await quality(peer));
    }
  }

  /**
   * @param {"audio" | "video"} kind
   * @param {boolean} on
   */
  #enable(kind, on) {
    if (!this.#session) return;
    const { media, room, name } = this.#session;
    for (const track of media.stream.getTracks()) if (track.kind === kind) track.enabled = on;
    room.update({ name, audio: this.#tools.microphone, video: this.#tools.camera });
    this.#draw();
  }

  /** @param {boolean} relayOnly */
  #route(relayOnly) {
    this.#session?.room.setTransportPolicy(relayOnly ? "relay" : "all");
    this.#draw();
  }

  /** @param {string} text */
  #say(text) {
    return this.participants.filter(({ channel }) => channel.say(text)).length;
  }

  async #copyLink() {
    const link = inviteLink(this.#session?.room.name ?? "", this.#session?.token);
    try {
      await navigator.clipboard.writeText(link);
      return true;
    } catch {
      notify("copy", { what: "The browser does not let this page copy.", todo: `This is the link: ${link}` });
      return false;
    }
  }

  #makeInvite() {
    const button = element("button", "primary", "Copy link");
    button.addEventListener("click", () => this.#tools.copy());
    const text = element("p", "", "Send somebody the link to this room, or open it in a second window.");
    return element("div", "tile invite", element("strong", "", "Nobody else is here yet"), text, button);
  }
}

/** What a member calls itself is its own word: taken as text, and not too much of it. @param {Peer} peer */
export function nameOf(peer) {
  return String(peer.meta?.name ?? peer.user ?? "Guest").slice(0, 40);
}
