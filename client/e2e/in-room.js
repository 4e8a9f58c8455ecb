import { until } from "./page.js";

/**
 * Opens pages of an application that join a room over a node with the sources of the SDK. Inside a page stand
 * `client`, `room`, `modules` and `logged`, what it has written to the console. `window.joinOptions`, if there are any, are further options.
 *
 * @typedef {import("playwright-core").Page} Page
 */

const MODULES = ["channels", "files", "rpc", "stats"];

/** What the packages of an application are called, for a page without a bundler. */
const IMPORTS = {
  imports: { "@signal-cluster/client": "/client/index.js", ...Object.fromEntries(MODULES.map((name) => [`@signal-cluster/client/${name}`, `/client/${name}.js`])) },
};

/**
 * @param {import("playwright-core").BrowserContext} context
 * @param {string} origin of the pages
 * @param {{url: string | string[], token: string, room: string, name: string, options?: object, stream?: boolean}} member `options` of `join`
 * @returns {Promise<Page>}
 */
export async function openMember(context, origin, member) {
  const page = await context.newPage();
  await page.goto(origin);
  await joinIn(page, member);
  return page;
}

/** Joins from a page that has just been loaded. @param {Page} page @param {any} member */
export async function joinIn(page, member) {
  await page.evaluate(prepare, { imports: IMPORTS, names: MODULES });
  await page.evaluate(join, member);
}

/** Runs inside the page. */
async function prepare({ imports, names }) {
  const map = Object.assign(document.createElement("script"), { type: "importmap", textContent: JSON.stringify(imports) });
  document.head.append(map);
  window.logged = [];
  const log = console.log;
  console.log = (...values) => {
    window.logged.push(values);
    log(...values);
  };
  const loaded = await Promise.all(names.map((name) => import(`@signal-cluster/client/${name}`)));
  window.modules = Object.assign({}, ...loaded);
}

/** Runs inside the page. */
async function join({ url, token, room, name, options, stream }) {
  const { SignalClient } = await import("@signal-cluster/client");
  const media = stream ? await navigator.mediaDevices.getUserMedia({ audio: true, video: true }) : null;
  window.client = new SignalClient({ url, token });
  window.room = await window.client.join(room, { meta: { name }, stream: media, ...window.joinOptions, ...options });
}

/** Waits until each page is connected to `count` peers. @param {Page[]} pages */
export async function connected(pages, count = pages.length - 1) {
  const all = (/** @type {number} */ wanted) => window.room.peers.size === wanted && [...window.room.peers.values()].every((peer) => peer.connected);
  await Promise.all(pages.map((page) => until(page, all, count)));
}
