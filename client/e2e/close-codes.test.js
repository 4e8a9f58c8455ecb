import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { setImmediate } from "node:timers/promises";
import { BINARIES } from "./binaries.js";
import { Group } from "../../deploy/local/processes.js";
import { LOOPBACK } from "../../deploy/local/ports.js";
import { findPrograms } from "../../deploy/local/tools.js";
import { mintToken } from "../../deploy/local/tokens.js";
import { openBrowser } from "./browser.js";
import { openTap } from "./tap.js";
import { serveSdk } from "./static.js";
import { startRedis } from "../../deploy/local/redis.js";
import { startService } from "../../deploy/local/services.js";

/**
 * Every close code of docs/PROTOCOL.md as a page sees it. Other clients forgive a node that breaks the closing handshake;
 * Chromium reports 1006 then, and `wasClean` false.
 */

const LIMITS = { timeout: 90_000 };

const SECRET = "close-codes-close-codes-close-codes";
/** So low that a page can exceed it for ten seconds. */
const RATE = "20/s,burst=200";

/** @type {Group} */
let group;
let redis;
let site;
/** @type {{origin: string, admin: string, child: import("../../deploy/local/processes.js").Child}} */
let node;
let browser;
let page;

before(async () => {
  const programs = findPrograms(BINARIES);
  group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  redis = await startRedis(group, programs.redis, "redis");
  site = await serveSdk();
  const env = {
    SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`,
    SIGNAL_NODE_BACKEND: "redis",
    SIGNAL_NODE_REDIS_URL: redis.url,
    SIGNAL_NODE_JWT_SECRET: SECRET,
    SIGNAL_NODE_ALLOWED_ORIGINS: site.origin,
    // Dead after two and a half of them: longer than a flood takes on a busy machine, or its reader is closed 4001.
    SIGNAL_NODE_PING: "3s",
    SIGNAL_NODE_RATE: RATE,
    // Else the sender of a flood is refused long before its reader is slow.
    SIGNAL_NODE_SEND_RATE: "1GiB/s",
    SIGNAL_NODE_DRAIN_DELAY: "0s",
    SIGNAL_NODE_DRAIN_DEADLINE: "3s",
  };
  const { child, ready } = await startService(group, { name: "node", program: programs.node, env });
  node = { origin: `ws://${ready.public}`, admin: `http://${ready.admin}`, child };
  browser = await openBrowser();
  page = await browser.context.newPage();
  await page.goto(site.origin);
}, LIMITS);

after(async () => {
  await browser?.close();
  site?.close();
  await group?.stop();
});

/** Makes a token that opens the room of the same name as its subject. @param {string} sub @param {object} [claims] */
const token = (sub, claims = {}) => mintToken(SECRET, { sub, room: sub, ...claims });

/** The key of a member, 22 characters, and the id that it gives the member (docs/PROTOCOL.md §3). @param {string} who */
const key = (who) => `${who.padEnd(21, "-")}A`;
const peerId = (who) => `p_${createHash("sha256").update(key(who)).digest().subarray(0, 16).toString("base64url")}`;
const joining = (who, room = who, attempt = 1) => ({ type: "join", id: 1, room, key: key(who), try: attempt });

/**
 * Opens a WebSocket in a page, sends `frames` once `welcome` has come and `later` once `joined` has, and returns how it ended.
 * @param {import("playwright-core").Page} where
 * @param {{origin?: string, offer?: string[], frames?: object[], later?: object[]}} options a frame with `bytes` goes as a binary one, one with
 *   `text` and `times` as that text
 * @returns {Promise<{code: number, reason: string, wasClean: boolean, errors: string[]}>}
 */
function ending(where, { origin = node.origin, offer = ["signal.v1"], frames = [], later = [] }) {
  return where.evaluate(
    ({ url, offer, frames, later }) =>
      new Promise((resolve) => {
        const socket = offer.length > 0 ? new WebSocket(url, offer) : new WebSocket(url);
        const errors = [];
        const encode = (frame) => (frame.bytes ? new Uint8Array(frame.bytes) : frame.text ? frame.text.repeat(frame.times) : JSON.stringify(frame));
        socket.onmessage = ({ data }) => {
          const frame = JSON.parse(data);
          if (frame.type === "error") errors.push(frame.message);
          const due = { welcome: frames, joined: later }[frame.type] ?? [];
          for (const each of due) socket.send(encode(each));
        };
        socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean, errors });
      }),
    { url: `${origin}/v1/ws`, offer, frames, later },
  );
}

/** Offers a token as pages do. @param {string} shown */
const bearer = (shown) => ["signal.v1", `bearer.${shown}`];

/** @param {{code: number, reason: string, wasClean: boolean}} ended @param {number} code @param {string} reason */
function assertEnded({ code, reason, wasClean }, wanted, name) {
  assert.deepEqual({ code, reason, wasClean }, { code: wanted, reason: name, wasClean: true });
}

/** Asks the node's REST interface as a back end. @param {string} path @param {RequestInit} [options] */
function ask(path, options = {}) {
  const authorization = `Bearer ${mintToken(SECRET, { sub: "backend", room: "*", can: ["admin"] })}`;
  return fetch(node.origin.replace("ws", "http") + path, { ...options, headers: { authorization } });
}

/** How long a condition may take to hold (ms): a test that waits for ever would hold up all that come after it. */
const WITHIN = 60_000;

/** Waits until a condition holds. @param {string} what @param {() => Promise<boolean>} holds */
async function until(what, holds) {
  const end = performance.now() + WITHIN;
  while (!(await holds())) {
    assert.ok(performance.now() < end, `${what}: not within ${WITHIN} ms`);
    await setImmediate();
  }
}

/** Removes a member from its room, as soon as it is there. @param {string} who @param {string} [room] */
function kick(who, room = who) {
  return until(`${who} is kicked`, async () => (await ask(`/v1/rooms/${room}/peers/${peerId(who)}`, { method: "DELETE" })).ok);
}

/** Waits until a room has a member. @param {string} room */
function inhabited(room) {
  return until(`${room} has a member`, async () => (await (await ask(`/v1/rooms/${room}`)).json()).peers.length > 0);
}

/** Waits until a metric of the node, summed over its labels, is above 0. @param {string} name */
function counted(name) {
  return until(`${name} is above 0`, async () => {
    const text = await (await fetch(`${node.admin}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line.startsWith(name));
    return lines.some((line) => Number(line.split(" ").at(-1)) > 0);
  });
}

describe("a page sees", { concurrency: true, ...LIMITS }, () => {
  test("4001 when its pongs are lost", LIMITS, async () => {
    const tap = await openTap(node.origin);
    const ended = ending(page, { origin: tap.origin, offer: bearer(token("mute")) });
    await tap.muteClient();
    assertEnded(await ended, 4001, "ping_timeout");
    await tap.close();
  });

  test("4002 when it reads too slowly and catches up at last", LIMITS, async () => {
    const tap = await openTap(node.origin);
    const slow = ending(page, { origin: tap.origin, offer: bearer(token("slow")), frames: [joining("slow")] });
    await inhabited("slow");
    const resume = await tap.pauseNode();
    const flood = Array.from({ length: 150 }, (_, index) => ({ type: "signal", mid: index + 1, room: "slow", to: peerId("slow"), data: "x".repeat(60_000) }));
    const fast = ending(page, { offer: bearer(token("fast", { room: "slow" })), frames: [joining("fast", "slow")], later: flood });
    await counted("signal_slow_consumers_total");
    resume();
    assertEnded(await slow, 4002, "slow_consumer");
    await kick("fast", "slow");
    assertEnded(await fast, 4203, "kicked");
    await tap.close();
  });

  test("4003 when its node cannot say what it missed", LIMITS, async () => {
    const lost = ending(page, { offer: bearer(token("lost")), frames: [joining("lost")] });
    await inhabited("lost");
    // An entry whose predecessor no log holds.
    const entry = "b 9000000000000000 9000000000000001 1\ns p_x * 1 2\n{}";
    execFileSync("redis-cli", ["-p", String(redis.port), "SPUBLISH", "{lost}:c", entry], { env: { ...process.env, REDISCLI_AUTH: redis.password } });
    assertEnded(await lost, 4003, "unavailable");
  });

  test("4004 after ten seconds of too many messages", LIMITS, async () => {
    const ended = page.evaluate(
      ({ url, offer }) =>
        new Promise((resolve) => {
          const socket = new WebSocket(url, offer);
          const flood = () => Array.from({ length: 20 }, () => socket.send('{"type":"ping"}'));
          let timer = 0;
          socket.onopen = () => {
            socket.send('{"type":"ping"}');
            for (let count = 0; count < 20; count += 1) flood();
            timer = setInterval(flood, 200);
          };
          socket.onclose = ({ code, reason, wasClean }) => {
            clearInterval(timer);
            resolve({ code, reason, wasClean });
          };
        }),
      { url: `${node.origin}/v1/ws`, offer: bearer(token("loud")) },
    );
    assertEnded(await ended, 4004, "rate_limit");
  });

  test("4100 and what is wrong with its token", LIMITS, async () => {
    const foreign = mintToken("another-secret-another-secret-another", { sub: "eve", room: "eve" });
    const ended = await ending(page, { offer: bearer(foreign) });
    assertEnded(ended, 4100, "unauthorized");
    assert.deepEqual(ended.errors, ["the signature of the token is wrong"]);
  });

  test("4101 when its token has expired, before and while it is connected", LIMITS, async () => {
    const before = await ending(page, { offer: bearer(token("late", { ttl: -3600 })) });
    assertEnded(before, 4101, "token_expired");
    assert.deepEqual(before.errors, ["claim exp: the token has expired"]);
    assertEnded(await ending(page, { offer: bearer(token("short", { ttl: 2 })) }), 4101, "token_expired");
  });

  test("4200 when it offers no subprotocol", LIMITS, async () => {
    assertEnded(await ending(page, { offer: [] }), 4200, "protocol_error");
  });

  test("4201 when it says no hello", LIMITS, async () => {
    assertEnded(await ending(page, {}), 4201, "hello_timeout");
  });

  test("4202 when it continued elsewhere, 4203 when a moderator removed it", LIMITS, async () => {
    const offer = bearer(token("twin"));
    const first = ending(page, { offer, frames: [joining("twin")] });
    await inhabited("twin");
    const second = ending(page, { offer, frames: [joining("twin", "twin", 2)] });
    assertEnded(await first, 4202, "replaced");
    await kick("twin");
    assertEnded(await second, 4203, "kicked");
  });

  test("4204 when pages of its origin may not connect", LIMITS, async () => {
    const elsewhere = await serveSdk();
    const stranger = await browser.context.newPage();
    await stranger.goto(elsewhere.origin);
    const ended = await ending(stranger, { offer: bearer(token("ana")) });
    assertEnded(ended, 4204, "origin_refused");
    assert.match(ended.errors[0], new RegExp(`pages of "${elsewhere.origin}" may not connect`));
    elsewhere.close();
  });

  test("1002 and 1007 when its frames were damaged on the way", LIMITS, async () => {
    for (const [damage, code] of /** @type {const} */ ([["reserved bit", 1002], ["UTF-8", 1007]])) {
      const tap = await openTap(node.origin, { damage });
      const ended = await ending(page, { origin: tap.origin, offer: bearer(token("broken")), frames: [{ type: "ping" }] });
      assertEnded(ended, code, "WebSocket protocol error");
      await tap.close();
    }
  });

  test("1003 when it sends bytes, 1009 when it sends too much", LIMITS, async () => {
    const offer = bearer(token("rude"));
    assertEnded(await ending(page, { offer, frames: [{ bytes: [1, 2, 3] }] }), 1003, "text frames only");
    assertEnded(await ending(page, { offer, frames: [{ text: "x", times: 70_000 }] }), 1009, "WebSocket protocol error");
  });
});

test("a page sees 4000 when its node ends", LIMITS, async () => {
  const ended = ending(page, { offer: bearer(token("last")), frames: [joining("last")] });
  await inhabited("last");
  await node.child.stop({ within: 20_000 });
  assertEnded(await ended, 4000, "drain");
});
