import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { cpSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { basename, join } from "node:path";
import { BINARIES } from "./binaries.js";
import { Group } from "../../deploy/local/processes.js";
import { findPort } from "../../deploy/local/ports.js";
import { openBrowser } from "./browser.js";

/** What examples/ says: one command, and two people are in a call, with tokens and a relay. */

const LIMITS = { timeout: 120_000 };
const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));
const FREE = "127.0.0.1:0";

/** @type {Group} */
let group;
/** @type {Awaited<ReturnType<typeof openBrowser>>} */
let browser;

before(async () => {
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  await group?.stop();
});

/** What `npm start` of an example runs, after the packages are there. @param {string} folder */
function command(folder) {
  const { start } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).scripts;
  return `cd ${folder} && exec ${start.split(" && ").at(-1)}`;
}

/**
 * Starts an example, and returns where its page is.
 * @param {string} folder
 * @returns {Promise<{origin: string, env: Record<string, string>}>}
 */
async function start(folder) {
  const port = String(await findPort());
  const node = await findPort();
  const own = { SIGNAL_CLUSTER: join(BINARIES, "all-in-one"), JWT_KEY_FILE: join(group.dir, "jwt.key"), PORT: port };
  const listen = { SIGNAL_NODE_LISTEN: `127.0.0.1:${node}`, SIGNAL_NODE_ADMIN_LISTEN: FREE, TURN_CRED_LISTEN: FREE, TURN_CRED_ADMIN_LISTEN: FREE, ALL_IN_ONE_TURN_LISTEN: FREE };
  const origin = `http://localhost:${port}`;
  const program = { name: basename(folder), program: "sh", args: ["-c", command(folder)], env: { ...own, ...listen } };
  await group.start(program, (child) => child.ready(() => fetch(origin).then(({ ok }) => ok, () => false)));
  return { origin, env: { SIGNAL_URL: `http://127.0.0.1:${node}`, JWT_KEY_FILE: own.JWT_KEY_FILE } };
}

/** Opens the page, says a name, and joins. @param {string} origin @param {string} name */
async function enter(origin, name) {
  const page = await browser.context.newPage();
  /** @type {string[]} */
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (line) => line.type() === "error" && faults.push(`${line.text()} ${line.location().url}`));
  // A quick user clicks before the SDK is there.
  let click = () => {};
  const clicked = new Promise((resolve) => (click = () => resolve(undefined)));
  await page.route("**/config", (route) => clicked.then(() => route.continue()));
  await page.goto(origin);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Join" }).click();
  click();
  return { page, faults };
}

/** Waits until so many people are seen, each in a picture that moves. @param {import("playwright-core").Page} page @param {string[]} names */
async function sees(page, names) {
  await page.waitForFunction((wanted) => {
    const figures = [...document.querySelectorAll("figure")];
    const shown = figures.filter((figure) => (figure.querySelector("video")?.currentTime ?? 0) > 0);
    return figures.length === wanted.length && wanted.every((name) => shown.some((figure) => figure.textContent === name));
  }, names, { timeout: 60_000 });
}

/** @param {string} origin */
async function callOfTwo(origin) {
  const [ana, bo] = [await enter(origin, "Ana"), await enter(origin, "Bo")];
  await sees(ana.page, ["Ana (you)", "Bo"]);
  await sees(bo.page, ["Bo (you)", "Ana"]);
  await bo.page.getByRole("button", { name: "Leave" }).click();
  await sees(ana.page, ["Ana (you)"]);
  await bo.page.getByRole("button", { name: "Join" }).click();
  assert.deepEqual([ana.faults, bo.faults], [[], []]);
  return ana.page;
}

test("the first application, in a folder of one's own", LIMITS, async () => {
  const folder = join(group.dir, "examples");
  // As somebody copies it, without what npm has put there.
  cpSync(EXAMPLES, folder, { recursive: true, filter: (file) => !/node_modules|jwt\.key/.test(file) });
  const { origin } = await start(join(folder, "first-app"));
  const page = await callOfTwo(origin);
  await page.close();
});

test("the same in React under StrictMode, and a bot in the room", LIMITS, async () => {
  const { origin, env } = await start(join(EXAMPLES, "react"));
  const page = await callOfTwo(origin);
  await group.start({ name: "bot", program: "sh", args: ["-c", command(join(EXAMPLES, "node-bot"))], env }, () => page.getByText("Bot", { exact: true }).waitFor());
  await page.close();
});
