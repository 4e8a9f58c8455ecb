import { useEffect, useState } from "react";
import { SignalClient, explainError } from "@signal-cluster/client";

/**
 * Is in a room, with camera and microphone, for as long as the component is shown.
 * @param {string} room
 * @param {string} name
 */
export function useRoom(room, name) {
  const [view, setView] = useState({ status: "", stream: null, people: [] });
  useEffect(() => {
    const gone = new AbortController();
    const change = (part) => gone.signal.aborted || setView((before) => ({ ...before, ...part }));
    const left = enter(room, name, gone.signal, change).catch((error) => change({ status: error.code ? explainError(error.code).what : error.message }));
    return () => {
      gone.abort();
      left.then((leave) => leave?.());
    };
  }, [room, name]);
  return view;
}

/** Joins, tells `change` what is new, and returns what leaves. */
async function enter(name, user, signal, change) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
  const client = new SignalClient({ url: SIGNAL_URL, token: () => fetchToken(user) });
  const leave = () => {
    stream.getTracks().forEach((track) => track.stop());
    return client.close();
  };
  if (signal.aborted) return leave;
  change({ stream });
  client.on("state", ({ reason, todo }) => change({ status: `${reason} ${todo}` }));
  const room = await client.join(name, { meta: { name: user }, stream, signal }).catch((error) => {
    leave();
    throw error;
  });
  follow(room, change);
  return () => room.leave().then(leave);
}

/** Tells who is there, and what each of them shows. */
function follow(room, change) {
  const streams = new Map();
  const tell = () => change({ people: [...room.peers.values()].map(({ id, meta }) => ({ id, name: meta.name, stream: streams.get(id) ?? null })) });
  room.on("peer", (peer) => {
    peer.on("stream", (stream) => {
      streams.set(peer.id, stream);
      tell();
    });
    tell();
  });
  room.on("peerLeft", tell);
}

async function fetchToken(name) {
  const answer = await fetch(`/token?name=${encodeURIComponent(name)}`);
  if (!answer.ok) throw new Error(`/token answered ${answer.status}`);
  return answer.text();
}
