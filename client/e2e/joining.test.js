import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { BINARIES } from "./binaries.js";
import { Group } from "../../deploy/local/processes.js";
import { LOOPBACK } from "../../deploy/local/ports.js";
import { openBrowser } from "./browser.js";
import { serveSdk } from "./static.js";
import { startService } from "../../deploy/local/services.js";

/** Joining and leaving as frameworks, browsers and networks make a page do: twice at once, given up, frozen, unanswered. */

const LIMITS = { timeout: 60_000 };

/** @type {Group} */
let group;
let site;
let node;
let browser;

before(async () => {
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  site = await serveSdk();
  node = (await startNode("node")).url;
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  site?.close();
  await group?.stop();
});

/** @param {string} name */
async function startNode(name) {
  const env = {
    SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_ANONYMOUS: "always",
    SIGNAL_NODE_ALLOWED_ORIGINS: site.origin,
  };
  const { child, ready } = await startService(group, { name, program: join(BINARIES, "signal-node"), env });
  return { url: `http://${ready.public}`, child };
}

async function openPage() {
  const page = await browser.context.newPage();
  await page.goto(site.origin);
  return page;
}

test("an effect that React's StrictMode runs, cleans up and runs again ends with one member in the room", LIMITS, async () => {
  const page = await openPage();
  const result = await page.evaluate(async (url) => {
    const { SignalClient } = await import("/client/index.js");
    const options = { RTCPeerConnection: null };
    const watcher = await new SignalClient({ url, identity: { storage: null } }).join("strict", options);
    const left = new Promise((resolve) => watcher.on("peerLeft", ({ peer }) => resolve(peer.id)));
    const client = new SignalClient({ url });
    let show;
    const shown = new Promise((resolve) => (show = resolve));
    const effect = () => {
      const ended = new AbortController();
      const joining = client.join("strict", { ...options, signal: ended.signal });
      joining.then(show, () => {});
      return () => {
        ended.abort();
        joining.then((joined) => joined.leave(), () => {});
      };
    };
    effect()();
    const cleanUp = effect();
    const room = await shown;
    await new Promise((resolve) => (watcher.on("signal", resolve), room.signal("here")));
    const members = [...watcher.peers.keys()];
    const state = room.state;
    cleanUp();
    return { state, members, self: room.self.id, left: await left };
  }, node);
  assert.equal(result.state, "joined");
  assert.deepEqual(result.members, [result.self]);
  assert.equal(result.left, result.self);
  await page.close();
});

test("a join that is aborted once its frame is on the way leaves nobody behind", LIMITS, async () => {
  const page = await openPage();
  const result = await page.evaluate(async (url) => {
    const { SignalClient } = await import("/client/index.js");
    const options = { RTCPeerConnection: null };
    const watcher = await new SignalClient({ url, identity: { storage: null } }).join("aborted", options);
    const seen = [];
    watcher.on("peer", ({ id }) => seen.push(`${id} came`));
    watcher.on("peerLeft", ({ peer }) => seen.push(`${peer.id} left`));
    class Telling extends WebSocket {
      send(text) {
        super.send(text);
        if (JSON.parse(text).type === "join") queueMicrotask(() => ended.abort());
      }
    }
    const ended = new AbortController();
    const client = new SignalClient({ url, WebSocket: Telling });
    const error = await client.join("aborted", { ...options, signal: ended.signal }).catch(({ name }) => name);
    const again = await client.join("aborted", options);
    await new Promise((resolve) => (watcher.on("signal", resolve), again.signal("here")));
    return { error, seen, self: again.self.id };
  }, node);
  assert.equal(result.error, "AbortError");
  const [came, left, stayed] = result.seen;
  assert.match(came, /came$/);
  assert.equal(left, came.replace("came", "left"));
  assert.equal(stayed, `${result.self} came`);
  assert.equal(result.seen.length, 3);
  await page.close();
});

test("a page that is thawed, or comes back from the back/forward cache, asks at once whether its socket lives", LIMITS, async () => {
  const page = await openPage();
  const waits = await page.evaluate(async (url) => {
    const { SignalClient } = await import("/client/index.js");
    let pinged = () => {};
    class Telling extends WebSocket {
      send(text) {
        super.send(text);
        if (JSON.parse(text).type === "ping") this.addEventListener("message", () => pinged(), { once: true });
      }
    }
    await new SignalClient({ url, WebSocket: Telling }).join("frozen", { RTCPeerConnection: null });
    // The browser's own events, made here: it freezes no page that a test looks at.
    const events = [
      [document, new Event("resume")],
      [window, new PageTransitionEvent("pageshow", { persisted: true })],
    ];
    const waits = [];
    for (const [target, event] of events) {
      const begun = performance.now();
      const answered = new Promise((resolve) => (pinged = resolve));
      target.dispatchEvent(event);
      await answered;
      waits.push(performance.now() - begun);
    }
    return waits;
  }, node);
  // By itself the SDK asks after ten seconds of silence.
  for (const wait of waits) assert.ok(wait < 3000, `${wait} ms`);
  await page.close();
});

test("a node that accepts connections and does not answer delays a join by about a second", LIMITS, async (t) => {
  const { url: silent, child } = await startNode("silent");
  child.process.kill("SIGSTOP"); // the kernel goes on to accept
  t.after(() => child.process.kill("SIGCONT"));
  const page = await openPage();
  const { took, sockets } = await page.evaluate(async (url) => {
    const { SignalClient } = await import("/client/index.js");
    const sockets = [];
    class Counted extends WebSocket {
      constructor(...options) {
        super(...options);
        sockets.push(this);
      }
    }
    const begun = performance.now();
    // The first address is drawn: this draws the silent one.
    const client = new SignalClient({ url, WebSocket: Counted, random: () => 0 });
    await client.join("unanswered", { RTCPeerConnection: null });
    return { took: performance.now() - begun, sockets: sockets.map(({ readyState }) => readyState === WebSocket.OPEN) };
  }, [silent, node]);
  assert.ok(took > 900 && took < 4000, `${took} ms`);
  assert.deepEqual(sockets, [false, true]);
  await page.close();
});

test("who closes the tab is gone within six seconds, who reloads it is the same member", LIMITS, async () => {
  const [watching, page] = [await openPage(), await openPage()];
  const joinRoom = async (url) => {
    const { SignalClient } = await import("/client/index.js");
    const room = await new SignalClient({ url }).join("tabs", { RTCPeerConnection: null });
    return room.self.id;
  };
  await watching.evaluate(async (url) => {
    const { SignalClient } = await import("/client/index.js");
    window.room = await new SignalClient({ url }).join("tabs", { RTCPeerConnection: null });
    window.told = [];
    window.room.on("peerUpdated", ({ away }) => window.told.push(away ? "away" : "back"));
    window.left = new Promise((resolve) => window.room.on("peerLeft", ({ reason }) => resolve({ reason, at: performance.now() })));
  }, node);
  const first = await page.evaluate(joinRoom, node);
  await page.reload();
  const second = await page.evaluate(joinRoom, node);
  assert.equal(second, first);
  const closedAt = await watching.evaluate(() => performance.now());
  await page.close();
  const { reason, at } = await watching.evaluate(() => window.left);
  assert.deepEqual([reason, await watching.evaluate(() => window.told)], ["left", ["away", "back", "away"]]);
  assert.ok(at - closedAt < 6000, `gone after ${Math.round(at - closedAt)} ms`);
  assert.ok(at - closedAt > 4000, "a reload has five seconds");
  await watching.close();
});
