import { setTimeout as wait } from "node:timers/promises";
import { CLIENTS_KEY } from "./release.js";
import { HANDED_OVER, RESET, RESUMED } from "./verdict.js";

/**
 * What is done to a release while calls go on. Each begins with three nodes that are ready, and ends with them.
 *
 * @typedef {import("./release.js").Release} Release
 * @typedef {import("./calls.js").Calls} Calls
 * @typedef {object} Scenario
 * @property {string} name
 * @property {boolean} [own] it needs machines of ours
 * @property {import("./verdict.js").Limits} limits
 * @property {(release: Release, calls: Calls) => Promise<void>} act
 * @property {{without: string, values?: string[], act?: (release: Release, calls: Calls) => Promise<void>}[]} [twins] with
 *   what the promise rests on taken away, so that the scenario has to fail
 */

/** Nodes that end without handing their clients over. */
const WITHOUT_GOAWAY = { without: "nodes killed in turn, before they send goaway", act: killEach };

/** A node that refuses clients while the Service still sends them. */
const WITHOUT_UNREADY = { without: "nodes that refuse clients before the Service knows", values: ["signal.drain.delaySeconds=0"] };

/** A setting that nodes refuse, since no client could be back so soon. */
const REFUSED_SETTING = "signal.config.grace=500ms";

/** A key of tokens that takes over. */
const OTHER_KEY = "another-key-of-make-kubernetes-another-key";

/** How long Redis is away (ms). */
const OUTAGE = 240_000;

/** Nodes serve again so soon after Redis does (ms). */
const SERVES_WITHIN = 10_000;

/** @param {Release} release */
async function rollout(release) {
  await release.restart();
  await release.settled();
}

/** @param {Release} release */
async function upgrade(release) {
  await release.install("signal.image.tag=next");
}

/** @param {Release} release */
async function rollback(release) {
  await release.rollback();
  await release.settled();
}

/** An upgrade to settings that no node starts with. @param {Release} release @param {string[]} values */
async function misspelt(release, ...values) {
  await release.upgrade(REFUSED_SETTING, ...values);
  await release.until("a node refuses its settings", () => release.refusesSettings());
  await rollback(release);
}

/** @param {Release} release */
async function force(release) {
  const [{ metadata }] = await release.nodes();
  await forceDelete(release, metadata.name);
}

/** @param {Release} release */
async function killEach(release) {
  for (const { metadata } of await release.nodes()) await forceDelete(release, metadata.name);
}

/** @param {Release} release @param {string} pod */
async function forceDelete(release, pod) {
  await release.kubectl("delete", "pod", pod, "--force", "--grace-period=0");
  await release.settled();
}

/** @param {Release} release */
async function kill(release) {
  for (const { metadata } of (await release.nodes()).slice(0, 2)) {
    release.cluster.kill(metadata.uid, "signal-node");
    await release.until("the node has ended", async () => (await release.ready()) < 3);
    await release.settled();
  }
}

/** @param {Release} release */
async function drain(release) {
  const machine = await touchable(release);
  await release.cluster.kubectl("drain", machine, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout", "180s");
  await release.settled();
  await release.cluster.kubectl("uncordon", machine);
}

/** @param {Release} release */
async function evict(release) {
  for (const { metadata } of await release.nodes()) {
    const { name, namespace } = /** @type {any} */ (metadata);
    const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace } };
    const create = ["create", "--raw", `/api/v1/namespaces/${namespace}/pods/${name}/eviction`, "--filename", "-"];
    await release.cluster.kubectlWith(JSON.stringify(eviction), ...create);
    await release.settled();
  }
}

/** @param {Release} release */
async function scale(release) {
  for (const replicas of [6, 2, 3]) {
    await release.scale(replicas);
    await release.settled();
  }
}

/** @param {Release} release */
async function power(release) {
  await outOfReach(release, "off", "on");
}

/** @param {Release} release */
async function cable(release) {
  await outOfReach(release, "unplug", "plug");
}

/** A machine cannot be reached until its pods run elsewhere. @param {Release} release @param {string} begin @param {string} end */
async function outOfReach(release, begin, end) {
  const machine = await touchable(release);
  release.cluster.power(begin, machine);
  const elsewhere = async () => {
    const nodes = await release.nodes();
    return nodes.length === 3 && nodes.every(({ spec }) => spec.nodeName !== machine) && (await release.ready()) === 3;
  };
  await release.until(`three nodes run on other machines than ${machine}`, elsewhere);
  release.cluster.power(end, machine);
  await release.cluster.kubectl("wait", "--for=condition=Ready", `node/${machine}`, "--timeout", "120s");
  await release.settled();
}

/** @param {Release} release @param {Calls} calls */
async function redisGone(release, calls) {
  calls.fault("wipe_redis");
  await release.loseRedis();
  await release.settled();
  calls.healed();
}

/** A node is killed meanwhile, and has to start while Redis is away. @param {Release} release @param {Calls} calls */
async function redisAway(release, calls) {
  calls.fault("wipe_redis");
  await release.scaleRedis(0);
  await release.until("no node is ready", async () => (await release.ready()) === 0);
  const [{ metadata }] = await release.nodes();
  release.cluster.kill(metadata.uid, "signal-node");
  await wait(OUTAGE);
  await release.scaleRedis(1);
  await release.kubectl("rollout", "status", "deployment/demo-signal-cluster-redis", "--timeout", "60s");
  const back = Date.now();
  await release.until("all nodes are ready", async () => (await release.ready()) === 3);
  if (Date.now() - back > SERVES_WITHIN) throw new Error(`nodes served ${Date.now() - back} ms after Redis was back`);
  calls.healed();
}

/** Another key signs, and the one before is accepted still. @param {Release} release */
async function rotateKeys(release) {
  await release.keys(OTHER_KEY, CLIENTS_KEY);
}

/** @param {Release} release */
async function replaceKeys(release) {
  await release.keys(OTHER_KEY);
}

/** A machine with a node of the release, but for the one with Redis. @param {Release} release */
async function touchable(release) {
  const found = (await release.spread()).find((machine) => machine !== release.steady);
  if (found === undefined) throw new Error(`all nodes are on ${release.steady}`);
  return found;
}

/** @type {Scenario[]} */
export const SCENARIOS = [
  { name: "rollout", limits: HANDED_OVER, act: rollout, twins: [WITHOUT_GOAWAY, WITHOUT_UNREADY] },
  { name: "upgrade", limits: HANDED_OVER, act: upgrade },
  { name: "rollback", limits: HANDED_OVER, act: rollback },
  {
    name: "misspelt", limits: HANDED_OVER, act: (release) => misspelt(release),
    twins: [{ without: "all nodes ended before the new ones are ready", act: (release) => misspelt(release, "signal.strategy.rollingUpdate.maxUnavailable=100%") }],
  },
  { name: "force", limits: RESUMED, act: force },
  { name: "kill", own: true, limits: RESUMED, act: kill },
  { name: "drain", limits: HANDED_OVER, act: drain },
  { name: "evict", limits: HANDED_OVER, act: evict },
  { name: "scale", limits: HANDED_OVER, act: scale },
  { name: "power", own: true, limits: RESUMED, act: power },
  { name: "cable", own: true, limits: RESUMED, act: cable },
  {
    name: "token-keys", own: true, limits: HANDED_OVER, act: rotateKeys,
    twins: [{ without: "the key before removed at once", act: replaceKeys }],
  },
  { name: "redis-gone", limits: RESET, act: redisGone },
  { name: "redis-away", own: true, limits: RESET, act: redisAway },
];
