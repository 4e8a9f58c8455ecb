import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { BINARIES } from "./binaries.js";
import { audit } from "./audit.js";
import { openBrowser } from "./browser.js";
import { openMember } from "./in-room.js";
import { readFindings } from "./timelines.js";
import { serveSdk } from "./static.js";
import { startCluster } from "../../deploy/local/cluster.js";

/** The console, as an operator has it: by keyboard, on a phone, for those who do not see it, and with no more rights than its token. */

const LIMITS = { timeout: 90_000 };

/** What the first sight of it may cost (bytes). */
const MOST = 100 * 1024;

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let browser;
let site;
/** Ana and Ben, who may use relays only and have none. @type {import("playwright-core").Page[]} */
let pages;

before(async () => {
  cluster = await startCluster({ binaries: BINARIES, nodes: 2, nodeEnv: () => ({ SIGNAL_NODE_ALLOWED_ORIGINS: "*" }) });
  site = await serveSdk();
  browser = await openBrowser();
  const open = (/** @type {string} */ name) => openMember(browser.context, site.origin, { url: cluster.nodes[0].origin, room: "meeting", name, token: cluster.token(name, "meeting"), options: { RTCPeerConnection: name === "ben" ? null : undefined } });
  pages = [await open("ben"), await open("ana")];
  await readFindings(cluster, "meeting", "not_answered");
}, LIMITS);

after(async () => {
  await browser?.close();
  site?.close();
  await cluster?.stop();
});

/** @param {string} token @param {string} [query] */
async function openConsole(token, query = "") {
  const page = await browser.context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(`${cluster.nodes[1].admin}/console${query}${token && `#token=${token}`}`);
  return { page, faults };
}

const operator = () => cluster.token("ops", "*", ["admin"]);

test("an operator sees the cluster and, by keyboard alone, a room with its members, findings and timeline, which follow", LIMITS, async () => {
  const { page, faults } = await openConsole("");
  await page.keyboard.press("Tab");
  await page.keyboard.type(operator());
  await page.keyboard.press("Enter");
  await page.locator("#nodes tr").nth(1).waitFor();
  await page.focus("#room");
  await page.keyboard.type("meeting");
  await page.keyboard.press("Enter");
  await page.getByText("ben was in the room and never answered the offer of ana.").waitFor();
  const members = page.locator("#roster li");
  assert.deepEqual((await members.allTextContents()).map((text) => text.split(",")[0]).sort(), ["ana", "ben"]);
  assert.equal(await page.locator("#picture svg rect.lane").count(), 2, "a lane for each member");
  assert.equal(new URL(page.url()).search, "?room=meeting");
  await pages[1].evaluate(() => window.room.leave());
  await page.getByText("ana left (left)").waitFor({ state: "attached" });
  assert.equal(await members.count(), 1);
  await page.fill("#user", "ana");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /^meeting, entered at/ }).waitFor();
  assert.deepEqual(faults, []);
  await page.close();
});

test("a token without the right, or for another room, shows nothing, and the node says why", LIMITS, async () => {
  const { page } = await openConsole(cluster.token("ana", "*"));
  await page.getByText("the token has not the right admin").waitFor();
  assert.equal(await page.locator("#cluster").isVisible(), false);
  await page.close();
  const other = await openConsole(cluster.token("ops", "elsewhere", ["admin"]), "?room=meeting");
  await other.page.getByText("the token does not open this room").waitFor();
  assert.equal(await other.page.locator("#room-view").isVisible(), false);
  await other.page.close();
});

test("no state of the console has a finding, in light and dark, wide and narrow", LIMITS, async () => {
  const { page } = await openConsole("");
  const found = await audit(page, "signed out");
  await page.close();
  const shown = await openConsole(operator(), "?room=meeting");
  await shown.page.locator("#picture svg").waitFor();
  await shown.page.click("summary");
  found.push(...(await audit(shown.page, "room")));
  await shown.page.fill("#token", "no.such.token");
  await shown.page.click("#sign-in button");
  await shown.page.locator("#problem").waitFor();
  found.push(...(await audit(shown.page, "problem")));
  assert.deepEqual(found, []);
  await shown.page.evaluate(() => document.querySelector("#room").removeAttribute("id"));
  assert.match((await audit(shown.page, "twin")).join(), /label/, "a field without a label is found");
  await shown.page.close();
});

test("the first sight of the console costs little, and loads nothing from elsewhere", LIMITS, async (t) => {
  const page = await browser.context.newPage();
  const requests = [];
  page.on("requestfinished", (request) => requests.push(request));
  await page.goto(`${cluster.nodes[1].admin}/console?room=meeting#token=${operator()}`);
  await page.locator("#picture svg").waitFor();
  const sizes = await Promise.all(requests.map((request) => request.sizes()));
  const total = sizes.reduce((sum, { responseBodySize, responseHeadersSize }) => sum + responseBodySize + responseHeadersSize, 0);
  t.diagnostic(`${total} bytes in ${requests.length} answers`);
  assert.ok(total > 0 && total <= MOST, `${total} bytes`);
  assert.deepEqual(requests.map((request) => request.url()).filter((url) => !url.startsWith(cluster.nodes[1].admin)), []);
  await page.close();
});
