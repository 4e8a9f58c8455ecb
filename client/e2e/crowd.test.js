import assert from "node:assert/strict";
import WebSocket from "ws";
import { after, before, test } from "node:test";
import { once } from "node:events";
import { setTimeout as wait } from "node:timers/promises";
import { BINARIES } from "./binaries.js";
import { DRAIN, killNode, nodeCalled, restartNode, reviveNode } from "./nodes.js";
import { SignalClient } from "../src/index.js";
import { startCluster } from "../../deploy/local/cluster.js";

/** Many clients of the SDK without browsers: how soon a whole crowd is back, and that its messages arrive once. */

const LIMITS = { timeout: 120_000 };

const ROOMS = 25;
const MEMBERS = 4;
const WORDS = ["one", "two", "three"];

/** How often everybody says something while nodes are restarted (ms). */
const SAY_EVERY = 200;

/** How often members are looked at (ms). */
const LOOK_EVERY = 10;

/** How soon all but one in a hundred are back in their rooms after their node was killed (ms). */
const BACK_WITHIN = 3_000;

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;

let crowds = 0;

/** How many sockets were asked for, whether one came about or not. */
let dialed = 0;

class CountedWebSocket extends WebSocket {
  /** @param {ConstructorParameters<typeof WebSocket>} args */
  constructor(...args) {
    super(...args);
    dialed += 1;
  }
}

before(async () => {
  cluster = await startCluster({ binaries: BINARIES, nodeEnv: () => DRAIN });
}, LIMITS);

after(() => cluster?.stop());

/** One member, with the messages it hears. */
async function join(room, number) {
  const token = cluster.token(`${room}-${number}`, room);
  const client = new SignalClient({ url: cluster.balancer.origin, token, WebSocket: CountedWebSocket, identity: { storage: null, locks: null } });
  const joined = await client.join(room, { RTCPeerConnection: null });
  const member = { client, room: joined, number, heard: [], left: [], states: [], recovery: "", back: 0 };
  joined.on("signal", ({ data }) => member.heard.push(data));
  joined.on("peerLeft", ({ peer }) => member.left.push(peer.id));
  joined.on("state", (state) => member.states.push(state));
  joined.on("joined", ({ recovery }) => Object.assign(member, { recovery, back: Date.now() }));
  return member;
}

/**
 * Everybody, room by room, until the test ends. The rooms are new ones: a crowd that went before may still be away in
 * its own.
 */
async function gather(t) {
  crowds += 1;
  const rooms = Array.from({ length: ROOMS }, (_, index) => `crowd-${crowds}-${index}`);
  const members = await Promise.all(rooms.flatMap((room) => Array.from({ length: MEMBERS }, (_, number) => join(room, number))));
  // A client that stays open goes on for ever, and the test run with it.
  t.after(() => members.forEach(({ client }) => client.close()));
  return rooms.map((_, index) => members.slice(index * MEMBERS, (index + 1) * MEMBERS));
}

/** Waits until `done` is true of every member. */
async function all(members, done) {
  while (!members.every(done)) await wait(LOOK_EVERY);
}

/**
 * What a member should have heard of the others and has not; whatever it heard must have come once, and
 * in order. Only who was given a snapshot may miss anything.
 */
function missing({ number, heard, recovery }, inside, words) {
  const others = inside.filter((other) => other.number !== number);
  const lost = others.flatMap((other) => {
    const said = words.map((word) => `${other.number} ${word}`);
    const mine = heard.filter((text) => text.startsWith(`${other.number} `));
    assert.deepEqual(mine, said.filter((text) => mine.includes(text)));
    return said.filter((text) => !mine.includes(text));
  });
  assert.ok(lost.length === 0 || recovery === "snapshot", `${lost} after ${recovery}`);
  return lost;
}

/** Everybody says something to everybody else in the room. */
function say(members, word) {
  for (const { room, number } of members) room.signal(`${number} ${word}`);
}

test("a crowd whose node is killed is back within seconds, and everything it said meanwhile is heard once", LIMITS, async (t) => {
  const rooms = await gather(t);
  const members = rooms.flat();
  const { node } = members[0].client;
  const victim = await nodeCalled(cluster, node);
  const hit = members.filter(({ client }) => client.node === node);
  say(members, WORDS[0]);
  await Promise.race(members.map(({ room }) => new Promise((heard) => room.once("signal", heard))));
  // What was said is in the log by now, or on its way there, and not acknowledged.
  const killed = killNode(victim);
  await once(victim.process.process, "exit");
  for (const word of WORDS.slice(1)) say(members, word);
  await all(hit, ({ back }) => back > 0);
  const times = hit.map(({ back }) => back - killed).sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
  t.diagnostic(`${hit.length} of ${members.length} lost their node and were back after ${at(0.5)} ms (p50), ${at(0.99)} ms (p99)`);
  assert.ok(at(0.99) <= BACK_WITHIN, `p99 ${at(0.99)} ms`);
  await all(members, ({ room }) => room.unsettled === 0);
  assert.deepEqual(members.map(({ left }) => left), members.map(() => []));
  const everything = (MEMBERS - 1) * WORDS.length;
  await all(members, ({ heard, recovery }) => heard.length >= everything || recovery === "snapshot");
  const lost = rooms.flatMap((inside) => inside.flatMap((member) => missing(member, inside, WORDS)));
  t.diagnostic(`${lost.length} messages were not heard, by members whom the log was not replayed to`);
  await reviveNode(cluster, victim);
});

test("a crowd does not notice that every node is restarted, and everything it says meanwhile is heard once", LIMITS, async (t) => {
  const rooms = await gather(t);
  const members = rooms.flat();
  const words = [];
  const restarts = (async () => {
    for (const node of cluster.nodes) await restartNode(cluster, node);
  })();
  const done = restarts.then(() => true);
  do {
    words.push(`word ${words.length}`);
    say(members, words.at(-1));
  } while (!(await Promise.race([done, wait(SAY_EVERY, false)])));
  await restarts;
  await all(members, ({ room, heard }) => room.unsettled === 0 && heard.length >= (MEMBERS - 1) * words.length);
  const lost = rooms.flatMap((inside) => inside.flatMap((member) => missing(member, inside, words)));
  t.diagnostic(`${members.length * words.length} messages, each heard once by ${MEMBERS - 1} others`);
  t.diagnostic(`${members.filter(({ states }) => states.length > 0).length} of ${members.length} members were without a socket for a moment`);
  assert.deepEqual([lost, members.flatMap(({ left }) => left)], [[], []]);
});

test("a crowd stays through an outage of Redis that ends with all rooms lost, and talks on", LIMITS, async (t) => {
  const rooms = await gather(t);
  const members = rooms.flat();
  const before = dialed;
  cluster.redis.process.kill();
  await cluster.redis.process.ended;
  say(members, "during");
  // Everybody is told, and asks for another node. The balancer knows of none, so that everybody stays.
  while (dialed < before + members.length) await wait(LOOK_EVERY);
  await cluster.redis.restart();
  const back = Date.now();
  say(members, "after");
  await all(members, ({ room }) => room.state === "joined" && room.unsettled === 0);
  t.diagnostic(`all ${members.length} members talk again ${Date.now() - back} ms after Redis was back`);
  await all(members, ({ room }) => room.peers.size === MEMBERS - 1 && [...room.peers.values()].every(({ away }) => !away));
  assert.deepEqual(members.flatMap(({ left }) => left), []);
  say(members, "at last");
  await all(members, ({ heard }) => heard.filter((text) => text.endsWith(" at last")).length === MEMBERS - 1);
});
