import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { ROOT } from "./cluster.js";

/** One release of the chart: three nodes with a Redis of their own, in a namespace that admits restricted pods only. */

export const CHART = join(ROOT, "helm/signal-cluster");
export const NAMESPACE = "calls";
export const NAME = "demo-signal-cluster";
const NODES = "app.kubernetes.io/instance=demo,app.kubernetes.io/component=signal";

/** The key of tokens that the clients of the fault suite have (crates/fault-suite/src/cluster/mod.rs). */
export const CLIENTS_KEY = "fault-suite-fault-suite-fault-suite!";

/** The namespace of the relay, and the key that it shares with credential services. */
const RELAYS = "relays";
const RELAYS_KEY = "relays-of-make-kubernetes-relays-of-make-kubernetes";

/** How often a state of the cluster is asked for (ms). */
const ASK_EVERY = 500;

/** How long the cluster may take for one step (ms). */
const STEP_LIMIT = 240_000;

/** @typedef {{terminated?: {exitCode: number}} | undefined} ContainerState */

/** @typedef {{metadata: {name: string, uid: string, deletionTimestamp?: string}, spec: {nodeName: string}, status: {podIP: string, conditions?: {type: string, status: string}[], containerStatuses?: {state: ContainerState, lastState: ContainerState}[]}}} Pod */

/** @param {Pod} pod */
const isReady = ({ status }) => status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;

export class Release {
  #hasOtherKeys = false;

  /**
   * @param {import("./cluster.js").Cluster} cluster
   * @param {string} steady the machine that no scenario touches, where Redis is
   * @param {string} binaries the folder of the programs
   */
  constructor(cluster, steady, binaries) {
    this.cluster = cluster;
    this.steady = steady;
    this.binaries = binaries;
  }

  /** @param {string[]} args */
  kubectl(...args) {
    return this.cluster.kubectl("--namespace", NAMESPACE, ...args);
  }

  /** Makes the namespace and the Secret of the tokens. */
  async prepare() {
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
    await this.cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE, labels } });
    await this.#write(CLIENTS_KEY);
  }

  /** Mounts these keys of tokens in place of those before, and waits until every node accepts the first one. @param {string[]} keys */
  async keys(...keys) {
    this.#hasOtherKeys = keys.length > 1 || keys[0] !== CLIENTS_KEY;
    await this.#write(...keys);
    const addresses = (await this.nodes()).map(({ status }) => status.podIP);
    await this.until("every node accepts the new key", async () => (await Promise.all(addresses.map((ip) => this.#accepts(ip, keys[0])))).every(Boolean));
  }

  /** Puts back the key that the clients have. */
  async restoreKeys() {
    if (this.#hasOtherKeys) await this.keys(CLIENTS_KEY);
  }

  /** Whether a node accepts tokens that a key has signed. @param {string} ip @param {string} key */
  #accepts(ip, key) {
    const doctor = [join(this.binaries, "signal-node"), "doctor", "--url", `ws://${ip}:8080`];
    return this.cluster.run(["env", `SIGNAL_NODE_JWT_SECRET=${key}`, ...doctor]).then(() => true, () => false);
  }

  /** @param {string[]} keys the first one signs */
  #write(...keys) {
    const metadata = { name: "tokens", namespace: NAMESPACE };
    return this.cluster.apply({ apiVersion: "v1", kind: "Secret", metadata, stringData: { jwt: keys.join("\n") } });
  }

  /** Installs or upgrades, and waits until it runs as it should. @param {string[]} values further ones, NAME=VALUE */
  async install(...values) {
    await this.upgrade(...values);
    await this.settled();
  }

  /** Installs or upgrades, and waits for nothing. @param {string[]} values further ones, NAME=VALUE */
  upgrade(...values) {
    const redis = ["redis.bundled=true", `redis.bundle.nodeSelector.kubernetes\\.io/hostname=${this.steady}`];
    const own = ["signal.replicas=3", "auth.jwt.existingSecret=tokens", "listenAddress=0.0.0.0", ...redis];
    const set = [...own, ...values].flatMap((value) => ["--set", value]);
    // Scenarios scale by hand too.
    return this.#helm("upgrade", "--install", "--force-conflicts", "demo", CHART, ...set);
  }

  /** Whether a node has ended with 64: its settings cannot be used. */
  async refusesSettings() {
    const states = (await this.nodes()).flatMap(({ status }) => status.containerStatuses ?? []).flatMap(({ state, lastState }) => [state, lastState]);
    return states.some((state) => state?.terminated?.exitCode === 64);
  }

  rollback() {
    return this.#helm("rollback", "demo", "--force-conflicts");
  }

  uninstall() {
    return this.#helm("uninstall", "demo", "--ignore-not-found", "--wait");
  }

  /** Runs `helm test` and returns what it says if it fails. @returns {Promise<string[]>} */
  async test() {
    const tested = this.#helm("test", "demo", "--logs", "--timeout", "120s");
    return tested.then(() => [], (error) => [/^.*\bFAIL\b.*$/m.exec(`${error.stdout}`)?.[0].trim() ?? String(error)]);
  }

  /** Installs a relay of the chart on the steady machine, in a namespace that may be privileged. */
  async relays() {
    const key = (/** @type {string} */ name, /** @type {string} */ namespace, /** @type {string} */ turn) => ({ apiVersion: "v1", kind: "Secret", metadata: { name, namespace }, stringData: { turn } });
    const labels = { "pod-security.kubernetes.io/enforce": "privileged" };
    await this.cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: RELAYS, labels } });
    await this.cluster.apply(key("relays", RELAYS, RELAYS_KEY), key("relays", NAMESPACE, RELAYS_KEY), key("other-relays", NAMESPACE, RELAYS_KEY.toUpperCase()));
    const relay = [`coturn.relays[0].name=a,coturn.relays[0].hostname=${this.steady},coturn.relays[0].externalIp=${await this.relayAddress()}`];
    const values = ["signal.enabled=false", "coturn.enabled=true", "turn.secret.existingSecret=relays", ...relay];
    await this.cluster.helm("upgrade", "--install", "relays", CHART, "--namespace", RELAYS, "--wait", ...values.flatMap((value) => ["--set", value]));
  }

  /** The address of the steady machine, on whose network the relay is. @returns {Promise<string>} */
  async relayAddress() {
    const { status } = await this.cluster.json("node", this.steady);
    return status.addresses.find((/** @type {{type: string}} */ { type }) => type === "InternalIP").address;
  }

  /** @param {string[]} args */
  #helm(...args) {
    return this.cluster.helm(...args, "--namespace", NAMESPACE);
  }

  /** The nodes that are not about to end. @returns {Promise<Pod[]>} */
  async nodes() {
    const { items } = await this.cluster.json("pods", "--namespace", NAMESPACE, "--selector", NODES);
    return items.filter((/** @type {Pod} */ { metadata }) => !metadata.deletionTimestamp);
  }

  /** The machines of the nodes, sorted. */
  async spread() {
    return (await this.nodes()).map(({ spec }) => spec.nodeName).sort();
  }

  /** Makes the nodes anew where a scenario before has left two of them on one machine. */
  async spreadOut() {
    if (new Set(await this.spread()).size === 3) return;
    await this.restart();
    await this.settled();
    const machines = await this.spread();
    if (new Set(machines).size !== 3) throw new Error(`a rollout left the nodes on ${machines.join(", ")}`);
  }

  /** Waits for the rollout, and for the end of the pods before. */
  async settled() {
    for (const name of [NAME, `${NAME}-redis`]) await this.kubectl("rollout", "status", `deployment/${name}`, "--timeout", "240s");
    await this.until("only the pods of now run", async () => {
      const { spec } = await this.cluster.json("deployment", NAME, "--namespace", NAMESPACE);
      const { items } = await this.cluster.json("pods", "--namespace", NAMESPACE, "--selector", NODES);
      return items.length === spec.replicas && items.every(isReady);
    });
  }

  restart() {
    return this.kubectl("rollout", "restart", `deployment/${NAME}`);
  }

  /** @param {number} replicas */
  scale(replicas) {
    return this.kubectl("scale", `deployment/${NAME}`, `--replicas=${replicas}`);
  }

  /** @param {number} replicas */
  scaleRedis(replicas) {
    return this.kubectl("scale", `deployment/${NAME}-redis`, `--replicas=${replicas}`);
  }

  /** Deletes the only Redis with all that it holds. */
  loseRedis() {
    return this.kubectl("delete", "pod", "--force", "--grace-period=0", "--selector", "app.kubernetes.io/instance=demo,app.kubernetes.io/component=redis");
  }

  /** The address that clients connect to. @returns {Promise<string>} */
  async address() {
    if (process.env.SIGNAL_ADDRESS) return process.env.SIGNAL_ADDRESS;
    if (!this.cluster.own) throw new Error("set SIGNAL_ADDRESS=IP:PORT to where clients reach the Service of the release in your cluster");
    const { spec } = await this.cluster.json("service", NAME, "--namespace", NAMESPACE);
    return `${spec.clusterIP}:${spec.ports[0].port}`;
  }

  /** How many of the nodes are ready. */
  async ready() {
    return (await this.nodes()).filter(isReady).length;
  }

  /** Waits until something holds. @param {string} what @param {() => Promise<boolean>} holds */
  async until(what, holds) {
    const deadline = Date.now() + STEP_LIMIT;
    while (!(await holds())) {
      if (Date.now() > deadline) throw new Error(`not within ${STEP_LIMIT / 1_000} s: ${what}`);
      await wait(ASK_EVERY);
    }
  }
}
