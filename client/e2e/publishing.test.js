import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPairs } from "./pairs.js";

/** What a peer sends, read back from the pictures at the other side. */

let pairs;

before(async () => {
  pairs = await openPairs();
});

after(() => pairs?.close());

test("a screen shared four times takes as many m-lines as one shared once, and is never the camera", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const stream = new MediaStream([pair.solid("red")]);
    pair.a.share(stream);
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const seen = [];
    for (let share = 0; share < 4; share += 1) {
      const screen = pair.solid("blue");
      stream.addTrack(screen);
      await pair.a.share(stream);
      await pair.a.share(stream);
      await pair.until(() => pair.b.stream.getVideoTracks().length === 2);
      const shared = await pair.coloursOf(pair.b.stream, 2);
      stream.removeTrack(screen);
      await pair.a.share(stream);
      await pair.until(() => pair.b.stream.getVideoTracks().length === 1);
      seen.push({ shared, alone: await pair.coloursOf(pair.b.stream, 1), lines: pair.mediaLines(pair.a) });
    }
    return { seen };
  }, { stream: false });
  assert.deepEqual(result.seen, Array(4).fill({ shared: ["blue", "red"], alone: ["red"], lines: 2 }));
});

test("a stream that is published again after none is seen again, on the same m-lines", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const publish = (stream) => pair.a.share(stream);
    publish(new MediaStream([pair.solid("red")]));
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const video = pair.show(pair.b);
    const seen = [];
    for (const colour of ["green", "blue", "red", "green"]) {
      await publish(null);
      const dark = await pair.until(() => pair.b.stream === null);
      await publish(new MediaStream([pair.solid(colour)]));
      await pair.until(() => pair.colourOf(video) === colour);
      seen.push({ dark, colour: pair.colourOf(video), lines: pair.mediaLines(pair.a) });
    }
    return { seen };
  }, { stream: false });
  assert.deepEqual(result.seen, ["green", "blue", "red", "green"].map((colour) => ({ dark: true, colour, lines: 1 })));
});

test("a track that replaces one of its kind is seen without negotiation", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    pair.a.share(new MediaStream([pair.solid("red")]));
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const video = pair.show(pair.b);
    await pair.until(() => pair.colourOf(video) === "red");
    const before = pair.descriptions.length;
    await pair.a.share(new MediaStream([pair.solid("blue")]));
    await pair.until(() => pair.colourOf(video) === "blue");
    return { colour: pair.colourOf(video), negotiated: pair.descriptions.length - before };
  }, { stream: false });
  assert.deepEqual([result.colour, result.negotiated], ["blue", 0]);
});

test("both sides stop and send again, on the m-lines they share", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const sides = [[pair.a, "red"], [pair.b, "blue"]];
    const streams = sides.map(([, colour]) => new MediaStream([pair.solid(colour)]));
    sides.forEach(([peer], index) => peer.share(streams[index]));
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const videos = sides.map(([peer]) => pair.show(peer));
    for (const next of [[null, null], streams, [null, null], streams]) {
      await Promise.all(sides.map(([peer], index) => peer.share(next[index])));
      await pair.until(() => sides.every(([peer], index) => (peer.stream === null) === (next[index] === null)));
      await pair.quiet();
    }
    await pair.until(() => videos.every(pair.colourOf));
    return { colours: videos.map(pair.colourOf), lines: sides.map(([peer]) => pair.mediaLines(peer)) };
  }, { stream: false });
  assert.deepEqual([result.colours, result.lines], [["blue", "red"], [1, 1]]);
});

test("a screen has its own label, is replaced, muted and stopped by itself, and each is told", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const told = [];
    for (const event of ["added", "changed", "removed"]) {
      pair.b.on(event, ({ label, muted }) => told.push(`${event} ${label}${muted.video ? " muted" : ""}`));
    }
    const sees = (count) => pair.until(() => told.length === count);
    pair.a.share(pair.solid("red"));
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const screen = await pair.a.share(pair.solid("blue"), { label: "screen" });
    await sees(2);
    const labelled = {};
    for (const [label, { stream }] of pair.b.streams) labelled[label] = await pair.coloursOf(stream, 1);
    await screen.replace(pair.solid("green"));
    const { stream } = pair.b.streams.get("screen");
    await pair.until(async () => (await pair.coloursOf(stream, 1))[0] === "green");
    const replaced = await pair.coloursOf(stream, 1);
    await screen.mute("video", true);
    await sees(3);
    await screen.mute("video", false);
    await sees(4);
    const again = await pair.coloursOf(pair.b.streams.get("screen").stream, 1);
    await screen.mute("video", true);
    await sees(5);
    await screen.stop();
    await sees(6);
    return { told, labelled, replaced, again, lines: pair.mediaLines(pair.a), main: await pair.coloursOf(pair.b.stream, 1), left: [...pair.b.streams.keys()] };
  }, { stream: false });
  assert.deepEqual(result.told, ["added main", "added screen", "changed screen muted", "changed screen", "changed screen muted", "removed screen muted"]);
  assert.deepEqual(result.labelled, { main: ["red"], screen: ["blue"] });
  assert.deepEqual([result.replaced, result.again, result.main], [["green"], ["green"], ["red"]]);
  assert.deepEqual([result.lines, result.left], [2, ["main"]]);
});

test("a publication goes to those it names, within its bitrate, in the codec it prefers", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const publication = await pair.a.share(new MediaStream([pair.solid("red")]), { maxBitrate: 50_000, codecs: ["VP9"], hint: "detail" });
    await pair.a.share(new MediaStream([pair.solid("blue")]), { label: "private", to: ["somebody else"] });
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const bounds = () => pair.a.pc.getSenders().map((sender) => sender.getParameters().encodings[0]?.maxBitrate ?? null);
    const codecOf = async () => {
      const report = [...(await pair.b.pc.getStats()).values()];
      const inbound = report.find(({ type, codecId }) => type === "inbound-rtp" && codecId);
      return report.find(({ id }) => id === inbound?.codecId)?.mimeType;
    };
    await pair.until(async () => (await codecOf()) !== undefined);
    const first = { bounds: bounds(), codec: await codecOf(), labels: [...pair.b.streams.keys()], hint: publication.tracks[0].contentHint };
    await publication.limit({ maxBitrate: 20_000 });
    const lower = bounds();
    await publication.limit({});
    return { first, lower, none: bounds() };
  }, { stream: false });
  assert.deepEqual(result.first, { bounds: [50_000], codec: "video/VP9", labels: ["main"], hint: "detail" });
  assert.deepEqual([result.lower, result.none], [[20_000], [null]]);
});

test("members that are left out are connected once both sides want it, and either may end it", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const configured = [];
    pair.a.shared.connect = () => false;
    pair.b.shared.configure = (configuration, { id }) => (configured.push(id), { ...configuration, bundlePolicy: "max-bundle" });
    pair.a.start({ offers: false });
    pair.b.start({ offers: true });
    await pair.until(() => pair.b.pc?.signalingState === "have-local-offer");
    const alone = [pair.a.state, pair.b.state];
    pair.a.connect();
    const connected = await pair.connected();
    pair.b.disconnect();
    await pair.until(() => pair.a.state === "new");
    const ended = [pair.a.state, pair.b.state];
    pair.b.connect();
    const again = await pair.connected();
    return { alone, connected, ended, again, policy: pair.b.pc.getConfiguration().bundlePolicy, configured: configured[0] };
  });
  assert.deepEqual(result.alone, ["new", "connecting"]);
  assert.deepEqual([result.connected, result.ended, result.again], [true, ["new", "new"], true]);
  assert.deepEqual([result.policy, result.configured], ["max-bundle", "a"]);
});
