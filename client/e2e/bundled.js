import { build } from "esbuild";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

/** Serves pages of an application's own origin, each with published packages as they are. */

/**
 * Bundles the modules, and serves a page for each at `/NAME` on a free port of the loopback interface.
 * @param {Record<string, string>} modules by name
 * @returns {Promise<{origin: string, close: () => void}>}
 */
export async function serveBundles(modules) {
  const names = Object.keys(modules);
  const scripts = await Promise.all(names.map((name) => bundled(modules[name])));
  const server = createServer(({ url = "/" }, response) => {
    const script = scripts[names.indexOf(url.slice(1))];
    response.writeHead(script ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
    response.end(`<!doctype html><title>application</title><script>${script?.replaceAll("</script", "<\\/script") ?? ""}</script>`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { origin: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}

/** @param {string} contents a module, which finds the packages of this folder */
async function bundled(contents) {
  const stdin = { contents, resolveDir: fileURLToPath(new URL("..", import.meta.url)) };
  const { outputFiles } = await build({ stdin, bundle: true, write: false, format: "iife", define: { global: "globalThis" } });
  return outputFiles[0].text;
}
