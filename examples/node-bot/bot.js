import { SignalClient } from "@signal-cluster/client";
import { WebSocket } from "ws";

process.env.JWT_KEY_FILE ??= new URL("../jwt.key", import.meta.url).pathname;
const { mintToken } = await import("../first-app/token.js");

const url = process.env.SIGNAL_URL ?? "http://127.0.0.1:8080";
const client = new SignalClient({ url, token: async () => mintToken("bot", ["demo"]), WebSocket });
client.on("state", ({ phase, reason, message = "" }) => console.log(`${phase}: ${reason} ${message}`));

const room = await client.join("demo", { meta: { name: "Bot" }, RTCPeerConnection: null });
room.on("peer", (peer) => {
  console.log(`${peer.meta?.name} is here`);
  room.signal({ text: `Hello, ${peer.meta?.name}` }, { to: peer.id });
});
room.on("peerLeft", ({ peer }) => console.log(`${peer.meta?.name} has left`));
room.on("signal", ({ from, data }) => room.signal({ text: `You said ${JSON.stringify(data)}` }, { to: from }));

process.on("SIGINT", () => room.leave().then(() => client.close()));
