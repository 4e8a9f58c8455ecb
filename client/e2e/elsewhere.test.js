import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServer } from "node:http";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import { BINARIES } from "./binaries.js";
import { Group } from "../../deploy/local/processes.js";
import { openBrowser } from "./browser.js";
import { startService } from "../../deploy/local/services.js";

/** Pages of an application's own origin, with the SDK that a node serves, and with an older one. */

const LIMITS = { timeout: 90_000 };

/** What SDK 0.1.0 sent and understood, in place of negotiation-message.js. */
const SDK_0_1_0 = `
export const RESERVED_KEY = "signal-cluster:rtc";
export const mark = ({ labels, ...message }) => message;
export const isMarked = () => false;
export const isNegotiation = () => true;
export class NegotiationFilter {
  accepts({ data }) {
    return typeof data?.session === "string" && ("description" in data || "candidate" in data);
  }
  forget() {}
}`;

/** Each way for a page to get `SignalClient`; `{node}` stands for the node's origin. */
const WAYS = {
  "the modules": '<script type="module">import { SignalClient } from "{node}/client/index.js"; window.SignalClient = SignalClient;</script>',
  "the built module": '<script type="module">import { SignalClient } from "{node}/client/signal-client.js"; window.SignalClient = SignalClient;</script>',
  "the classic script": '<script src="{node}/client/signal-client.global.js"></script><script>window.SignalClient = SignalCluster.SignalClient;</script>',
  "SDK 0.1.0": '<script type="module">import { SignalClient } from "/old/index.js"; window.SignalClient = SignalClient;</script>',
};

/** @type {Group} */
let group;
let browser;
let node;
let site;

/** The application's server: one page for each way, and the sources with the messages of SDK 0.1.0. */
async function serveApplication() {
  const server = createServer(async ({ url = "/" }, response) => {
    const [, name] = /^\/old\/([\w-]+\.js)$/.exec(url) ?? [];
    const way = WAYS[decodeURIComponent(url.slice(1))];
    const source = () => (name === "negotiation-message.js" ? SDK_0_1_0 : readFile(new URL(`../src/${name}`, import.meta.url)));
    response.writeHead(200, { "content-type": name ? "text/javascript" : "text/html" });
    response.end(name ? await source() : `<!doctype html><title>application</title>${way?.replaceAll("{node}", node)}`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

before(async () => {
  const program = join(BINARIES, "signal-node");
  if (!existsSync(program)) throw new Error(`${program} is not built: cargo build -p signal-node`);
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  site = await serveApplication();
  const env = {
    SIGNAL_NODE_LISTEN: "127.0.0.1:0",
    SIGNAL_NODE_ADMIN_LISTEN: "127.0.0.1:0",
    SIGNAL_NODE_ALLOWED_ORIGINS: site.origin,
    SIGNAL_NODE_ANONYMOUS: "always",
  };
  const { ready } = await startService(group, { name: "signal-node", program, env });
  node = `http://${ready.public}`;
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  await group?.stop();
  site?.close();
});

/** Opens a page that gets the SDK in one way and joins `room`; resolves once it is in. */
async function enter(way, room) {
  const page = await browser.context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(`${site.origin}/${encodeURIComponent(way)}`);
  await page.waitForFunction("window.SignalClient", null, { timeout: 10_000 });
  await page.evaluate(async ([url, name]) => {
    const client = new window.SignalClient({ url });
    Object.assign(window, { client, signals: [], room: await client.join(name) });
    window.room.on("signal", ({ data }) => window.signals.push(data));
  }, [node, room]);
  return { page, faults };
}

const connected = ({ page }) => page.waitForFunction("[...window.room.peers.values()].some((peer) => peer.connected)", null, { timeout: 30_000 });

/** Makes a call between two ways of getting the SDK; the second one comes later and offers. */
async function call(first, second, room) {
  const pages = [await enter(first, room), await enter(second, room)];
  await Promise.all(pages.map(connected));
  return pages;
}

async function finish(pages) {
  assert.deepEqual(pages.map(({ faults }) => faults), pages.map(() => []));
  await Promise.all(pages.map(({ page }) => page.close()));
}

for (const way of ["the modules", "the built module", "the classic script"]) {
  test(`a page of another origin joins a room with ${way}`, LIMITS, async () => {
    await finish(await call(way, way, `elsewhere-${Object.keys(WAYS).indexOf(way)}`));
  });
}

test("a newcomer calls a member with SDK 0.1.0", LIMITS, async () => {
  await finish(await call("SDK 0.1.0", "the modules", "old-new"));
});

test("a newcomer with SDK 0.1.0 calls a member", LIMITS, async () => {
  await finish(await call("the modules", "SDK 0.1.0", "new-old"));
});

test("an application's signal that looks like an offer cuts no call", LIMITS, async () => {
  const data = { session: "mine", description: { type: "offer", sdp: "v=0" } };
  const pages = await call("the modules", "the modules", "signals");
  const [one, two] = pages.map(({ page }) => page);
  await one.evaluate("[...room.peers.values()][0].on('state', (state) => (window.states ??= []).push(state))");
  await two.evaluate((value) => window.room.signal(value, { to: [...window.room.peers.keys()][0] }), data);
  await one.waitForFunction("window.signals.length > 0");
  assert.deepEqual(await one.evaluate("window.signals"), [data]);
  assert.equal(await one.evaluate("window.states"), undefined);
  assert.ok(await one.evaluate("[...room.peers.values()][0].connected"));
  await finish(pages);
});
