import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { CANNOT_CONFINE } from "../../deploy/test/confined.js";
import { withGroup } from "../../deploy/local/processes.js";
import { LOOPBACK, onFreePort } from "../../deploy/local/ports.js";
import { bind } from "../../deploy/local/coturn.js";
import { findPrograms } from "../../deploy/local/tools.js";
import { BINARIES } from "../../deploy/test/settings.js";
import { materialise, relayScript } from "./pods.js";
import { find, render } from "./render.js";

/** The container of a relay, run: it ends when it is told, drains before, and follows the keys of its Secret. */

const LIMITS = { timeout: 60_000 };
const OLD = "0123456789abcdef0123456789abcdef";
const NEW = "fedcba9876543210fedcba9876543210";
const RELAYS = ["one", "two"].flatMap((name, at) => [`coturn.relays[${at}].name=${name}`, `coturn.relays[${at}].externalIp=127.0.0.1`]);
const VALUES = ["turn.mode=sidecar", "turn.secret.existingSecret=relays", "coturn.enabled=true", ...RELAYS];

/**
 * Makes the files of a relay's pod and the script of its container.
 * @param {import("../../deploy/local/processes.js").Group} group
 * @param {{name?: string, port: number, program?: string, address?: string, values?: string[]}} options
 */
function prepare(group, { name = "one", port, program = "turnserver", address = LOOPBACK, values = [] }) {
  const manifests = render(...[...VALUES, ...values].flatMap((value) => ["--set", value]));
  const secret = { kind: "Secret", metadata: { name: "relays" }, data: { turn: Buffer.from(`${OLD}\n`).toString("base64") } };
  const objects = JSON.parse(JSON.stringify([...manifests, secret]).replaceAll("listening-port=3478", `listening-port=${port}`));
  const { spec } = find(manifests, "Deployment", `demo-signal-cluster-coturn-${name}`).spec.template;
  const pod = materialise(group, `relay-${port}`, spec, objects);
  const script = relayScript(spec.containers[0], pod, program, address);
  return { script, keys: join(pod.folder, "secret/secret"), log: join(group.dir, `relay-${port}.log`), name: `relay-${port}` };
}

/** Starts a relay with its script. @param {import("../../deploy/local/processes.js").Group} group @param {Omit<Parameters<typeof prepare>[1], "port">} [options] */
function startRelay(group, options = {}) {
  return onFreePort(async (port) => {
    const { script, name, ...files } = prepare(group, { port, ...options });
    const { child } = await group.start({ name, program: "/bin/sh", args: ["-ec", script] }, (starting) => starting.ready(() => bind(port)));
    return { port, child, ...files };
  });
}

/** Waits until a file has these words, or a child ends. @param {string} file @param {RegExp} words @param {import("../../deploy/local/processes.js").Child} child */
async function hasSaid(file, words, child) {
  await child.ready(async () => existsSync(file) && words.test(readFileSync(file, "utf8")));
}

/** Whether a relay gives an allocation for a credential that a key signs. @param {string} host @param {number} port @param {string} key @returns {Promise<boolean>} */
function admits(host, port, key) {
  const env = { TURN_CRED_URIS: `turn:${host}:${port}?transport=udp`, TURN_CRED_SECRET: key };
  return new Promise((resolve) => {
    execFile(findPrograms(BINARIES).credentials, ["doctor", "--allow-loopback"], { env }, (_, stdout) => resolve(/^ *ok +allocation/m.test(stdout)));
  });
}

test("as the first process of its container a relay ends as soon as it is told to", { ...LIMITS, skip: CANNOT_CONFINE }, () => withGroup(async (group) => {
  await onFreePort(async (port) => {
    const { script, name } = prepare(group, { port });
    const args = ["--pid", "--fork", "--kill-child", "/bin/sh", "-ec", script];
    const { child } = await group.start({ name, program: "unshare", args }, (starting) => starting.ready(() => bind(port)));
    const { pid } = child.process;
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    const stopped = child.stop({ within: 20_000 });
    const began = Date.now();
    process.kill(Number(first), "SIGTERM");
    assert.equal(await child.ended, "ended with code 0");
    assert(Date.now() - began < 8_000, `${Date.now() - began} ms`);
    await stopped;
    assert.equal(await bind(port), false);
  });
}));

/** What stands for coturn 4.6.3, which drains at SIGUSR1; older ones end with their calls. @param {import("../../deploy/local/processes.js").Group} group @param {string} drained what it does then */
function startDraining(group, drained) {
  const script = `#!/bin/sh\ntrap 'echo draining; ${drained}' USR1\ntrap 'echo terminated; exit 0' TERM\necho started\nwhile :; do sleep 0.1; done\n`;
  const program = group.write("relay.sh", script);
  return onFreePort(async (port) => {
    const { script: own, name, log } = prepare(group, { port, program: `/bin/sh ${program}`, values: ["coturn.drainSeconds=3"] });
    const { child } = await group.start({ name, program: "/bin/sh", args: ["-ec", own] }, (starting) => hasSaid(log, /started/, starting));
    return { child, log };
  });
}

test("a relay that is told to end drains, and ends with its last allocation", LIMITS, () => withGroup(async (group) => {
  const { child, log } = await startDraining(group, "exit 0");
  await child.stop({ within: 20_000 });
  assert.equal(await child.ended, "ended with code 0");
  assert.deepEqual(readFileSync(log, "utf8").trim().split("\n"), ["started", "draining"]);
}));

test("a relay whose allocations stay is ended when the drain is over", LIMITS, () => withGroup(async (group) => {
  const { child, log } = await startDraining(group, ":");
  await child.stop({ within: 20_000 });
  assert.equal(await child.ended, "ended with code 0");
  assert.deepEqual(readFileSync(log, "utf8").trim().split("\n"), ["started", "draining", "terminated"]);
}));

test("the grace period of a relay is longer than its drain", () => {
  const spec = find(render(...[...VALUES, "coturn.drainSeconds=3600"].flatMap((value) => ["--set", value])), "Deployment", "demo-signal-cluster-coturn-one").spec.template.spec;
  assert.equal(spec.terminationGracePeriodSeconds, 3615);
});

test("a relay whose program ends, ends with it", LIMITS, () => withGroup(async (group) => {
  const program = group.write("relay.sh", "#!/bin/sh\necho started; exit 7\n");
  await onFreePort(async (port) => {
    const { script, name, log } = prepare(group, { port, program: `/bin/sh ${program}` });
    const { child } = await group.start({ name, program: "/bin/sh", args: ["-ec", script] }, (starting) => hasSaid(log, /started/, starting));
    assert.equal(await child.ended, "ended with code 7");
  });
}));

test("a relay follows the keys of its Secret: the old and the new one are good at once, and a file without keys changes nothing", LIMITS, () => withGroup(async (group) => {
  const { port, child, keys, log } = await startRelay(group);
  assert(await admits(LOOPBACK, port, OLD));
  assert.equal(await admits(LOOPBACK, port, NEW), false);
  writeFileSync(keys, "# none yet\n");
  await hasSaid(log, /the file of the relays has no key in it/, child);
  assert(await admits(LOOPBACK, port, OLD));
  writeFileSync(keys, `${OLD}\n${NEW}\n`);
  await child.ready(() => admits(LOOPBACK, port, NEW));
  assert(await admits(LOOPBACK, port, OLD));
  await child.stop({ within: 20_000 });
}));

test("a relay follows its settings, and neither they nor a new version of the chart end all relays at once", LIMITS, () => withGroup(async (group) => {
  const { port, child, keys, log } = await startRelay(group);
  const settings = join(keys, "../../config/turnserver.conf");
  writeFileSync(settings, `${readFileSync(settings, "utf8")}\nmax-bps=1000000\n`);
  await hasSaid(log, /have changed: it drains in 0 s/, child);
  await child.ready(() => admits(LOOPBACK, port, OLD));
  assert.match(readFileSync(join(keys, "../../tmp/running.conf"), "utf8"), /^max-bps=/m);
  await child.stop({ within: 20_000 });
  const template = (/** @type {string[]} */ ...values) => find(render(...[...VALUES, ...values].flatMap((value) => ["--set", value])), "Deployment", "demo-signal-cluster-coturn-one").spec.template;
  assert.deepEqual(template(), template("coturn.deniedPeers={203.0.113.1}"));
  assert.deepEqual(Object.keys(template().metadata.labels).sort(), ["app.kubernetes.io/component", "app.kubernetes.io/instance", "app.kubernetes.io/name", "relay"]);
}));

test("relays whose keys change restart one after the other", LIMITS, () => withGroup(async (group) => {
  const { port, child, keys, log } = await startRelay(group, { name: "two", values: ["coturn.drainSeconds=0"] });
  writeFileSync(keys, `${OLD}\n${NEW}\n`);
  await hasSaid(log, /the settings or keys of this relay have changed: it drains in 120 s/, child);
  assert(await admits(LOOPBACK, port, OLD));
  await child.stop({ within: 20_000 });
  assert.equal(await child.ended, "ended with code 0", "told to end, it does not wait for its turn");
}));

/** Why nothing can come over IPv6 here; false if it can, as `skip` of a test has it. */
const NO_IPV6 = Object.values(networkInterfaces()).flat().some((own) => own?.address === "::1") ? false : "this machine has no ::1";

test("a relay with an IPv6 address gives allocations to clients that come over IPv6", { ...LIMITS, skip: NO_IPV6 }, () => withGroup(async (group) => {
  const { port } = await startIpv6Relay(group);
  assert(await admits("[::1]", port, OLD));
}));

/** @param {import("../../deploy/local/processes.js").Group} group */
function startIpv6Relay(group) {
  return onFreePort(async (port) => {
    const { script, name } = prepare(group, { port, address: "::1", values: ["coturn.relays[0].externalIp=::1"] });
    await group.start({ name, program: "/bin/sh", args: ["-ec", script] }, (starting) => starting.ready(() => admits("[::1]", port, OLD)));
    return { port };
  });
}
