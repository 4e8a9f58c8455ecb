import { connect, createServer } from "node:net";
import { once } from "node:events";

/**
 * Stands between k6 and the cluster and spoils what the nodes say, in one way each: the negative twin of a run that
 * passes. Clients are passed on untouched; frames of nodes are read, since they are not masked (RFC 6455, section 5.1).
 *
 * @typedef {(frame: any, memory: any) => any[]} Sabotage what a client is sent instead of a frame; `memory` is one per connection
 */

/** The signal that is spoiled: late enough for a call to be under way. */
const VICTIM = 5;

/** How late everything comes, so that the thresholds of `smoke` are missed: 5 s for one step, 15 s for a return (ms). */
const LATE = { "late": 6_000, "late-return": 8_000 };

/** @type {Record<string, Sabotage>} */
export const sabotages = {
  lose: onSignal(() => []),
  // One more `seq`: the same one would be dropped by the client, as it should be.
  double: onSignal((frame) => [frame, { ...frame, seq: frame.seq + 1 }]),
  swap: (frame, memory) => {
    if (frame.type !== "signal") return [frame];
    const { held } = memory;
    memory.count = (memory.count ?? 0) + 1;
    if (memory.count === VICTIM) return (memory.held = frame), [];
    if (!held) return [frame];
    memory.held = null;
    return [{ ...frame, seq: held.seq }, { ...held, seq: frame.seq }];
  },
  fault: onSignal((frame) => [frame, { type: "error", code: "internal", retry: false }]),
  reset: (frame) => (frame.type === "joined" ? [frame, { type: "reset", room: frame.room, seq: frame.seq, mid: frame.mid, peers: [] }] : [frame]),
  forget: (frame) => (frame.recovery ? [{ ...frame, recovery: "new", mid: 0, peers: frame.peers ?? [] }] : [frame]),
  mute: (frame) => (frame.type === "welcome" ? [] : [frame]),
  hush: (frame) => (frame.type === "peer_left" ? [] : [frame]),
  cut: onSignal((frame, memory) => (memory.cut(), [])),
  pass: (frame) => [frame],
};

/** @param {Sabotage} spoil @returns {Sabotage} */
function onSignal(spoil) {
  return (frame, memory) => {
    if (frame.type !== "signal") return [frame];
    memory.count = (memory.count ?? 0) + 1;
    return memory.count === VICTIM ? spoil(frame, memory) : [frame];
  };
}

/**
 * Listens on a free port of loopback.
 * @param {string} target an address, of a WebSocket or of HTTP
 * @param {string} name of a sabotage; `late` delays all that comes after the head of an answer, `late-return` does so
 *   but for the first connections of everybody, `mute-once` is `mute` for the first connection, `refuse` answers every
 *   upgrade with 503
 * @param {number} [members] how many there are
 */
export async function startSaboteur(target, name, members = Infinity) {
  const { hostname, port } = new URL(target);
  let connections = 0;
  let lateFromNow;
  const sockets = new Set();
  const server = createServer((client) => {
    if (name === "refuse") return void client.end("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    connections += 1;
    const late = lateFromNow ?? (name === "late-return" && connections <= members ? undefined : LATE[name]);
    const node = connect({ host: hostname, port: Number(port) });
    const ends = [client, node];
    for (const [index, end] of ends.entries()) {
      sockets.add(end);
      end.on("error", () => {}).on("close", () => (sockets.delete(end), ends[1 - index].destroy()));
    }
    client.pipe(node);
    const isFirst = connections === 1;
    const spoil = reader(sabotages[name === "mute-once" && isFirst ? "mute" : name] ?? sabotages.pass, { cut: () => ends.forEach((end) => end.destroy()) });
    const send = (/** @type {Buffer} */ bytes) => client.destroyed || client.write(bytes);
    node.on("data", late ? postpone(send, late) : (bytes) => send(spoil(bytes)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = target.replace(`:${port}`, `:${/** @type {any} */ (server.address()).port}`);
  const stop = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  /** Delays all that comes over connections from now on. @param {number} ms */
  const delay = (ms) => void (lateFromNow = ms);
  return { url, stop, delay };
}

/**
 * Lets the head of an answer pass and holds back the rest. Held back as well, an upgrade would reach k6 together with
 * the `welcome` after it, which k6 then drops: see k6/lib/socket.js.
 * @param {(bytes: Buffer) => void} send
 * @param {number} late how long (ms)
 */
function postpone(send, late) {
  let begun = false;
  return (/** @type {Buffer} */ bytes) => {
    const head = begun ? 0 : bytes.indexOf("\r\n\r\n") + 4;
    begun = true;
    send(bytes.subarray(0, head));
    setTimeout(send, late, bytes.subarray(head));
  };
}

/** Makes a function from what a node sends to what the client gets. @param {Sabotage} sabotage @param {any} memory */
function reader(sabotage, memory) {
  let pending = Buffer.alloc(0);
  let upgraded = false;
  return (/** @type {Buffer} */ bytes) => {
    pending = Buffer.concat([pending, bytes]);
    const out = [];
    if (!upgraded) {
      const end = pending.indexOf("\r\n\r\n") + 4;
      if (end < 4) return Buffer.alloc(0);
      upgraded = true;
      out.push(pending.subarray(0, end));
      pending = pending.subarray(end);
    }
    for (let frame = first(pending); frame; frame = first(pending)) {
      pending = pending.subarray(frame.size);
      out.push(...(frame.text === null ? [frame.bytes] : sabotage(JSON.parse(frame.text), memory).map(encode)));
    }
    return Buffer.concat(out);
  };
}

/** The first whole frame, or null (RFC 6455, section 5.2). @param {Buffer} bytes */
function first(bytes) {
  if (bytes.length < 2) return null;
  const short = bytes[1] & 0x7f;
  const head = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < head) return null;
  const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  const size = head + length;
  if (bytes.length < size) return null;
  const isText = (bytes[0] & 0x0f) === 1;
  return { size, bytes: bytes.subarray(0, size), text: isText ? bytes.toString("utf8", head, size) : null };
}

/** @param {object} frame */
function encode(frame) {
  const body = Buffer.from(JSON.stringify(frame));
  if (body.length < 126) return Buffer.concat([Buffer.from([0x81, body.length]), body]);
  const head = Buffer.from([0x81, 126, 0, 0]);
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}
