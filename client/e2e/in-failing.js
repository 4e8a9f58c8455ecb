/**
 * Functions that run inside a page before it joins, each of which makes one thing fail. They are handed to `page.evaluate`, so each
 * stands alone; `window.joinOptions` are options for `join`.
 */

/** Uses these ICE servers instead of those of the node. */
export function useServers(iceServers) {
  window.joinOptions = { ...window.joinOptions, configure: (configuration) => ({ ...configuration, iceServers }) };
}

/** Has no ICE servers, and hears of candidates of the other side that nobody has: two NATs without a way between them. */
export function hideBehindNat() {
  const opened = (pc) => {
    const add = pc.addIceCandidate.bind(pc);
    pc.addIceCandidate = (candidate) => add(candidate && { ...candidate, candidate: candidate.candidate.replace(/^((?:\S+ ){4})\S+ \d+/, "$1192.0.2.1 9") });
  };
  window.joinOptions = { configure: (configuration) => ({ ...configuration, iceServers: [] }), opened };
}

/** Changes the fingerprint of the other side's certificate, as a man in the middle would. */
export function changeFingerprint() {
  const opened = (pc) => {
    const set = pc.setRemoteDescription.bind(pc);
    pc.setRemoteDescription = ({ type, sdp }) => set({ type, sdp: sdp.replace(/(a=fingerprint:sha-256 )(..)/g, (_, name, byte) => `${name}${byte === "00" ? "01" : "00"}`) });
  };
  window.joinOptions = { opened };
}

/** Joins without WebRTC: what others offer is not answered. */
export function signalOnly() {
  window.joinOptions = { RTCPeerConnection: null };
}

/** Connects to nobody by itself. */
export function waitForConsent() {
  window.joinOptions = { connect: false };
}

/** Sets the clock of the page ahead. @param {number} ms */
export function moveClock(ms) {
  const { now } = Date;
  Date.now = () => now() + ms;
}

/** Holds this page's signals until `window.release()`; `window.offers` counts the offers among them. */
export function holdOffers() {
  const { send } = WebSocket.prototype;
  const queue = [];
  window.offers = 0;
  WebSocket.prototype.send = function hold(text) {
    const { type, data } = JSON.parse(text);
    if (type !== "signal") return send.call(this, text);
    if (data.description?.type === "offer") window.offers += 1;
    queue.push(() => send.call(this, text));
    return undefined;
  };
  window.release = () => {
    WebSocket.prototype.send = send;
    for (const message of queue) message();
  };
}
