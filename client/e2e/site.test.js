import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServer } from "node:http";
import { execFileSync } from "node:child_process";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFile } from "node:fs/promises";
import { openBrowser } from "./browser.js";

/** The site of docs/ in a browser: its diagrams are pictures, and nothing of it comes from another host. */

const LIMITS = { timeout: 60_000 };
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** @type {Record<string, string>} */
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** @type {Awaited<ReturnType<typeof openBrowser>>} */
let browser;
/** @type {import("node:http").Server} */
let server;
let origin = "";

before(async () => {
  execFileSync(join(ROOT, "deploy/site/build.sh"), { stdio: "pipe" });
  server = createServer(async ({ url = "/" }, response) => {
    const file = await readFile(join(ROOT, "target/site", new URL(url, "http://site").pathname)).catch(() => null);
    response.writeHead(file ? 200 : 404, { "content-type": TYPES[extname(url)] ?? "application/octet-stream" }).end(file);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  origin = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  server?.close();
});

test("diagrams are drawn, without another host", LIMITS, async () => {
  const page = await browser.context.newPage();
  /** @type {string[]} */
  const elsewhere = [];
  page.on("request", (request) => request.url().startsWith(origin) || elsewhere.push(request.url()));
  await page.goto(`${origin}/WHEN-A-CALL-FAILS.html`);
  await page.waitForFunction(() => [...document.querySelectorAll("pre.mermaid")].every((diagram) => diagram.querySelector("svg text, svg foreignObject")));
  assert.equal(await page.locator("pre.mermaid").count(), 2);
  // A diagram with a fault is a picture too, of a bomb.
  assert(!(await page.locator("main").innerText()).includes("Syntax error"));
  assert.deepEqual(elsewhere.filter((url) => !url.startsWith("data:")), []);
});
