import { connect, createServer } from "node:net";
import { once } from "node:events";

/** A TCP proxy in front of a node that holds bytes back, or damages the first WebSocket frame of the client. */

/** What is done to the first frame of a client (RFC 6455 §5.2): offsets are those of a masked frame below 126 bytes. */
const DAMAGE = {
  "reserved bit": (frame) => (frame[0] |= 0x40),
  "UTF-8": (frame) => (frame[6] ^= 0x80),
};

/**
 * Starts a tap for one connection.
 * @param {string} target `ws://host:port`
 * @param {{damage?: keyof typeof DAMAGE}} [options]
 */
export async function openTap(target, { damage } = {}) {
  const { hostname, port } = new URL(target);
  let connections;
  const connected = new Promise((resolve) => (connections = resolve));
  const server = createServer(async (client) => {
    const node = connect({ host: hostname, port: Number(port) });
    for (const socket of [client, node]) socket.on("error", () => {}); // its end is what counts
    client.once("close", () => node.destroy());
    node.pipe(client);
    if (damage) forwardDamaged(client, node, DAMAGE[damage]);
    else client.pipe(node);
    await once(node, "data"); // the answer to the upgrade
    connections({ client, node });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: own } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    origin: `ws://127.0.0.1:${own}`,
    /** Forwards nothing of the client from now on. */
    muteClient: async () => {
      const { client, node } = await connected;
      client.unpipe(node).resume();
    },
    /** Reads nothing of the node until the function that is returned is called. */
    pauseNode: async () => {
      const { client, node } = await connected;
      node.unpipe(client).pause();
      return () => node.pipe(client);
    },
    close: async () => {
      server.close();
      const { client, node } = await connected;
      client.destroy();
      node.destroy();
    },
  };
}

/** @param {import("node:net").Socket} client @param {import("node:net").Socket} node @param {(frame: Buffer) => void} damage */
function forwardDamaged(client, node, damage) {
  client.once("data", (handshake) => {
    node.write(handshake);
    client.once("data", (frame) => {
      damage(frame);
      node.write(frame);
      client.pipe(node);
    });
  });
}
