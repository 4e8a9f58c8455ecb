import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BINARIES } from "./binaries.js";
import { Group } from "../../deploy/local/processes.js";
import { CALL_WITHIN, connectedPeers, moreFrames, openDemo, readIceErrors } from "./page.js";
import { openBrowser } from "./browser.js";
import { startService } from "../../deploy/local/services.js";

/** What `cargo run` promises: two tabs of the printed address make a call, with nothing else installed. */

const LIMITS = { timeout: 90_000 };

const ENV = {
  SIGNAL_NODE_LISTEN: "127.0.0.1:0",
  SIGNAL_NODE_ADMIN_LISTEN: "127.0.0.1:0",
  TURN_CRED_LISTEN: "127.0.0.1:0",
  TURN_CRED_ADMIN_LISTEN: "127.0.0.1:0",
  ALL_IN_ONE_TURN_LISTEN: "127.0.0.1:0",
};

/** @type {Group} */
let group;
let browser;
let origin;
/** The address that the program prints for people. @type {URL} */
let printed;

before(async () => {
  const program = join(BINARIES, "all-in-one");
  if (!existsSync(program)) throw new Error(`${program} is not built: cargo build -p all-in-one`);
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  const { ready } = await startService(group, { name: "all-in-one", program, env: ENV });
  origin = `http://${ready.public}`;
  printed = new URL(ready.page);
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  await group?.stop();
});

const startupToken = () => new URLSearchParams(printed.hash.slice(1)).get("token") ?? undefined;

/** Makes a call between two tabs and returns what each knows of the other. */
async function call(room, options) {
  const demos = await Promise.all(["Ana", "Ben"].map((name) => openDemo(browser.context, origin, { room, name, token: startupToken(), ...options })));
  const pages = demos.map(({ page }) => page);
  const peers = await Promise.all(pages.map((page) => connectedPeers(page, 1)));
  await Promise.all(pages.map((page) => moreFrames(page, 15)));
  assert.deepEqual(await Promise.all(pages.map(readIceErrors)), [[], []]);
  assert.deepEqual(demos.map(({ faults }) => faults), [[], []]);
  await Promise.all(pages.map((page) => page.close()));
  return peers.flat();
}

test("two tabs see each other and talk", LIMITS, async () => {
  for (const { local, remote, dataRoundTrip } of await call("tabs", {})) {
    assert.ok(![local, remote].includes("relay"), `${local} → ${remote}`);
    assert.equal(typeof dataRoundTrip, "number");
  }
});

test("two tabs that want the relay alone see each other through it", LIMITS, async () => {
  for (const { local, remote, dataRoundTrip } of await call("relayed", { relay: true })) {
    assert.deepEqual([local, remote], ["relay", "relay"]);
    assert.equal(typeof dataRoundTrip, "number");
  }
});

test("the printed address lets in, and so do a reload and the link of an invitation; the bare address says what to open", LIMITS, async () => {
  assert.equal(printed.origin, origin);
  const page = await browser.context.newPage();
  await page.goto(printed.href);
  await page.reload();
  await page.getByLabel("Test picture").check();
  await page.click("#enter");
  await page.waitForFunction(() => window.demo.room?.state === "joined", null, { timeout: CALL_WITHIN });
  assert.equal(new URL(page.url()).hash, printed.hash, "a tab that is duplicated gets in too");
  await browser.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  await page.click("#copy");
  await page.waitForFunction((href) => navigator.clipboard.readText().then((text) => text === href), printed.href, { timeout: CALL_WITHIN });
  await page.close();

  const { page: bare } = await openDemo(browser.context, origin, { auto: false });
  await bare.click("#enter");
  await bare.getByText("prints an address").waitFor({ timeout: CALL_WITHIN });
  await bare.close();
});
