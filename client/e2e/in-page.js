/**
 * Runs inside the page: two Peers of the SDK and a pipe between them that keeps order and takes its
 * time, as a signaling server does. Everything WebRTC here is the browser's own.
 */
export async function makePair({ stream = true } = {}) {
  const { Peer } = await import("/client/peer.js");
  const { systemClock } = await import("/client/clock.js");
  const picture = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 120 });
    const context = canvas.getContext("2d");
    setInterval(() => {
      context.fillStyle = `hsl(${performance.now() % 360} 60% 50%)`;
      context.fillRect(0, 0, 160, 120);
    }, 50);
    return canvas.captureStream(20);
  };
  const media = () => ({ RTCPeerConnection, iceServers: () => [], iceTransportPolicy: "all", stream: stream ? picture() : null });
  const pair = { errors: [], descriptions: [] };
  const make = (name, other, polite) => {
    const member = { id: other, n: polite ? 1 : 2, polite, away: false, meta: {} };
    const send = (data) => {
      if (data.description) pair.descriptions.push(`${name} ${data.description.type}`);
      const copy = JSON.stringify(data);
      setTimeout(() => pair[other].receive(JSON.parse(copy)), 5);
    };
    const shared = media();
    const peer = new Peer({ member, media: shared, clock: systemClock, send });
    peer.on("error", (error) => pair.errors.push(`${name}: ${error}`));
    peer.on("message", (text) => text.startsWith("echo ") || peer.send(`echo ${text}`));
    return Object.assign(peer, { shared });
  };
  pair.a = make("a", "b", true);
  pair.b = make("b", "a", false);
  pair.until = async (condition) => {
    for (let tries = 0; tries < 600; tries += 1) {
      if (await condition()) return true;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    return false;
  };
  pair.connected = () => pair.until(() => pair.a.connected && pair.b.connected);
  pair.frames = async (count) => {
    const decoded = async (peer) => (await peer.facts()).framesDecoded;
    return pair.until(async () => (await decoded(pair.a)) >= count && (await decoded(pair.b)) >= count);
  };
  pair.echo = (from, text) => new Promise((resolve) => {
    from.on("message", (reply) => reply === `echo ${text}` && resolve(reply));
    from.send(text);
  });
  return pair;
}
