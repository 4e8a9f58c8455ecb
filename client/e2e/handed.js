import WebSocket from "ws";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { relayUrls } from "./pushes.js";

/**
 * Joins as a new member without a browser and returns the ICE servers that it is handed, and where its relays are.
 * @param {string} origin of a node or balancer
 * @param {{room: string, token: string, headers?: Record<string, string>}} options
 * @returns {Promise<{iceServers: RTCIceServer[], urls: string[]}>}
 */
export async function joinForServers(origin, { room, token, headers = {} }) {
  const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/ws`, ["signal.v1", `bearer.${token}`], { headers });
  try {
    await once(socket, "message"); // welcome
    socket.send(JSON.stringify({ type: "join", id: 1, room, key: randomBytes(16).toString("base64url"), try: 1 }));
    const [text] = await once(socket, "message");
    const { iceServers } = JSON.parse(text).ice;
    return { iceServers, urls: relayUrls(iceServers) };
  } finally {
    socket.close();
  }
}
