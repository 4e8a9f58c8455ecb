/**
 * Runs inside the page: two Peers of the SDK and a pipe between them that keeps order and takes its
 * time, as a signaling server does. Everything WebRTC here is the browser's own.
 */
export async function makePair({ stream = true } = {}) {
  const { Peer } = await import("/client/peer.js");
  const { Publications } = await import("/client/publication.js");
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
  const media = (published) => ({ RTCPeerConnection, iceServers: () => [], iceTransportPolicy: "all", publications: new Publications(published) });
  const pair = { errors: [], descriptions: [] };
  const make = (name, other, polite) => {
    const member = { id: other, n: polite ? 1 : 2, polite, away: false, meta: {} };
    const send = (data) => {
      if (data.description) pair.descriptions.push(`${name} ${data.description.type}`);
      const copy = JSON.stringify(data);
      setTimeout(() => pair[other].receive(JSON.parse(copy)), 5);
    };
    const shared = media(async () => peer.publish());
    const peer = new Peer({ member, media: shared, clock: systemClock, send });
    peer.on("error", (error) => pair.errors.push(`${name}: ${error}`));
    peer.on("message", (text) => text.startsWith("echo ") || peer.send(`echo ${text}`));
    const share = (media, options) => shared.publications.publish(media, options);
    if (stream) share(picture());
    return Object.assign(peer, { shared, share });
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
  /** A video track of one colour. */
  pair.solid = (colour) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 120 });
    const context = canvas.getContext("2d");
    setInterval(() => {
      context.fillStyle = colour;
      context.fillRect(0, 0, 160, 120);
    }, 50);
    return canvas.captureStream(20).getVideoTracks()[0];
  };
  /** Shows what `peer` receives, as a page does that sets `srcObject` at each event `stream`. */
  pair.show = (peer) => {
    const video = Object.assign(document.createElement("video"), { autoplay: true, muted: true });
    document.body.append(video);
    peer.on("stream", (stream) => {
      video.srcObject = stream;
    });
    return video;
  };
  /** The name of the colour in the middle of `video`: red, green or blue; null without a picture. */
  pair.colourOf = (video) => {
    if (video.videoWidth === 0) return null;
    const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    context.drawImage(video, 80, 60, 1, 1, 0, 0, 1, 1);
    const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
    const brightest = Math.max(red, green, blue);
    return brightest < 60 ? null : ["red", "green", "blue"][[red, green, blue].indexOf(brightest)];
  };
  /** The colours of all video tracks of `stream`, in alphabetical order, once there are `count` pictures. */
  pair.coloursOf = async (stream, count) => {
    const videos = stream.getVideoTracks().map((track) => {
      const video = Object.assign(document.createElement("video"), { autoplay: true, muted: true });
      video.srcObject = new MediaStream([track]);
      return video;
    });
    await pair.until(() => videos.filter(pair.colourOf).length >= count);
    return videos.map(pair.colourOf).sort();
  };
  pair.mediaLines = (peer) => peer.pc.localDescription.sdp.match(/^m=(audio|video)/gm).length;
  pair.quiet = () => pair.until(() => [pair.a, pair.b].every(({ pc }) => pc.signalingState === "stable"));
  pair.echo = (from, text) => new Promise((resolve) => {
    from.on("message", (reply) => reply === `echo ${text}` && resolve(reply));
    from.send(text);
  });
  return pair;
}
