import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { container, confinement, environment, makeSecrets, mount, ownFolder } from "./compose.js";
import { CANNOT_CONFINE, confined, markedRelay } from "./confined.js";
import { Group } from "../local/processes.js";
import { LOOPBACK, onFreePort } from "../local/ports.js";
import { bind } from "../local/coturn.js";
import { findPrograms } from "../local/tools.js";
import { ping } from "../local/redis.js";
import { startService } from "../local/services.js";
import { BINARIES, inFolder, run } from "./settings.js";

/**
 * Redis and the relay of Compose, run: their commands, users and capabilities, with the files that make-secrets.sh
 * makes, and the services with what they get. Ports are free ones of loopback, and folders are the test's.
 *
 * @typedef {import("./compose.js").Files} Files
 */

const LIMITS = { timeout: 60_000 };
const PROGRAMS = findPrograms(BINARIES);

/** Calls with a group and the secrets that it may use. @param {(group: Group, secrets: Files) => Promise<void>} act */
async function withSecrets(act) {
  const group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  try {
    await act(group, makeSecrets(group.dir));
  } finally {
    await group.stop();
  }
}

/** @param {Group} group @param {Files} secrets @returns {Promise<number>} its port */
function startRedis(group, secrets) {
  const { password } = new URL(readFileSync(secrets["redis-url"], "utf8"));
  return onFreePort(async (port) => {
    const folder = ownFolder(group, "redis", `redis-${port}`);
    const mounted = mount("redis", folder, secrets, (text) => text.replace("dir /data", `dir ${folder}`));
    const what = container("redis", PROGRAMS.redis, mounted, ["--port", String(port), "--bind", LOOPBACK]);
    await group.start(what, (child) => child.ready(() => ping(port, password)));
    return port;
  });
}

/** @param {Group} group @param {string} program @param {Files} secrets @returns {Promise<number>} its port */
function startRelay(group, program, secrets) {
  return onFreePort(async (port) => {
    const folder = ownFolder(group, "relay", `relay-${port}`);
    const moved = (/** @type {string} */ text) => text.replace("listening-port=3478", `listening-port=${port}`).replace("/tmp/", `${folder}/`);
    const further = [`--listening-ip=${LOOPBACK}`, `--relay-ip=${LOOPBACK}`, `--userdb=${folder}/turndb`];
    const what = container("relay", program, mount("relay", folder, secrets, moved), further);
    await group.start(what, (child) => child.ready(() => bind(port)));
    return port;
  });
}

/** Starts a node of Compose with the Redis at a port. @param {Group} group @param {Files} secrets @param {number} redis */
function startNode(group, secrets, redis) {
  const folder = ownFolder(group, "node-1", `node-${redis}`);
  const mounted = mount("node-1", folder, secrets, (text) => text.replace("redis:6379", `${LOOPBACK}:${redis}`));
  const addresses = { SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0` };
  return startService(group, { name: "node-1", program: PROGRAMS.node, env: { ...environment("node-1", mounted), ...addresses } });
}

/** What the doctor of the credential service says of a relay, check by check. @param {Files} secrets @param {number} relay @returns {Promise<any[]>} */
async function examine(secrets, relay) {
  const env = environment("credentials-1", secrets);
  const variables = { ...env, TURN_CRED_URIS: env.TURN_CRED_URIS.replaceAll(":3478", `:${relay}`) };
  // It fails, since this relay reaches private networks on purpose; what it found is on standard output all the same.
  const stdout = await new Promise((resolve) => {
    execFile(PROGRAMS.credentials, ["doctor", "--json", "--allow-loopback"], { env: variables }, (_, text) => resolve(text));
  });
  return JSON.parse(stdout).relays;
}

test("Redis admits who has the password that was made, and a node has it", LIMITS, () => withSecrets(async (group, secrets) => {
  const redis = await startRedis(group, secrets);
  assert.equal(await ping(redis, "another"), false);
  const { ready } = await startNode(group, secrets, redis);
  assert.equal((await fetch(`http://${ready.admin}/readyz`)).status, 200);
}));

test("the relay admits who has credentials made with the secret that was made", LIMITS, () => withSecrets(async (group, secrets) => {
  const program = CANNOT_CONFINE ? PROGRAMS.coturn : markedRelay(ownFolder(group, "relay", "image"));
  const relays = await examine(secrets, await startRelay(group, program, secrets));
  assert.deepEqual(relays.map(({ url }) => url.split("=")[1]), ["udp", "tcp"]);
  for (const { checks } of relays) {
    const failed = checks.filter((/** @type {any} */ { verdict }) => verdict === "fail");
    assert.deepEqual(failed.map((/** @type {any} */ { check }) => check), ["peers"]);
    for (const wanted of ["allocation", "refresh", "wrong-secret", "expiry"]) {
      assert.equal(checks.find((/** @type {any} */ { check }) => check === wanted)?.verdict, "ok", wanted);
    }
  }
}));

test("the kernel starts the program of the relay's image with its capability, and not without", { skip: CANNOT_CONFINE }, () => {
  inFolder((folder) => {
    chmodSync(folder, 0o711);
    const image = markedRelay(folder);
    const version = (/** @type {string[]} */ capabilities) => {
      const { program, args } = confined({ ...confinement("relay"), capabilities }, image, ["--version"]);
      return run(program, args);
    };
    assert.throws(() => version([]), /Operation not permitted/);
    assert.match(version(confinement("relay").capabilities), /^\d+\.\d+/);
  });
});
