import { connect } from "node:net";
import { createServer, request as ask } from "node:http";

/**
 * A page for two as WebRTC courses have it ("create or join"), and a web server that serves it and passes `/socket.io/` on: so the page
 * loads its client from the server and connects to where it came from, as it would with a server of its own.
 */

const PAGE = `<!doctype html>
<title>A call of two</title>
<video id="local" autoplay muted></video>
<video id="remote" autoplay muted></video>
<script src="/socket.io/socket.io.js"></script>
<script>
const page = { events: [], heard: [], first: false, ready: false, stream: null, pc: null };
const socket = io.connect();
const tell = (message) => socket.emit("message", message);

socket.emit("create or join", new URLSearchParams(location.search).get("room"));

socket.on("created", () => { page.first = true; });
for (const name of ["created", "join", "joined", "ready", "full", "bye"]) socket.on(name, () => page.events.push(name));
for (const name of ["join", "joined"]) socket.on(name, () => { page.ready = true; begin(); });
socket.on("disconnect", () => page.events.push("disconnect"));
socket.on("connect", () => page.events.push("connect " + Boolean(socket.recovered)));
socket.on("log", (lines) => console.log(...lines));

socket.on("message", async (message) => {
  if (message === "got user media") return begin();
  if (message.type === "note") return page.heard.push(message.text);
  if (message.type === "offer") {
    begin();
    await page.pc.setRemoteDescription(message);
    await page.pc.setLocalDescription();
    return tell(page.pc.localDescription);
  }
  if (message.type === "answer") return page.pc.setRemoteDescription(message);
  if (message.type === "candidate") return page.pc.addIceCandidate({ sdpMLineIndex: message.label, candidate: message.candidate });
});

navigator.mediaDevices.getUserMedia({ video: true }).then((stream) => {
  page.stream = stream;
  document.querySelector("#local").srcObject = stream;
  tell("got user media");
  if (page.first) begin();
});

function begin() {
  if (page.pc || !page.stream || !page.ready) return;
  const pc = page.pc = new RTCPeerConnection();
  pc.onicecandidate = ({ candidate }) => candidate && tell({ type: "candidate", label: candidate.sdpMLineIndex, id: candidate.sdpMid, candidate: candidate.candidate });
  pc.ontrack = ({ streams }) => { document.querySelector("#remote").srcObject = streams[0]; };
  for (const track of page.stream.getTracks()) pc.addTrack(track, page.stream);
  if (page.first) pc.setLocalDescription().then(() => tell(pc.localDescription));
}

addEventListener("beforeunload", () => tell("bye"));
</script>
`;

/**
 * Serves the page on a free port of the loopback interface.
 * @param {() => string} upstream origin of the balancer of the nodes
 * @returns {Promise<{origin: string, close: () => void}>}
 */
export async function serveCodelab(upstream) {
  const server = createServer((incoming, response) => {
    if (!incoming.url?.startsWith("/socket.io/")) {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      return response.end(PAGE);
    }
    const { method, headers, url } = incoming;
    const passed = ask(new URL(url, upstream()), { method, headers: { ...headers, connection: "close" } }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    response.on("close", () => passed.destroy());
    incoming.pipe(passed);
  });
  server.on("upgrade", (incoming, socket, head) => {
    const { hostname, port } = new URL(upstream());
    const passed = connect(Number(port), hostname, () => {
      const lines = incoming.rawHeaders.reduce((text, part, at) => text + part + (at % 2 ? "\r\n" : ": "), "");
      passed.write(`GET ${incoming.url} HTTP/1.1\r\n${lines}\r\n`);
      passed.write(head);
      passed.pipe(socket).pipe(passed);
    });
    for (const [one, other] of [[socket, passed], [passed, socket]]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { origin: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}
