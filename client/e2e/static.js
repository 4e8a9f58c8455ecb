import { createServer } from "node:http";
import { readFile } from "node:fs/promises";

/** Serves the SDK under /client/ and an empty page, for tests that need a browser but no node. */

const SOURCES = new URL("../src/", import.meta.url);

/** Starts on a free port of the loopback interface. @returns {Promise<{origin: string, close: () => void}>} */
export async function serveSdk() {
  const server = createServer(async ({ url = "/" }, response) => {
    const [, name] = /^\/client\/([\w-]+\.js)$/.exec(url) ?? [];
    const body = name ? await readFile(new URL(name, SOURCES)).catch(() => null) : "<!doctype html><title>test</title>";
    response.writeHead(body === null ? 404 : 200, { "content-type": name ? "text/javascript" : "text/html" });
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { origin: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}
