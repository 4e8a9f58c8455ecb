import assert from "node:assert/strict";
import { test } from "node:test";
import { BO, joined } from "./support/room.js";

const TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl";

test("a dump says how everything stands, and holds no token, key, meta or data", async () => {
  const { server, client, room } = await joined({ peers: [BO] }, { token: TOKEN });
  room.signal({ secret: "SDP v=0 192.0.2.1" }, { to: "p_bo" });
  server.say({ type: "error", room: "demo", mid: 1, code: "peer_not_found", retry: false, message: "gone" });
  const dump = await client.dump();
  assert.equal(dump.state.phase, "open");
  assert.equal(dump.rooms[0].peers[0].id, "p_bo");
  assert.deepEqual(dump.log.filter(({ what }) => what === "sent").map(({ type }) => type), ["join", "signal"]);
  assert.equal(dump.log.at(-1)?.code, "peer_not_found");
  const text = JSON.stringify(dump);
  const [{ key }] = server.sent("join");
  for (const secret of [TOKEN, "192.0.2.1", "Bo", key]) assert.ok(!text.includes(secret), secret);
});

test("the hook log is told of each entry as it is made", async () => {
  const told = [];
  const { room } = await joined({}, { log: (entry) => told.push(entry) });
  room.signal("x");
  assert.deepEqual(told.filter(({ what }) => what === "state").map(({ phase }) => phase), ["connecting", "open"]);
  assert.equal(told.at(-1).type, "signal");
  assert.equal(typeof told.at(-1).at, "number");
});

test("the hook retry decides when the next attempt is made, and whether", async () => {
  const asked = [];
  const waits = [5000, undefined, false];
  const { server, client } = await joined({}, { retry: (attempt, { code }) => (asked.push([attempt, code]), waits[asked.length - 1]) });
  server.close(1006);
  assert.equal(client.state.retryIn, 5000);
  await server.clock.pass(5000);
  server.close(1006);
  assert.ok(client.state.retryIn <= 1600, "as the SDK finds right");
  await server.clock.pass(1600);
  server.close(1006);
  assert.deepEqual(asked, [[0, 1006], [1, 1006], [2, 1006]]);
  assert.equal(client.state.phase, "stopped");
});
