import assert from "node:assert/strict";
import { test } from "node:test";
import { Senders } from "../src/senders.js";
import { settle } from "./support/clock.js";

/** The transceivers of an RTCPeerConnection; `replaceTrack` takes its time, as a browser's does. */
class Connection {
  signalingState = "stable";
  transceivers = [];
  getTransceivers = () => this.transceivers;

  addTrack(track, stream) {
    const sender = { track, stream, replaceTrack: (next) => this.#replace(sender, next) };
    this.transceivers.push({ sender, receiver: { track: { kind: track.kind } }, direction: "sendrecv" });
    return sender;
  }

  async #replace(sender, next) {
    await settle();
    if (this.signalingState === "closed") throw new Error("closed");
    sender.track = next;
  }

  get sent() {
    return this.transceivers.map(({ sender, direction }) => [sender.track?.name ?? null, direction]);
  }
}

const track = (name, kind = "video") => ({ name, kind });
const stream = (...tracks) => ({ getTracks: () => tracks });

test("calls that overlap end with what the last one says, each track once", async () => {
  const connection = new Connection();
  const senders = new Senders(connection);
  const [camera, screen, sound] = [track("camera"), track("screen"), track("sound", "audio")];
  await senders.publish(stream(sound, camera));
  await Promise.all([null, stream(sound, camera), stream(sound, camera, screen), stream(sound, screen)].map((each) => senders.publish(each)));
  const sending = connection.sent.filter(([, direction]) => direction === "sendrecv").map(([name]) => name);
  assert.deepEqual(sending.sort(), ["screen", "sound"]);
  assert.ok(connection.transceivers.length <= 3, `${connection.transceivers.length} transceivers`);
});

test("a camera that is switched while the screen is shared takes the place of the camera", async () => {
  const connection = new Connection();
  const senders = new Senders(connection);
  const screen = track("screen");
  await senders.publish(stream(track("front"), screen));
  await senders.publish(stream(screen, track("back")));
  assert.deepEqual(connection.sent, [["back", "sendrecv"], ["screen", "sendrecv"]]);
});

test("a transceiver that does not send keeps receiving, and one that received nothing sends again", async () => {
  const connection = new Connection();
  const senders = new Senders(connection);
  const camera = track("camera");
  await senders.publish(stream(camera));
  await senders.publish(null);
  assert.deepEqual(connection.sent, [[null, "recvonly"]]);
  connection.transceivers[0].direction = "inactive";
  await senders.publish(stream(camera));
  assert.deepEqual(connection.sent, [["camera", "sendonly"]]);
});

test("a connection that is closed meanwhile rejects nothing: the next one sends what is published", async () => {
  const connection = new Connection();
  const senders = new Senders(connection);
  await senders.publish(stream(track("camera")));
  const publishing = senders.publish(stream(track("other")));
  connection.signalingState = "closed";
  await publishing;
});
