import { createServer } from "node:http";
import { once } from "node:events";

/**
 * Where scripts say that they are in, and wait until the cluster has been acted upon. So nothing is killed before
 * everybody is there, and nobody leaves before it is over, however slow the machine is.
 *
 * @param {() => Promise<object | void>} act what it resolves to, scripts are told
 * @param {(line: string) => void} say
 */
export async function startConductor(act, say) {
  const waiting = [];
  let expected = Infinity;
  const begin = async () => {
    say(`all ${expected} virtual users are in`);
    const [status, body] = await act().then((facts) => [200, facts ? JSON.stringify(facts) : ""], (error) => [500, error.message]);
    for (const response of waiting) response.writeHead(status).end(body);
  };
  const server = createServer((_, response) => {
    waiting.push(response);
    if (waiting.length > expected) response.writeHead(500).end(`${expected} virtual users were expected, and no more`);
    if (waiting.length === expected) begin();
  });
  // An answer takes as long as the act does.
  server.requestTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  /** @param {number} vus how many are to come */
  const expect = (vus) => void (expected = vus);
  return { url: `http://127.0.0.1:${port}/`, expect, stop };
}
