import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { SignalClient } from "../../client/src/index.js";
import { LOOPBACK, findPort } from "../local/ports.js";
import { findPrograms } from "../local/tools.js";
import { mintToken } from "../local/tokens.js";
import { startCoturn } from "../local/coturn.js";
import { startRedis } from "../local/redis.js";
import { startService } from "../local/services.js";
import { withGroup } from "../local/processes.js";
import { BINARIES } from "./settings.js";
import { PAGE, isOnThePage } from "./failure-page.js";

/** docs/WHEN-A-CALL-FAILS.md for operators: its faults are made here, and what is said then stands on the page. */

const KEY = "failures/0123456789+0123456789abcdef0123456789abcdef=";
const ENV = { SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_DRAIN_DELAY: "0s", SIGNAL_NODE_JWT_SECRET: KEY };
const LIMITS = { timeout: 60_000 };
const { WebSocket } = createRequire(new URL("../../client/package.json", import.meta.url))("ws");
const programs = findPrograms(BINARIES);

/** @param {Record<string, string>} env */
const nodeEnv = (env) => ({ ...ENV, ...env });

/** The first message of a log that is such, from now on. @param {import("../local/processes.js").Child} child @param {RegExp} such @returns {Promise<string>} */
function logged(child, such) {
  const lines = createInterface({ input: child.process.stderr });
  return new Promise((resolve) => lines.on("line", (text) => {
    const { fields } = JSON.parse(text);
    if (such.test(fields.message)) resolve(fields.message);
  }));
}

test("a node that cannot use Redis says in its log and to its probe what the page says", LIMITS, () => withGroup(async (group) => {
  const redis = await startRedis(group, programs.redis, "redis");
  const env = nodeEnv({ SIGNAL_NODE_BACKEND: "redis", SIGNAL_NODE_REDIS_URL: redis.url, SIGNAL_NODE_LEASE: "1s" });
  const { child, ready } = await startService(group, { name: "node", program: programs.node, env });
  const probe = () => fetch(`http://${ready.admin}/readyz`);
  /** @param {string} reason @param {Promise<string>} trouble */
  const isToldOf = async (reason, trouble) => {
    const prefix = "trouble with the room log: ";
    const message = await trouble;
    assert(message.startsWith(`${prefix}${reason}`), message);
    isOnThePage(message.slice(prefix.length));
    const answer = await probe();
    assert.equal(answer.status, 503);
    assert((await answer.json()).detail.includes(reason));
  };
  const cli = (/** @type {string[]} */ ...words) => execFileSync("redis-cli", ["-p", String(redis.port), ...words], { env: { ...process.env, REDISCLI_AUTH: redis.password } });

  const full = logged(child, /^trouble with/);
  cli("CONFIG", "SET", "maxmemory", "1");
  await isToldOf("Redis refuses to write", full);
  const answers = logged(child, /^Redis answers/);
  cli("CONFIG", "SET", "maxmemory", "2gb");
  isOnThePage(await answers);
  const gone = logged(child, /^trouble with/);
  redis.process.kill();
  await isToldOf("Redis has not answered for a lease", gone);
}));

test("a node that Redis rejects names the code on the page", LIMITS, () => withGroup(async (group) => {
  const redis = await startRedis(group, programs.redis, "redis");
  for (const [user, code] of [[":wrong@", "WRONGPASS"], ["", "NOAUTH"]]) {
    const env = nodeEnv({ SIGNAL_NODE_BACKEND: "redis", SIGNAL_NODE_REDIS_URL: `redis://${user}${LOOPBACK}:${redis.port}` });
    const { stderr } = spawnSync(programs.node, { env, encoding: "utf8" });
    assert(stderr.includes(code), stderr);
    isOnThePage(code);
  }
}));

test("a node without its credential service says so, and the SDK warns, in words of the page", LIMITS, () => withGroup(async (group) => {
  const env = nodeEnv({ SIGNAL_NODE_CREDENTIALS_URL: `unix:${join(group.dir, "nobody.sock")}` });
  const { child, ready } = await startService(group, { name: "node", program: programs.node, env });
  const line = logged(child, /^no ICE servers/);
  const client = new SignalClient({ url: `ws://${ready.public}`, token: mintToken(KEY, { sub: "ana", room: "demo" }), WebSocket });
  try {
    const warned = new Promise((resolve) => client.on("warning", resolve));
    await client.join("demo", {});
    const { code, what } = await warned;
    isOnThePage(code);
    isOnThePage(what);
    isOnThePage(await line);
  } finally {
    client.close();
  }
}));

/** What fails of a relay, and what to do. @param {Record<string, string>} env @returns {string[]} */
function examine(env) {
  const { stdout } = spawnSync(programs.credentials, ["doctor", "--json", "--allow-loopback"], { env, encoding: "utf8" });
  const failed = JSON.parse(stdout).relays.flatMap((/** @type {any} */ relay) => relay.checks).filter((/** @type {any} */ { verdict }) => verdict === "fail");
  return failed.flatMap((/** @type {any} */ { found, advice }) => [found, advice]);
}

test("a relay that is down, or has another secret, fails doctor and probes in words of the page", LIMITS, () => withGroup(async (group) => {
  const relay = await startCoturn(group, programs.coturn, { region: "one", admission: { secret: KEY } });
  const other = { TURN_CRED_SECRET: KEY.replace("f", "g"), TURN_CRED_URIS: relay.url };
  const rejected = examine(other);
  assert(rejected.includes("the relay answered with error 401"), String(rejected));
  for (const text of rejected.slice(0, 2)) isOnThePage(text);
  const env = { ...other, TURN_CRED_SECRET: KEY, TURN_CRED_LISTEN: `${LOOPBACK}:0`, TURN_CRED_ADMIN_LISTEN: `${LOOPBACK}:0`, TURN_CRED_JWT_SECRET: KEY };
  const { child } = await startService(group, { name: "credentials", program: programs.credentials, env });
  const down = logged(child, /^relay .* failed at/);
  relay.process.kill();
  isOnThePage(await down);
  const [nothing] = examine({ ...other, TURN_CRED_URIS: `turn:${LOOPBACK}:${await findPort()}?transport=tcp` });
  isOnThePage(nothing.replace(`${LOOPBACK}: `, ""));
}));

test("the commands of the page are those of the programs", () => {
  const commands = [...PAGE.matchAll(/(?:^|`|\s)(signal-node|turn-cred-service) ([a-z][a-z-]*(?: [a-z]+)*)((?: --[a-z-]+ ?[^\s`]*)*)(?=`|$)/gm)];
  assert(commands.length > 15, `${commands.length} commands`);
  for (const [, program, words, options] of commands) {
    const path = program === "signal-node" ? programs.node : programs.credentials;
    const { status, stdout } = spawnSync(path, [...words.split(" "), "--help"], { encoding: "utf8" });
    assert.equal(status, 0, `${program} ${words}`);
    for (const [flag] of options.matchAll(/--[a-z-]+/g)) assert(stdout.includes(`${flag} `), `${program} ${words} ${flag}`);
  }
});
