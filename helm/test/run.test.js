import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createServer, request } from "node:http";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { once } from "node:events";
import { promisify } from "node:util";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { Group } from "../../deploy/local/processes.js";
import { findPrograms } from "../../deploy/local/tools.js";
import { mintToken } from "../../deploy/local/tokens.js";
import { startHaproxy } from "../../deploy/local/haproxy.js";
import { startRedis } from "../../deploy/local/redis.js";
import { environment, materialise, startPod, startRelay } from "./pods.js";
import { expressions } from "./monitoring.js";
import { CHART, find, fromYaml, read, render, run } from "./render.js";

/** A release, run: the processes of its pods from its manifests, behind haproxy, and a call through it. */

const LIMITS = { timeout: 120_000 };
const BINARIES = process.env.TARGET_DIR ?? fileURLToPath(new URL("../../target/debug", import.meta.url));
const { WebSocket } = createRequire(new URL("../../client/package.json", import.meta.url))("ws");
const exec = promisify(execFile);

const JWT = "0123456789abcdef0123456789abcdef";
const TURN = "fedcba9876543210fedcba9876543210";

/** A Secret as an operator makes it. @param {string} name @param {string} key @param {string} value */
function secret(name, key, value) {
  return { kind: "Secret", metadata: { name }, data: { [key]: Buffer.from(value).toString("base64") } };
}

/** The Service of the credential service: who asks it asks by this name. */
const TURN_SERVICE = "demo-signal-cluster-turn:8091";

/**
 * Stands for a Service of the cluster: passes requests on to its pod, by the name that they would have there.
 * @param {string} pod its address
 * @param {AbortSignal} signal ends it
 * @returns {Promise<string>} its address here
 */
async function startServiceOf(pod, signal) {
  const [host, port] = pod.split(":");
  const server = createServer((question, answer) => {
    const { method, url: path, headers } = question;
    const passed = request({ host, port, method, path, headers: { ...headers, host: TURN_SERVICE } }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    passed.on("error", () => answer.destroy());
    question.pipe(passed);
  });
  signal.addEventListener("abort", () => { server.close(); server.closeAllConnections(); });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}`;
}

/** Starts everything that the manifests ask for. @param {Group} group @param {string} mode of the credential service @param {AbortSignal} signal */
async function release(group, mode, signal) {
  const programs = findPrograms(BINARIES);
  const redis = await startRedis(group, programs.redis, "redis");
  const values = [
    "--set", "signal.replicas=2,signal.drain.delaySeconds=0,signal.drain.deadlineSeconds=5",
    "--set", "redis.existingSecret=redis,auth.jwt.existingSecret=jwt",
    "--set", `turn.mode=${mode},turn.secret.existingSecret=relays`,
    "--set", "coturn.enabled=true,coturn.relays[0].name=one,coturn.relays[0].externalIp=127.0.0.1",
    "--set", "signal.config.room_capacity=2",
  ];
  const manifests = render(...values);
  const secrets = [secret("redis", "url", redis.url), secret("jwt", "jwt", JWT), secret("relays", "turn", TURN)];
  const relay = await startRelay(group, find(manifests, "Deployment", "demo-signal-cluster-coturn-one").spec.template.spec, [...manifests, ...secrets]);
  const objects = JSON.parse(JSON.stringify([...manifests, ...secrets]).replaceAll("turn:127.0.0.1:3478", `turn:127.0.0.1:${relay}`));
  const { spec: written } = find(manifests, "Deployment", "demo-signal-cluster").spec.template;
  const containers = { "signal-node": programs.node, "turn-cred-service": programs.credentials };
  let spec = written;
  if (mode === "deployment") {
    const pod = await startPod(group, containers, "turn-0", find(manifests, "Deployment", "demo-signal-cluster-turn").spec.template.spec, objects);
    const service = await startServiceOf(pod["turn-cred-service"].ready.internal, signal);
    spec = JSON.parse(JSON.stringify(written).replace(TURN_SERVICE, service));
    assert.notDeepEqual(spec, written, "the node asks the Service");
  }
  const pods = [];
  for (let at = 0; at < find(manifests, "Deployment", "demo-signal-cluster").spec.replicas; at += 1) pods.push(await startPod(group, containers, `pod-${at}`, spec, objects));
  const nodes = pods.map((pod, at) => asNode(`node-${at + 1}`, pod["signal-node"]));
  const balancer = await startHaproxy(group, programs.haproxy, /** @type {any} */ (nodes));
  return { containers, balancer, manifests, objects, pods, nodes };
}

/** @param {string} name @param {{child: any, ready: Record<string, string>}} started */
function asNode(name, { child, ready }) {
  return { name, origin: `http://${ready.public}`, admin: `http://${ready.admin}`, process: child };
}

/** A member of a room, frame by frame. */
class Member {
  /** @type {any[]} */
  #heard = [];

  /** @param {string} origin @param {string} sub */
  constructor(origin, sub) {
    const token = mintToken(JWT, { sub, room: "demo" });
    this.socket = new WebSocket(`${origin.replace("http", "ws")}/v1/ws`, ["signal.v1", `bearer.${token}`]);
    this.socket.on("message", (/** @type {Buffer} */ data) => {
      this.#heard.push(JSON.parse(data.toString()));
      this.socket.emit("heard");
    });
  }

  /** @param {object} frame */
  say(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** Waits for a frame of this type. @param {string} type @returns {Promise<any>} */
  async hear(type) {
    for (;;) {
      const at = this.#heard.findIndex((frame) => frame.type === type);
      if (at >= 0) return this.#heard.splice(at, 1)[0];
      await once(this.socket, "heard");
    }
  }

  /** @param {string} key of 22 characters */
  async join(key) {
    const { node } = await this.hear("welcome");
    this.say({ type: "join", id: 1, room: "demo", key, try: 1, meta: {} });
    return { node, ...(await this.hear("joined")) };
  }
}

/** Calls with a release, and stops it. @param {string} mode @param {(group: Group, release: any) => Promise<void>} act */
async function withRelease(mode, act) {
  const group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
  const ending = new AbortController();
  try {
    await act(group, await release(group, mode, ending.signal));
  } finally {
    await group.stop();
    ending.abort();
  }
}

test("members get ICE servers from a credential service in pods of its own, and helm test passes", LIMITS, () =>
  withRelease("deployment", async (group, { balancer, containers, manifests, objects }) => {
    const ana = new Member(balancer.origin, "ana");
    const { ice } = await ana.join("A".repeat(22));
    assert.match(ice?.iceServers[0].urls[0] ?? "none", /^turn:127/);
    await helmTest(group, { containers, manifests, objects, origin: balancer.origin });
    ana.socket.terminate();
  }));

test("a call comes about over the pods of a release", LIMITS, () =>
  withRelease("sidecar", async (group, { balancer, containers, manifests, nodes, objects, pods }) => {
    for (const { name } of nodes) await balancer.sends(name);
    // One after the other: the balancer sends a socket to the node that has fewest.
    const ana = new Member(balancer.origin, "ana");
    const here = await ana.join("A".repeat(22));
    const bo = new Member(balancer.origin, "bo");
    const there = await bo.join("B".repeat(22));
    assert.notEqual(here.node, there.node, "the two are on two pods");
    const offer = { description: { type: "offer", sdp: "v=0" } };
    bo.say({ type: "signal", mid: 1, room: "demo", to: here.self.id, data: offer });
    assert.deepEqual((await ana.hear("signal")).data, offer);
    assert.match(there.ice.iceServers[0].urls[0], /^turn:127/);

    // What stands in the ConfigMap reaches the node.
    const cy = new Member(balancer.origin, "cy");
    await cy.hear("welcome");
    cy.say({ type: "join", id: 1, room: "demo", key: "C".repeat(22), try: 1, meta: {} });
    assert.equal((await cy.hear("error")).code, "room_full");

    await helmTest(group, { containers, manifests, objects, origin: balancer.origin });
    // Metrics of calls begin with the first report.
    const errors = [{ relay: "turn.example.org:3478", transport: "udp", code: 401, count: 1, at: 35 }];
    const call = { attempt: 1, state: "connected", offer: 12, connected: 400, now: 410, local: "host", remote: "host", protocol: "udp", errors };
    ana.say({ type: "report", room: "demo", peer: there.self.id, at: Date.now(), call });
    ana.say({ type: "ping" });
    await ana.hear("pong");
    await checkMetrics(pods);

    for (const { process } of nodes) process.process.kill("SIGTERM");
    assert.equal((await ana.hear("goaway")).reason, "drain");
    for (const { socket } of [ana, bo, cy]) socket.terminate();
  }));

/** Runs what `helm test` runs, against this release. @param {Group} group @param {any} release */
async function helmTest(group, { containers, manifests, objects, origin }) {
  const tests = manifests.filter((/** @type {import("./render.js").Manifest} */ { kind }) => kind === "Pod");
  for (const { metadata, spec } of tests) {
    const pod = materialise(group, metadata.name, spec, objects);
    const [container] = spec.containers;
    const service = "ws://demo-signal-cluster:80";
    const args = container.args.map((/** @type {string} */ word) => word.replace(service, origin.replace("http", "ws")));
    // The relay of this test is on this very machine.
    if (container.name === "turn-cred-service") args.push("--allow-loopback");
    const { stdout } = await exec(containers[container.name], args, { env: environment(container, pod) });
    assert.match(stdout, /^0 failed/m, stdout);
    if (container.name === "turn-cred-service") assert.match(stdout, /ok +quota +one user gets 28 allocations/);
  }
}

/** Everything that dashboards and alerts name exists, by the names that Prometheus asks for. @param {any[]} pods */
async function checkMetrics(pods) {
  const admins = pods.flatMap((pod) => [pod["signal-node"].ready.admin, pod["turn-cred-service"].ready.admin]);
  const scrapes = await Promise.all(admins.map(async (admin) => (await fetch(`http://${admin}/metrics`)).text()));
  for (const scrape of scrapes) assert.equal(run("promtool", ["check", "metrics"], scrape), "");
  const live = new Set(scrapes.flatMap((scrape) => [...scrape.matchAll(/^(\w+)/gm)].map(([name]) => name)));
  const [{ groups }] = fromYaml(read("rules/alerts.yaml"));
  const alerts = groups.flatMap((/** @type {{rules: {expr: string}[]}} */ { rules }) => rules.map(({ expr }) => expr));
  const panels = readdirSync(`${CHART}/dashboards`).flatMap(expressions);
  const named = new Set([...alerts, ...panels].flatMap((expr) => expr.match(/\b(signal|turncred|process)_\w+/g) ?? []));
  assert(named.size > 25, `${named.size} metrics are named`);
  assert.deepEqual([...named].filter((name) => !live.has(name)), []);
}
