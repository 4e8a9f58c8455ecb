import assert from "node:assert/strict";
import { test } from "node:test";
import { ASK_AGAIN_AFTER, IceServers, askIn } from "../src/ice.js";
import { FakeClock } from "./support/clock.js";

const FRESH = { iceServers: [{ urls: ["turn:turn.test"], username: "u", credential: "c" }], ttl: 600, refreshAfter: 300 };

function holding() {
  const clock = new FakeClock();
  const seen = { asked: [], servers: [], warnings: [] };
  const ice = new IceServers({ clock, ask: () => seen.asked.push(clock.now()) });
  ice.on("servers", (how) => seen.servers.push(how));
  ice.on("warning", (warning) => seen.warnings.push(warning?.code ?? null));
  return { clock, ice, ...seen };
}

test("fresh servers are asked for half a minute before the old ones expire", async () => {
  const { clock, ice, asked } = holding();
  ice.accept(FRESH);
  await clock.pass(569_999);
  assert.deepEqual(asked, []);
  await clock.pass(1);
  assert.deepEqual(asked, [570_000]);
});

test("a short-lived credential is renewed after four fifths of its life", () => {
  assert.equal(askIn({ ttl: 10 }), 8_000);
});

test("servers that are pushed in time make asking unnecessary", async () => {
  const { clock, ice, asked } = holding();
  for (let push = 0; push < 4; push += 1) {
    ice.accept(FRESH);
    await clock.pass(300_000);
  }
  assert.deepEqual(asked, []);
});

test("a question without an answer is asked again", async () => {
  const { clock, ice, asked } = holding();
  ice.accept(FRESH);
  await clock.pass(570_000 + ASK_AGAIN_AFTER);
  assert.deepEqual(asked, [570_000, 570_000 + ASK_AGAIN_AFTER]);
});

test("no relay is a readable warning that ends when there is one", () => {
  const { ice, warnings } = holding();
  ice.accept(null);
  assert.match(ice.warning.what, /No relay/);
  ice.accept(FRESH);
  assert.deepEqual(warnings, ["no_relay", null]);
});

test("losing the relays keeps the old list, whose credentials may still be good", () => {
  const { ice } = holding();
  ice.accept(FRESH);
  ice.accept(null);
  assert.deepEqual(ice.list, FRESH.iceServers);
});

test("peers learn whether the relay cuts allocations whose credential is over", () => {
  const { ice, servers } = holding();
  ice.accept({ ...FRESH, enforcement: "allocate" });
  ice.accept({ ...FRESH, enforcement: "strict" });
  assert.deepEqual(servers, [{ strict: false }, { strict: true }]);
});

test("calls without a path have fresh servers asked for, however many there are, once in a while", async () => {
  const { clock, ice, asked } = holding();
  ice.accept(FRESH);
  for (let calls = 0; calls < 3; calls += 1) ice.want();
  await clock.pass(ASK_AGAIN_AFTER);
  ice.want();
  assert.deepEqual(asked, [0, ASK_AGAIN_AFTER]);
});
