/**
 * Functions that run inside the demo page, against the running call of `window.demo`. They are handed
 * to `page.evaluate`, so each stands alone.
 */

/**
 * Holds back what this page would signal, so that offers of both sides can be made to cross.
 * `window.held.release()` sends it, in order.
 */
export function holdSignals() {
  const { room } = window.demo;
  const send = room.signal;
  const queue = [];
  const [peer] = room.peers.values();
  const states = [];
  peer.pc.addEventListener("signalingstatechange", () => states.push(peer.pc.signalingState));
  room.signal = (...message) => void queue.push(message);
  const release = () => {
    room.signal = send;
    for (const message of queue) room.signal(...message);
  };
  window.held = { release, states, polite: peer.polite };
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

/** Gathers with `server`, relays only; reports the types of candidates there were, and what the browser saw go wrong. */
export async function gather(server) {
  const pc = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay" });
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
 * Holds back what this page would signal from now on, to begin with before anybody else is there.
 * `window.held.answers` counts the answers among it; `window.held.release()` sends it, in order.
 */
export function holdAnswer() {
  const { room } = window.demo;
  const send = room.signal;
  const queue = [];
  const release = () => {
    room.signal = send;
    for (const message of queue) room.signal(...message);
  };
  window.held = { release, answers: 0 };
  room.signal = (...message) => {
    if (message[0].description?.type === "answer") window.held.answers += 1;
    queue.push(message);
  };
}
