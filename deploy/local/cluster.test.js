import assert from "node:assert/strict";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { text } from "node:stream/consumers";
import { setTimeout as wait } from "node:timers/promises";
import { Group } from "./processes.js";
import { fillIn } from "./templates.js";
import { onFreePort } from "./ports.js";
import { startCluster } from "./cluster.js";

/** The local cluster itself: that it starts, ends however it has to, and explains itself when it cannot. */

const LIMITS = { timeout: 60_000 };
const BINARIES = process.env.TARGET_DIR ?? fileURLToPath(new URL("../../target/debug", import.meta.url));
const MAIN = fileURLToPath(new URL("main.js", import.meta.url));
const PROCESSES = new URL("processes.js", import.meta.url).href;

/** A program that says where it listens and stays. */
const SERVER = `require("node:net").createServer().listen(0, "127.0.0.1", function () {
  console.log("to be ignored");
  console.log(JSON.stringify({ event: "listening", port: this.address().port }));
})`;

/** Tells whether anything listens there. @param {number} port @returns {Promise<boolean>} */
function listens(port) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** Every TCP port a cluster has open. @param {import("./cluster.js").Cluster} cluster */
function portsOf({ balancer, redis, relays, nodes }) {
  const urls = [balancer.origin, ...Object.values(balancer.origins), ...nodes.flatMap(({ origin, admin, credentials }) => [origin, admin, credentials.origin, credentials.admin])];
  return [redis.port, ...relays.map(({ port }) => port), ...urls.map((url) => Number(new URL(url).port))];
}

/** Runs main.js until it says that everything is ready. @param {string[]} args */
async function runMain(...args) {
  const child = spawn(process.execPath, [MAIN, ...args, BINARIES], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close").then(([code]) => code);
  const complaint = text(child.stderr);
  const lines = [];
  const ready = new Promise((resolve) => createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    if (line.startsWith("Ctrl-C")) resolve(true);
  }));
  await Promise.race([ready, ended]);
  const value = (name) => lines.map((line) => line.trim()).find((line) => line.startsWith(name))?.split(/\s+/)[1];
  return { child, ended, complaint, lines, value };
}

test("a stopped cluster leaves no port open and no folder", LIMITS, async () => {
  const cluster = await startCluster({ binaries: BINARIES });
  const ports = portsOf(cluster);
  assert.deepEqual(await Promise.all(ports.map(listens)), ports.map(() => true));
  await cluster.stop();
  assert.deepEqual(await Promise.all(ports.map(listens)), ports.map(() => false));
  assert.ok(!existsSync(cluster.dir));
  const ends = await Promise.all(cluster.nodes.flatMap(({ process: node, credentials }) => [node.ended, credentials.process.ended]));
  assert.deepEqual([...new Set(ends)], ["ended with code 0"], "nobody had to be killed");
});

test("a node and a relay that were killed start again where they were", LIMITS, async () => {
  const cluster = await startCluster({ binaries: BINARIES, nodes: 1 });
  const [node] = cluster.nodes;
  const ports = portsOf(cluster);
  for (const part of [node, ...cluster.relays]) {
    const killed = part.process;
    killed.kill();
    assert.equal(await killed.ended, "was ended by SIGKILL");
    await part.restart();
    assert.notEqual(part.process, killed);
  }
  await cluster.balancer.sends(node.name);
  assert.equal((await fetch(`${node.admin}/readyz`)).status, 200);
  assert.deepEqual(await Promise.all(ports.map(listens)), ports.map(() => true));
  await cluster.stop();
  assert.deepEqual(await Promise.all(ports.map(listens)), ports.map(() => false));
  assert.deepEqual([await node.process.ended, cluster.relays[0].process.alive], ["ended with code 0", false]);
});

test("every region has a relay, and all of them admit what is signed with the secret in Redis, and with the next one", LIMITS, async () => {
  const relays = [{ region: "eu", countries: ["DE"] }, { region: "us", countries: ["US", "CA"] }];
  const cluster = await startCluster({ binaries: BINARIES, nodes: 1, relays, secrets: "redis" });
  const ports = portsOf(cluster);
  assert.deepEqual(await Promise.all(ports.map(listens)), ports.map(() => true));
  assert.deepEqual(Object.keys(cluster.balancer.origins), ["DE", "US", "CA"]);
  const settings = { ...cluster.secrets, TURN_CRED_CONFIG: cluster.relaysFile };
  const verdicts = cluster.relays.map(({ url }) => `${url}: ok`);
  assert.deepEqual(await admissions(settings), verdicts);
  const { code, stdout } = await run(settings, "rotate");
  assert.equal(code, 0);
  assert.match(stdout, /every answering relay accepts secret \w+: it signs now/);
  assert.deepEqual(await admissions(settings), verdicts);
  await cluster.stop();
  assert.deepEqual(await Promise.all(ports.map(listens)), ports.map(() => false));
});

/** What the doctor finds when it allocates at each relay. @param {Record<string, string>} settings */
async function admissions(settings) {
  const { relays } = JSON.parse((await run(settings, "doctor", "--json", "--allow-loopback")).stdout);
  return relays.map(({ url, checks }) => `${url}: ${checks.find(({ check }) => check === "allocation").verdict}`);
}

/** Runs the credential service for one of its commands. @param {Record<string, string>} env @param {string[]} args */
async function run(env, ...args) {
  const child = spawn(join(BINARIES, "turn-cred-service"), args, { env, stdio: ["ignore", "pipe", "ignore"] });
  const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, "close")]);
  return { code, stdout };
}

test("main.js shows where everything is and ends with code 0 on Ctrl-C", LIMITS, async () => {
  const { child, ended, lines, value } = await runMain("--nodes", "1");
  const origin = value("Balancer");
  const [link] = lines.map((line) => line.trim()).filter((line) => line.includes("name=Ana"));
  assert.ok(link.startsWith(`${origin}/?room=demo&name=Ana#token=ey`), link);
  assert.equal((await fetch(origin)).status, 200);
  child.kill("SIGINT");
  assert.equal(await ended, 0);
  assert.equal(lines.at(-1), "Everything has stopped.");
  assert.equal(await listens(Number(new URL(origin).port)), false);
  assert.ok(!existsSync(value("Logs")));
});

test("main.js that is interrupted while it starts ends with code 0 too", LIMITS, async () => {
  const child = spawn(process.execPath, [MAIN, BINARIES], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close");
  const complaint = text(child.stderr);
  const lines = createInterface({ input: child.stdout });
  await once(lines, "line");
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  assert.equal(await complaint, "");
});

test("a part that dies brings the rest down, with the end of its log", LIMITS, async () => {
  const { ended, complaint, lines, value } = await runMain("--nodes", "1");
  const [, port] = /Redis answers on port (\d+)/.exec(lines.join("\n"));
  spawn("sh", ["-c", `kill $(sed -n 's/^pidfile=//p' "$0/coturn-default.conf" | xargs cat)`, value("Logs")]);
  assert.equal(await ended, 1);
  assert.match(await complaint, /^cluster: coturn-default (was ended by SIGTERM|ended with code \d+)\n {2}\| /);
  assert.equal(await listens(Number(port)), false);
});

test("everything that is missing is named at once, with how to get it", LIMITS, async () => {
  const child = spawn(process.execPath, [MAIN, "/nowhere"], { env: { PATH: "/nowhere" }, stdio: ["ignore", "ignore", "pipe"] });
  const complaint = await text(child.stderr);
  for (const part of ["redis-server", "turnserver", "apt-get install redis-server coturn", "cargo build -p signal-node -p turn-cred-service"]) {
    assert.ok(complaint.includes(part), `${part} in: ${complaint}`);
  }
});

test("a command line that makes no sense ends with code 64", LIMITS, async () => {
  for (const args of [["--nodes", "none"], ["--ttl", "soon"], ["--port", "1"], ["a", "b"]]) {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: "ignore" });
    assert.deepEqual(await once(child, "close"), [64, null], args.join(" "));
  }
});

test("a child that does not start is shown with the end of its log and tried on other ports", LIMITS, async () => {
  const group = new Group({ interrupted: () => {} });
  const ports = new Set();
  const waiting = (child) => child.ready(async () => false);
  const start = (port) => {
    ports.add(port);
    return group.start({ name: "broken", program: process.execPath, args: ["-e", 'console.error("no room"); process.exit(3)'] }, waiting);
  };
  await assert.rejects(onFreePort(start), /^Error: broken ended with code 3\n {2}\| no room/);
  await assert.rejects(group.start({ name: "absent", program: "/nowhere" }, waiting), /absent could not be started: spawn \/nowhere ENOENT/);
  await group.stop();
  assert.equal(ports.size, 3);
});

test("children and folder do not outlive a parent that ends by an error", LIMITS, async () => {
  const parent = `import { Group } from ${JSON.stringify(PROCESSES)};
    const group = new Group({ interrupted: () => {} });
    const server = { name: "server", program: process.execPath, args: ["-e", ${JSON.stringify(SERVER)}] };
    const { ready } = await group.start(server, (child) => child.announcement(({ event }) => event === "listening"));
    console.log(JSON.stringify({ port: ready.port, dir: group.dir }));
    setImmediate(() => { throw new Error("on purpose"); });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", parent], { stdio: ["ignore", "pipe", "ignore"] });
  const ended = once(child, "close");
  const { port, dir } = JSON.parse(await text(child.stdout));
  assert.deepEqual(await ended, [1, null]);
  // Nobody is left who could wait for the killed child to be gone.
  while (await listens(port)) await wait(10);
  assert.ok(!existsSync(dir));
});

test("a word of a configuration file that nobody fills in is an error", () => {
  assert.throws(() => fillIn("haproxy/local.cfg", { port: 1, socket: "", header: "", countries: "" }), /haproxy\/local\.cfg asks for \{\{servers\}\}/);
});
