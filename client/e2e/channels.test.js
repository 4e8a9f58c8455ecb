import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPairs } from "./pairs.js";

/** Data channels, calls and files between two peers in a real browser. */

let pairs;

before(async () => {
  pairs = await openPairs();
});

after(() => pairs?.close());

test("a channel carries objects, bytes and what was sent before anybody listened, and outlives the connection", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const { channel, onChannel } = await import("/client/channels.js");
    const opened = [];
    onChannel(pair.b, (one) => opened.push(one));
    const early = channel(pair.a, "chat").send({ early: true });
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await early;
    await pair.until(() => opened.length === 1);
    await channel(pair.a, "chat").send(new Uint8Array([1, 2, 3]));
    const got = [];
    await pair.until(() => pair.a.connected);
    opened[0].on("message", (data) => got.push(data instanceof ArrayBuffer ? [...new Uint8Array(data)] : data));
    await pair.until(() => got.length === 2);
    const before = pair.b.pc;
    pair.a.renew({ offers: true });
    await channel(pair.a, "chat").send("after");
    await pair.until(() => got.length === 3);
    const back = [];
    channel(pair.a, "chat").on("message", (data) => back.push(data));
    await opened[0].send("answer");
    await pair.until(() => back.length === 1);
    return { got, back, replaced: pair.b.pc !== before, label: opened[0].label };
  });
  assert.deepEqual(result.got, [{ early: true }, [1, 2, 3], "after"]);
  assert.deepEqual([result.back, result.replaced, result.label], [["answer"], true, "chat"]);
});

test("send waits where the browser has no room, and says what no connection takes", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const { channel } = await import("/client/channels.js");
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    const bulk = channel(pair.a, "bulk");
    let received = 0;
    channel(pair.b, "bulk").on("message", (data) => (received += data.byteLength));
    await pair.connected();
    const block = new Uint8Array(64 * 1024);
    for (let sent = 0; sent < 512; sent += 1) await bulk.send(block);
    const all = await pair.until(() => received === 512 * block.length);
    const tooLarge = await bulk.send(new Uint8Array(8 * 1024 * 1024)).catch(({ code }) => code);
    pair.a.close();
    return { all, tooLarge, closed: await bulk.send("x").catch(({ code }) => code) };
  });
  assert.deepEqual([result.all, result.tooLarge, result.closed], [true, "too_large", "closed"]);
});

test("a call is answered, refused, failed, timed out, aborted", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const { rpc } = await import("/client/rpc.js");
    const { Emitter } = await import("/client/events.js");
    const roomOf = (peer) => Object.assign(new Emitter(), { current: (name) => (name === "peer" ? [peer] : []) });
    const [one, two] = [rpc(roomOf(pair.a)), rpc(roomOf(pair.b))];
    two.on("add", ({ a, b }) => a + b);
    two.on("fail", () => Promise.reject(new Error("no such file")));
    two.on("never", () => new Promise(() => {}));
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    const outcome = (call) => call.then((value) => value, ({ name, code, message }) => [name, code, message]);
    const abort = new AbortController();
    const aborted = outcome(one.call(pair.a, "never", null, { signal: abort.signal }));
    const early = await outcome(one.call(pair.a, "add", { a: 1, b: 2 }));
    abort.abort();
    return {
      early,
      unknown: await outcome(one.call(pair.a, "nothing")),
      failed: await outcome(one.call(pair.a, "fail")),
      late: await outcome(one.call(pair.a, "never", null, { timeout: 50 })),
      aborted: (await aborted)[0],
    };
  });
  const { early, unknown, failed, late, aborted } = result;
  assert.equal(early, 3);
  assert.deepEqual(unknown, ["RpcError", "no_method", "the member has no method nothing"]);
  assert.deepEqual(failed, ["RpcError", "failed", "no such file"]);
  assert.deepEqual([late[1], aborted], ["timeout", "AbortError"]);
});

test("a file goes on where it was when the connection is replaced, byte for byte", { timeout: 120_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const { sendFile, onFile } = await import("/client/files.js");
    const parts = Array.from({ length: 24 }, (_, index) => new Uint8Array(1024 * 1024).map((_, at) => (at * 31 + index * 7) & 255));
    const file = new File(parts, "film.bin", { type: "application/octet-stream" });
    const received = new Promise((resolve) => onFile(pair.b, (offer) => resolve(offer.accept().then((blob) => ({ blob, name: offer.name, size: offer.size })))));
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    let replaced = 0;
    const progress = ({ sent, size }) => {
      if (sent > size / 3 && replaced === 0) pair.a.renew({ offers: !!++replaced });
    };
    await sendFile(pair.a, file, { progress });
    const { blob, name, size } = await received;
    const digest = async (data) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", await data.arrayBuffer()))].join();
    return { equal: (await digest(blob)) === (await digest(file)), name, size: size === file.size, replaced };
  });
  assert.deepEqual([result.equal, result.name, result.size, result.replaced], [true, "film.bin", true, 1]);
});

test("a file is refused, cancelled, empty, or its receiver leaves", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const { sendFile, onFile } = await import("/client/files.js");
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const code = (promise) => promise.then((value) => value ?? "done", ({ code, name }) => (typeof code === "string" ? code : name));
    const stop = onFile(pair.b, (offer) => offer.refuse());
    const refused = await code(sendFile(pair.a, new Blob(["x"])));
    stop();
    let taken;
    onFile(pair.b, (offer) => (taken = code(offer.accept().then(({ size }) => size))));
    const empty = [await code(sendFile(pair.a, new Blob([]))), await taken];
    const abort = new AbortController();
    const large = new Blob([new Uint8Array(64 * 1024 * 1024)]);
    const cancelled = [await code(sendFile(pair.a, large, { signal: abort.signal, progress: () => abort.abort() })), await taken];
    const left = code(sendFile(pair.a, large, { progress: () => pair.b.close() }));
    await pair.until(() => pair.b.state === "closed");
    pair.a.close();
    return { refused, empty, cancelled, left: [await left, await taken] };
  });
  assert.deepEqual(result.refused, "refused");
  assert.deepEqual(result.empty, ["done", 0]);
  assert.deepEqual(result.cancelled, ["AbortError", "cancelled"]);
  assert.deepEqual(result.left, ["closed", "closed"]);
});

test("a file arrives, and its sender is told, when the connection that is replaced has lost the offer or the end; a sink that fails ends it", { timeout: 60_000 }, async () => {
  const result = await pairs.run(async (pair) => {
    const { sendFile, onFile } = await import("/client/files.js");
    const sizes = [];
    let take = (offer) => offer.accept().then(({ size }) => {
      sizes.push(size);
      pair.b.renew({ offers: true });
    });
    onFile(pair.b, (offer) => take(offer));
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const sent = sendFile(pair.a, new Blob(["twelve bytes"]));
    pair.a.renew({ offers: true });
    await sent;
    await pair.connected();
    const failing = () => new WritableStream({ write: () => Promise.reject(new Error("disk full")) });
    let failed;
    take = (offer) => (failed = offer.accept(failing()).catch(({ message }) => message));
    const refused = await sendFile(pair.a, new Blob(["x"])).catch(({ code }) => code);
    return { sizes, refused, failed: await failed };
  });
  assert.deepEqual([result.sizes, result.refused, result.failed], [[12], "refused", "disk full"]);
});
