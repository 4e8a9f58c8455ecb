import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { BINARIES } from "./binaries.js";
import { Group } from "../../deploy/local/processes.js";
import { LOOPBACK, findPort, onFreePort } from "../../deploy/local/ports.js";
import { findOnPath } from "../../deploy/local/tools.js";
import { openBrowser } from "./browser.js";
import { serveSdk } from "./static.js";
import { startService } from "../../deploy/local/services.js";

/** What a person is told when no connection comes about: which of the many causes it is, and what to do. */

const LIMITS = { timeout: 60_000 };
const SECRET = "unreachable-unreachable-unreachable";

/** @type {Group} */
let group;
let site;
/** Where the node is. @type {string} */
let node;
let browser;
/** A page of another origin than the node's, that has the SDK. */
let page;

before(async () => {
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  site = await serveSdk();
  const env = {
    SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_JWT_SECRET: SECRET,
    SIGNAL_NODE_JWT_ISSUER: "https://id.example",
  };
  const { ready } = await startService(group, { name: "node", program: join(BINARIES, "signal-node"), env });
  node = `http://${ready.public}`;
  browser = await openBrowser();
  page = await browser.context.newPage();
  await page.goto(site.origin);
}, LIMITS);

after(async () => {
  await browser?.close();
  site?.close();
  await group?.stop();
});

/** Connects with the SDK and returns the first state that is more than "lost". @param {string} url */
function outcome(url) {
  return page.evaluate(async (url) => {
    const { SignalClient } = await import("/client/index.js");
    const client = new SignalClient({ url });
    const state = await new Promise((resolve) => {
      client.on("state", (state) => ["waiting", "stopped"].includes(state.phase) && state.code !== 1006 && resolve(state));
      client.join("demo").catch(() => {});
    });
    client.close();
    return state;
  }, url);
}

/** A proxy as it is set up by whoever does not think of WebSockets. @returns {Promise<string>} where it is */
function proxyWithoutUpgrade() {
  const { dir } = group;
  return onFreePort(async (port) => {
    const config = group.write("nginx.conf", `
daemon off;
pid ${dir}/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path ${dir}; proxy_temp_path ${dir}; fastcgi_temp_path ${dir}; uwsgi_temp_path ${dir}; scgi_temp_path ${dir};
    server { listen ${LOOPBACK}:${port}; location / { proxy_pass ${node}; } }
}
`);
    const origin = `http://${LOOPBACK}:${port}`;
    const answers = (/** @type {import("../../deploy/local/processes.js").Child} */ child) => child.ready(() => fetch(origin).then(() => true, () => false));
    await group.start({ name: "nginx", program: findOnPath("nginx") ?? "nginx", args: ["-c", config, "-e", "stderr"] }, answers);
    return origin;
  });
}

test("a dead server, another server, a wrong path and a proxy without WebSockets are told apart", LIMITS, async () => {
  const causes = {
    [`http://${LOOPBACK}:${await findPort()}`]: ["no_answer", /Nothing answers/],
    [site.origin]: ["not_a_node", /not the signaling server/],
    [`${node}/signaling`]: ["wrong_path", /no signaling at this path/],
    [await proxyWithoutUpgrade()]: ["no_upgrade", /lets no WebSocket through/],
  };
  for (const [url, [code, words]] of Object.entries(causes)) {
    const state = await outcome(url);
    assert.equal(state.code, code, url);
    assert.match(state.reason, words);
    assert.notEqual(state.todo, "");
  }
});

test("a refused origin is told by its close code, and is not tried again", LIMITS, async () => {
  const { code, phase, message } = await outcome(node);
  assert.deepEqual({ code, phase }, { code: 4204, phase: "stopped" });
  assert.match(message, new RegExp(`pages of "${site.origin}" may not connect`));
});

test("the page shows what the server says about a token", LIMITS, async () => {
  const demo = await browser.context.newPage();
  await demo.goto(`${node}/?room=demo&auto=1&pattern=1#token=a.b.c`);
  const problem = demo.locator("#problem");
  await problem.waitFor({ state: "visible" });
  const text = (await problem.textContent()) ?? "";
  assert.match(text, /The server does not accept this token/);
  assert.match(text, /The server said: “the token is malformed: it must be a JWS/);
  assert.equal((await demo.evaluate(() => window.demo.state)) ?? null, null, "it does not go on trying");
});
