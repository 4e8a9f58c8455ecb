import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { BINARIES } from "./binaries.js";
import { audit, findings } from "./audit.js";
import { Group } from "../../deploy/local/processes.js";
import { LOOPBACK } from "../../deploy/local/ports.js";
import { CALL_WITHIN, connectedPeers, openDemo } from "./page.js";
import { openBrowser } from "./browser.js";
import { startService } from "../../deploy/local/services.js";

/** The demo page for those who do not see it, or not well: every state of it through axe-core, and what a screen reader is told. */

const LIMITS = { timeout: 90_000 };

let group;
let browser;
let origin;

before(async () => {
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  const env = { SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_ANONYMOUS: "always" };
  const { ready } = await startService(group, { name: "node", program: join(BINARIES, "signal-node"), env });
  origin = `http://${ready.public}`;
  browser = await openBrowser({ permissions: ["camera", "microphone"] });
}, LIMITS);

after(async () => {
  await browser?.close();
  await group?.stop();
});

test("no state of the lobby has a finding", LIMITS, async () => {
  const { page } = await openDemo(browser.context, origin, { auto: false, pattern: false });
  const found = await audit(page, "lobby");
  await page.fill("#room", "no room");
  await page.click("#enter");
  found.push(...(await audit(page, "invalid name")));
  await page.fill("#room", "demo");
  await page.click("summary");
  await page.waitForFunction(() => document.querySelector("#preview").videoWidth > 0 && document.querySelectorAll("#camera-choice option").length > 0);
  found.push(...(await audit(page, "preview")));
  assert.deepEqual(found, []);
  await page.evaluate(() => (document.querySelector("#enter").textContent = ""));
  assert.match((await audit(page, "twin")).join(), /button-name/, "a button without a name is found");
  await page.close();
});

test("a join that is cancelled goes back to the lobby, which has no finding meanwhile", LIMITS, async () => {
  const prepare = (page) => page.routeWebSocket(/\/v1\/ws/, () => {});
  const { page } = await openDemo(browser.context, origin, { auto: false, prepare });
  await page.click("#enter");
  await page.getByRole("button", { name: "Cancel" }).waitFor();
  assert.deepEqual(await audit(page, "joining"), []);
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Join" }).waitFor({ timeout: CALL_WITHIN });
  assert.equal(await page.locator("#problem").isVisible(), false);
  await page.close();
});

test("no state of a call has a finding, and what happens is told", LIMITS, async () => {
  const { page } = await openDemo(browser.context, origin, { room: "audit", name: "Ana" });
  const found = await audit(page, "alone");
  const { page: other } = await openDemo(browser.context, origin, { room: "audit", name: "Ben" });
  await connectedPeers(page, 1);
  assert.equal(await page.locator("#said").textContent(), "Ben is here");
  await page.getByText("Mute", { exact: true }).click();
  assert.equal(await page.locator("#mic").getAttribute("aria-pressed"), null, "its name says what it does");
  found.push(...(await audit(page, "a call, muted")));
  await other.click("#chat-open");
  await other.fill("#chat-text", "hello");
  await other.keyboard.press("Enter");
  await page.getByRole("button", { name: "Chat, 1 unread" }).waitFor();
  assert.equal(await page.locator("#said").textContent(), "Ben writes: hello");
  await page.click("#chat-open");
  found.push(...(await audit(page, "chat")));
  await page.click("#chat-close");
  await page.emulateMedia({ forcedColors: "active" });
  found.push(...(await findings(page)));
  await other.close();
  await page.getByText("Ben has left").waitFor({ state: "attached", timeout: CALL_WITHIN });
  assert.deepEqual(found, []);
  await page.close();
});

test("a shared screen is a picture of its own, seen whole, until it is ended", LIMITS, async () => {
  const { page: ana } = await openDemo(browser.context, origin, { room: "screen", name: "Ana" });
  const { page: ben } = await openDemo(browser.context, origin, { room: "screen", name: "Ben" });
  await connectedPeers(ben, 1);
  await ana.evaluate(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 100 });
    const context = canvas.getContext("2d");
    setInterval(() => ((context.fillStyle = "blue"), context.fillRect(0, 0, 320, 100)), 50);
    navigator.mediaDevices.getDisplayMedia = async () => canvas.captureStream(10);
  });
  await ana.getByText("Share screen").click();
  const shown = ben.getByRole("group", { name: "Ana: screen" });
  await shown.waitFor({ timeout: CALL_WITHIN });
  await ben.waitForFunction(() => document.querySelector("[data-screen] video").videoWidth === 320, null, { timeout: CALL_WITHIN });
  assert.equal(await shown.locator("video").evaluate((video) => getComputedStyle(video).objectFit), "contain");
  assert.equal(await ben.getByRole("group", { name: "Ana", exact: true }).count(), 1, "the camera goes on");
  assert.deepEqual(await audit(ben, "a screen"), []);
  await ana.getByText("Stop sharing").click();
  await shown.waitFor({ state: "detached", timeout: CALL_WITHIN });
  await Promise.all([ana.close(), ben.close()]);
});
