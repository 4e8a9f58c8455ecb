const sdk = load();
const [enter, leave, state, people] = ["enter", "leave", "state", "people"].map((id) => document.getElementById(id));

enter.addEventListener("submit", (event) => {
  event.preventDefault();
  join(new FormData(enter).get("name")).catch(showError);
});

async function showError({ name, code, message }) {
  state.textContent = name === "SignalError" ? (await sdk).explainError(code).what : message;
}

/** Loads the SDK, which every node serves. With a bundler: import { SignalClient } from "@signal-cluster/client". */
async function load() {
  const { signalUrl } = await (await fetch("/config")).json();
  return { signalUrl, ...(await import(`${signalUrl}/client/signal-client.js`)) };
}

async function join(name) {
  const { signalUrl, SignalClient } = await sdk;
  const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
  const client = new SignalClient({ url: signalUrl, token: () => fetchToken(name) });
  client.on("state", ({ reason, todo }) => (state.textContent = `${reason} ${todo}`));
  const room = await client.join("demo", { meta: { name }, stream });
  enter.hidden = !(leave.hidden = false);
  show("me", `${name} (you)`).srcObject = stream;
  people.querySelector("#me video").muted = true;

  room.on("peer", (peer) => {
    const video = show(peer.id, peer.meta.name);
    peer.on("stream", (remote) => (video.srcObject = remote));
  });
  room.on("peerLeft", ({ peer }) => document.getElementById(peer.id)?.remove());
  room.on("left", () => {
    stream.getTracks().forEach((track) => track.stop());
    people.replaceChildren();
    enter.hidden = !(leave.hidden = true);
  });
  leave.onclick = () => room.leave().then(() => client.close());
}

async function fetchToken(name) {
  const answer = await fetch(`/token?name=${encodeURIComponent(name)}`);
  if (!answer.ok) throw new Error(`/token answered ${answer.status}`);
  return answer.text();
}

/** Adds a picture with a name, and returns its video. */
function show(id, name) {
  const figure = people.appendChild(Object.assign(document.createElement("figure"), { id }));
  const video = figure.appendChild(Object.assign(document.createElement("video"), { autoplay: true, playsInline: true }));
  figure.appendChild(document.createElement("figcaption")).textContent = name;
  return video;
}
