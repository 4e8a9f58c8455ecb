/**
 * Functions that run inside the demo page, against the running call of `window.demo`. They are handed
 * to `page.evaluate`, so each stands alone.
 */

/**
 * Holds back the signals of this page, those of the SDK included, where they would reach the wire.
 * `window.held.release()` sends them, in order; `answers` counts the answers among them, and `states` are the signaling
 * states of the first peer, if there is one already.
 */
export function holdSignals() {
  const [peer] = window.demo.room.peers.values();
  const { send } = WebSocket.prototype;
  const queue = [];
  const held = { states: [], answers: 0, polite: peer?.polite };
  peer?.pc.addEventListener("signalingstatechange", () => held.states.push(peer.pc.signalingState));
  WebSocket.prototype.send = function hold(text) {
    const { type, data } = JSON.parse(text);
    if (type !== "signal") return send.call(this, text);
    if (data.description?.type === "answer") held.answers += 1;
    queue.push(() => send.call(this, text));
  };
  held.release = () => {
    WebSocket.prototype.send = send;
    for (const message of queue) message();
  };
  window.held = held;
}

/** Adds a second picture to the call, which makes this side offer. */
export async function addPicture() {
  const [peer] = window.demo.room.peers.values();
  const stream = await navigator.mediaDevices.getUserMedia({ video: true });
  peer.pc.addTrack(stream.getVideoTracks()[0], stream);
}

/** Tells what must not change while fresh ICE servers arrive in a running call, and what must. */
export function readIce() {
  const [{ pc }] = window.demo.room.peers.values();
  const [, fragment] = /a=ice-ufrag:(\S+)/.exec(pc.localDescription.sdp);
  return { fragment, username: pc.getConfiguration().iceServers[0].username };
}

/** Gathers with `servers`, relays only; reports the types of candidates there were, and what the browser saw go wrong. */
export async function gather(servers) {
  const pc = new RTCPeerConnection({ iceServers: [servers].flat(), iceTransportPolicy: "relay" });
  const types = new Set();
  const errors = [];
  pc.onicecandidateerror = ({ errorCode, errorText }) => errors.push({ code: errorCode, text: errorText });
  const done = new Promise((resolve) => {
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate) resolve();
      else if (candidate.type) types.add(candidate.type); // one per network interface
    };
  });
  pc.createDataChannel("probe");
  await pc.setLocalDescription();
  await done;
  pc.close();
  return { candidates: [...types], errors };
}

/**
 * Restarts ICE on this side and waits until it has gathered anew: the relayed ports and the errors of this gathering,
 * and the fragments that told the old and the new one apart.
 */
export async function restartIce() {
  const [{ pc }] = window.demo.room.peers.values();
  const fragment = () => /a=ice-ufrag:(\S+)/.exec(pc.localDescription.sdp)[1];
  const [before, ports, errors] = [fragment(), [], []];
  pc.addEventListener("icecandidateerror", ({ errorCode }) => errors.push(errorCode));
  await new Promise((resolve) => {
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (!candidate) resolve();
      else if (candidate.type === "relay") ports.push(candidate.port);
    });
    pc.restartIce();
  });
  return { before, after: fragment(), ports, errors: [...new Set(errors)] };
}

/**
 * Tells how media leaves this page now: the relay's URL, the relayed port, and the fragment of the gathering it is from;
 * null while there is no path that is as `wanted`.
 */
export async function readPath(wanted = {}) {
  const [{ pc }] = window.demo.room.peers.values();
  const report = await pc.getStats();
  const transport = [...report.values()].find(({ type, selectedCandidatePairId }) => type === "transport" && selectedCandidatePairId);
  const pair = report.get(transport?.selectedCandidatePairId);
  const { url, port, usernameFragment: fragment } = report.get(pair?.localCandidateId) ?? {};
  const path = { url, port, fragment, at: Date.now() };
  const fits = Object.entries(wanted).every(([what, value]) => path[what] === value);
  return pc.connectionState === "connected" && port && fits ? path : null;
}

/** Tells whether `servers` are good for a relay, as soon as that is known. */
export async function relayed(servers) {
  const pc = new RTCPeerConnection({ iceServers: servers, iceTransportPolicy: "relay" });
  const found = new Promise((resolve) => {
    pc.onicecandidate = ({ candidate }) => (!candidate || candidate.type === "relay") && resolve(candidate !== null);
  });
  pc.createDataChannel("probe");
  await pc.setLocalDescription();
  await found;
  pc.close();
  return found;
}

/**
 * Keeps ICE servers from a page, as a server that hands them over once does: it hears of none but the first, and does
 * not get to ask. To be run before the page's own scripts.
 */
export function keepIceServersAway() {
  const isIce = (text) => JSON.parse(text).type === "ice";
  window.WebSocket = class extends WebSocket {
    constructor(...where) {
      super(...where);
      this.addEventListener("message", (event) => isIce(event.data) && event.stopImmediatePropagation());
    }

    send(text) {
      if (!isIce(text)) super.send(text);
    }
  };
}

/** Lets connections begin with the first relay of their list alone, as if no other could be reached then. To be run before the page's own scripts. */
export function beginWithOneRelay() {
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor({ iceServers: [{ urls, ...first }], ...rest }) {
      super({ ...rest, iceServers: [{ ...first, urls: [urls].flat().slice(0, 1) }] });
    }
  };
}
