import { SignalClient } from "../../src/index.js";
import { FakeLocks, FakeServer, FakeStorage } from "./server.js";

export const BO = { id: "p_bo", n: 3, user: "bo", polite: true, away: false, meta: { name: "Bo" } };
export const CY = { id: "p_cy", n: 8, user: "cy", polite: false, away: false, meta: {} };

/** A client that has asked to join `demo`, before the server answered. */
export async function asking({ storage = new FakeStorage(), join = {}, welcome = true, ...options } = {}) {
  const server = new FakeServer();
  const identity = { storage, locks: new FakeLocks() };
  const client = new SignalClient(server.options({ identity, ...options }));
  const joining = client.join("demo", { meta: { name: "Ana" }, ...join });
  joining.catch(() => {});
  await server.accept(1, { welcome });
  return { server, client, joining, storage };
}

/** A client that is in the room, with what its room emits from now on. */
export async function joined(fields, options) {
  const context = await asking(options);
  context.server.joined(fields);
  const room = await context.joining;
  const events = [];
  for (const name of ["joined", "peer", "peerLeft", "peerUpdated", "signal", "left", "reset", "error", "state"]) {
    room.on(name, (detail) => events.push([name, detail]));
  }
  events.length = 0;
  return { ...context, room, events, of: (name) => events.filter(([kind]) => kind === name).map(([, detail]) => detail) };
}

/** Loses the socket and opens the next one; the member has asked to come back on it. */
export async function reconnect(server) {
  server.close(1006);
  await server.clock.pass(400);
  await server.accept();
}
