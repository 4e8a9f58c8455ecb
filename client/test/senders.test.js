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
/** What is published under one label. */
const stream = (...tracks) => [{ label: "main", tracks, stream: {}, shape: {} }];

test("calls that overlap end with what the last one says, each track once", async () => {
  const connection = new Connection();
  const senders = new Senders(connection, () => {});
  const [camera, screen, sound] = [track("camera"), track("screen"), track("sound", "audio")];
  await senders.publish(stream(sound, camera));
  await Promise.all([[], stream(sound, camera), stream(sound, camera, screen), stream(sound, screen)].map((each) => senders.publish(each)));
  const sending = connection.sent.filter(([, direction]) => direction === "sendrecv").map(([name]) => name);
  assert.deepEqual(sending.sort(), ["screen", "sound"]);
  assert.ok(connection.transceivers.length <= 3, `${connection.transceivers.length} transceivers`);
});

test("a camera that is switched while the screen is shared takes the place of the camera", async () => {
  const connection = new Connection();
  const senders = new Senders(connection, () => {});
  const screen = track("screen");
  await senders.publish(stream(track("front"), screen));
  await senders.publish(stream(screen, track("back")));
  assert.deepEqual(connection.sent, [["back", "sendrecv"], ["screen", "sendrecv"]]);
});

test("a transceiver that does not send keeps receiving, and one that received nothing sends again", async () => {
  const connection = new Connection();
  const senders = new Senders(connection, () => {});
  const camera = track("camera");
  await senders.publish(stream(camera));
  await senders.publish([]);
  assert.deepEqual(connection.sent, [[null, "recvonly"]]);
  connection.transceivers[0].direction = "inactive";
  await senders.publish(stream(camera));
  assert.deepEqual(connection.sent, [["camera", "sendonly"]]);
});

test("a connection that is closed meanwhile rejects nothing: the next one sends what is published", async () => {
  const connection = new Connection();
  const senders = new Senders(connection, () => {});
  await senders.publish(stream(track("camera")));
  const publishing = senders.publish(stream(track("other")));
  connection.signalingState = "closed";
  await publishing;
});

test("a label keeps its transceiver: a screen shared again takes neither the camera's nor a new one", async () => {
  const connection = new Connection();
  const senders = new Senders(connection, () => {});
  const camera = { label: "main", tracks: [track("camera")], stream: {}, shape: {} };
  const screen = () => ({ label: "screen", tracks: [track("screen")], stream: {}, shape: {} });
  for (const published of [[camera], [camera, screen()], [camera], [], [screen()], [screen(), camera]]) await senders.publish(published);
  assert.deepEqual(connection.sent, [["camera", "sendrecv"], ["screen", "sendrecv"]]);
  connection.transceivers.forEach((transceiver, index) => Object.assign(transceiver, { mid: String(index) }));
  assert.deepEqual(senders.labels, { 0: "main", 1: "screen" });
});

test("a publication that ends while it is muted is told by an offer, since the browser needs none", async () => {
  const connection = new Connection();
  let offers = 0;
  const senders = new Senders(connection, () => (offers += 1));
  const camera = { label: "main", tracks: [track("camera")], stream: {}, shape: {} };
  await senders.publish([camera]);
  await senders.publish([{ ...camera, tracks: [] }]);
  assert.equal(offers, 0);
  await senders.publish([]);
  assert.equal(offers, 1);
});
