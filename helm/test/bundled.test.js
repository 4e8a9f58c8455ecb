import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { text } from "node:stream/consumers";
import { withGroup } from "../../deploy/local/processes.js";
import { BINARIES } from "../../deploy/test/settings.js";
import { LOOPBACK, onFreePort } from "../../deploy/local/ports.js";
import { findPrograms } from "../../deploy/local/tools.js";
import { ping } from "../../deploy/local/redis.js";
import { materialise, startPod } from "./pods.js";
import { find, render } from "./render.js";

/** The Redis that a release brings for trying, run with the script of its container, and nodes over it. */

const LIMITS = { timeout: 60_000 };
const NAME = "demo-signal-cluster-redis";

/** Starts it on a free port. @param {import("../../deploy/local/processes.js").Group} group @param {import("./render.js").Manifest[]} manifests @param {string} password */
function startBundled(group, manifests, password) {
  const { spec } = find(manifests, "Deployment", NAME).spec.template;
  const [{ command, args }] = spec.containers;
  return onFreePort(async (port) => {
    const { mounts } = materialise(group, `redis-${port}`, spec, manifests);
    const script = args[0].replaceAll("/run/secrets/redis/", `${mounts["/run/secrets/redis"]}/`).replaceAll("/data", mounts["/data"]).replace("--port 6379", `--port ${port} --bind ${LOOPBACK}`);
    const [program, ...flags] = command;
    await group.start({ name: "redis", program, args: [...flags, script] }, (child) => child.ready(() => ping(port, password)));
    return port;
  });
}

/** What Redis answers to these words. @param {number} port @param {string} words */
async function ask(port, words) {
  const socket = connect(port, LOOPBACK);
  socket.write(`${words}QUIT\r\n`);
  return text(socket);
}

test("three nodes share the Redis of the release, under its password and their prefix", LIMITS, () =>
  withGroup(async (group) => {
    const manifests = render("--set", "redis.bundled=true,redis.prefix=eu:,signal.replicas=3,signal.drain.delaySeconds=0,signal.drain.deadlineSeconds=5");
    const password = Buffer.from(find(manifests, "Secret", "demo-signal-cluster-generated-redis").data?.password ?? "", "base64").toString();
    assert(password.length >= 32);
    const port = await startBundled(group, manifests, password);
    assert.match(await ask(port, "PING\r\n"), /^-NOAUTH/);
    assert.match(await ask(port, `AUTH ${password}\r\nCONFIG GET maxmemory-policy\r\n`), /noeviction/);
    const { replicas, template } = find(manifests, "Deployment", "demo-signal-cluster").spec;
    const spec = JSON.parse(JSON.stringify(template.spec).replace(`${NAME}:6379`, `${LOOPBACK}:${port}`));
    for (let at = 0; at < replicas; at += 1) {
      const { "signal-node": node } = await startPod(group, { "signal-node": findPrograms(BINARIES).node }, `pod-${at}`, spec, manifests);
      await node.child.ready(async () => (await fetch(`http://${node.ready.admin}/readyz`)).ok);
      await node.child.ready(async () => (await ask(port, `AUTH ${password}\r\nHLEN eu:nodes\r\n`)).endsWith(`:${at + 1}\r\n+OK\r\n`));
    }
  }));

test("nodes of the release alone reach it, and it reaches nobody, whatever networkPolicy says", () => {
  for (const enabled of ["true", "false"]) {
    const manifests = render("--set", `redis.bundled=true,networkPolicy.enabled=${enabled}`);
    const { spec } = find(manifests, "NetworkPolicy", NAME);
    const pod = find(manifests, "Deployment", NAME).spec.template.metadata.labels;
    for (const [label, value] of Object.entries(spec.podSelector.matchLabels)) assert.equal(pod[label], value);
    assert.deepEqual([spec.policyTypes, spec.egress], [["Ingress", "Egress"], undefined]);
    const [{ from: [{ podSelector }], ports }] = spec.ingress;
    assert.deepEqual(ports, [{ port: "redis" }]);
    const node = find(manifests, "Deployment", "demo-signal-cluster").spec.template.metadata.labels;
    assert.deepEqual(podSelector.matchLabels, Object.fromEntries(Object.keys(podSelector.matchLabels).map((label) => [label, node[label]])));
    assert.equal(podSelector.matchLabels["app.kubernetes.io/component"], "signal");
    assert.equal(podSelector.matchLabels["app.kubernetes.io/instance"], "demo");
  }
});
