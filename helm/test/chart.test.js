import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { KUBERNETES, assertAdmitted, assertRestricted } from "./admission.js";
import { CHART, HELM, ROOT, TOOLS, find, fromYaml, helm, read, refusal, render, renderText, run, withFile } from "./render.js";

/** What the chart renders: valid, hardened, and refused where it could not work. */

const CASES = readdirSync(join(CHART, "ci")).map((name) => ({ name, values: ["-f", join(CHART, "ci", name)] }));

/** Checks of checkov that the chart leaves to whoever installs it, and why. */
const LEFT_OPEN = [
  "CKV_K8S_11", // CPU limits: throttling would hold up signals
  "CKV_K8S_15", // images are pulled when they are not there: tags are not moved
  "CKV_K8S_43", // digests are the installer's
  "CKV_K8S_8", // probes of the pod of `helm test`, which ends by itself
  "CKV_K8S_9",
  "CKV2_K8S_6", // networkPolicy.enabled
];

/** Checks that do not hold where a manifest has these words, and why they are there. */
const ALLOWED = [
  ["hostNetwork: true", "CKV_K8S_19", "CKV_K8S_26"], // a relay on the network of its machine
  ["NET_BIND_SERVICE", "CKV_K8S_25"], // that nothing but a relay has a capability is a test of its own
  ["openshift-dns", "CKV_K8S_40"], // users are those of the namespace
  ["before:1", "CKV_K8S_40", "CKV_K8S_8", "CKV_K8S_9", "CKV_K8S_31"], // containers and users of whoever sets them
];

/** A release with one relay of its own. */
const WITH_RELAY = ["--set", "turn.mode=sidecar,coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1"];

for (const { name, values } of CASES) {
  test(`${name} is linted without a complaint`, () => {
    assert.match(helm("lint", "--strict", CHART, ...values), /0 chart\(s\) failed/);
  });

  test(`${name} renders what Kubernetes ${KUBERNETES[0]} to ${KUBERNETES.at(-1)} admits`, () => {
    assertAdmitted(renderText(...values));
  });

  test(`${name} renders custom resources that their definitions admit`, () => {
    run(join(TOOLS, "venv/bin/python"), [new URL("crds.py", import.meta.url).pathname], renderText(...values));
  });

  test(`${name} passes the checks of checkov`, () => {
    const text = renderText(...values);
    const skip = ["--skip-check", [...LEFT_OPEN, ...ALLOWED.filter(([mark]) => text.includes(mark)).flatMap(([, ...checks]) => checks)].join(",")];
    withFile(text, (path) => {
      run(join(TOOLS, "venv/bin/checkov"), ["--framework", "kubernetes", "--skip-download", "--compact", "--quiet", "-f", path, ...skip]);
    });
  });

  test(`${name} is as restricted as Pod Security knows`, () => {
    // A relay on the network of its host cannot be; everything else is.
    const manifests = fromYaml(renderText(...values)).filter((manifest) => manifest && !manifest.spec?.template?.spec?.hostNetwork);
    assertRestricted(manifests);
  });
}

test("only a relay has a capability: the one that its program is marked with", () => {
  const manifests = render(...WITH_RELAY);
  const pods = manifests.map((manifest) => manifest?.spec?.template?.spec).filter((spec) => spec?.containers);
  const containers = pods.flatMap(({ containers, initContainers = [] }) => [...containers, ...initContainers]);
  const added = containers.filter(({ securityContext }) => securityContext.capabilities.add);
  assert(containers.every(({ securityContext }) => securityContext.capabilities.drop[0] === "ALL"));
  assert.deepEqual(added.map(({ name, securityContext }) => [name, securityContext.capabilities.add]), [["coturn", ["NET_BIND_SERVICE"]]]);
});

test("nothing secret is in a ConfigMap, an argument or a variable", () => {
  const manifests = render(...WITH_RELAY, "--set", "redis.bundled=true");
  const data = manifests.filter(({ kind }) => kind === "Secret").flatMap(({ data = {} }) => Object.values(data));
  const secrets = data.map((value) => Buffer.from(value, "base64").toString());
  assert.equal(secrets.length, 3, "of tokens, of the relays, of Redis");
  const rest = JSON.stringify(manifests.filter(({ kind }) => kind !== "Secret"));
  for (const secret of secrets) assert(!rest.includes(secret));
});

test("each file of the way to Redis is mounted where its setting looks, at both services", () => {
  const ways = ["redis", "turn.redis"].flatMap((at) => ["passwordSecret=p", "caSecret=a", "certSecret=c", "username=u"].map((value) => `${at}.${value}`));
  const more = ["redis.url=rediss://redis:6379", "redis.sentinel.name=rooms", "redis.sentinel.passwordSecret=s", "turn.redis.existingSecret=r", "turn.mode=sidecar", "turn.uris={turn:relay:3478}"];
  const { volumes, containers, initContainers } = find(render(...[...ways, ...more].flatMap((value) => ["--set", value])), "Deployment").spec.template.spec;
  const files = [...containers, ...initContainers].flatMap(({ env = [], volumeMounts = [] }) =>
    env.filter((/** @type {{name: string}} */ { name }) => /_REDIS_\w*FILE$/.test(name)).map((/** @type {{value: string}} */ { value }) => {
      const mount = volumeMounts.find((/** @type {{mountPath: string}} */ { mountPath }) => value.startsWith(`${mountPath}/`));
      const volume = volumes.find((/** @type {{name: string}} */ { name }) => name === mount?.name);
      const paths = (volume?.secret.items ?? []).map((/** @type {{path: string}} */ { path }) => `${mount.mountPath}/${path}`);
      assert(paths.includes(value), `${value} is not mounted`);
      return value;
    }),
  );
  assert.equal(files.length, 10, "the URL of the relays, and of each service a password, a CA, a certificate and its key; and the Sentinels' password");
});

test("the grace period is longer than the drain", () => {
  const spec = find(render("--set", "signal.drain.deadlineSeconds=120"), "Deployment").spec.template.spec;
  assert.equal(spec.terminationGracePeriodSeconds, 135);
  const { value } = spec.containers[0].env.find((/** @type {{name: string}} */ { name }) => name === "SIGNAL_NODE_DRAIN_DEADLINE");
  assert.equal(value, "120s");
});

test("selectors are the same whatever is set", () => {
  const selectors = CASES.filter(({ name }) => name !== "relays-only.yaml").map(({ values }) => find(render(...values), "Deployment", "demo-signal-cluster").spec.selector);
  for (const selector of selectors) assert.deepEqual(selector, selectors[0]);
});

test("the credential service starts before the node and ends after it", () => {
  const values = ["--set", "turn.mode=sidecar", "--set", "turn.uris={turn:relay:3478}", "--set", "turn.secret.existingSecret=relays"];
  const [sidecar] = find(render(...values), "Deployment").spec.template.spec.initContainers;
  assert.equal(sidecar.restartPolicy, "Always");
  assert.equal(sidecar.startupProbe.httpGet.path, "/startupz");
});

test("a change of settings rolls the pods, and nothing else does", () => {
  const checksum = (/** @type {string[]} */ ...args) => find(render(...args), "Deployment").spec.template.metadata.annotations["checksum/config"];
  assert.equal(checksum(), checksum("--set", "service.port=81"));
  assert.notEqual(checksum(), checksum("--set", "signal.config.grace=45s"));
});

test("notes tell the next step, and are loud where a key was made up", () => {
  const notes = (/** @type {string[]} */ ...args) => helm("install", "demo", CHART, "--dry-run=client", "--namespace", "calls", ...args).split("NOTES:")[1];
  assert.match(notes(), /!! Tokens are signed with a key that was made for you/);
  assert.match(notes(), /token mint --sub ana --room demo/);
  assert.doesNotMatch(notes("--set", "auth.jwt.existingSecret=jwt"), /!!/);
});

const REFUSED = /** @type {[string, string, string][]} */ ([
  ["two replicas without Redis", "signal.replicas=2", "more than one replica needs Redis"],
  ["scaling without Redis", "autoscaling.type=hpa", "autoscaling needs Redis"],
  ["two places for rooms", "redis.url=redis://a,redis.existingSecret=b", "two answers to one question"],
  ["a password in the open", "redis.url=redis://user:pass@redis", "redis.url holds a password"],
  ["everybody from everywhere", "signal.allowedOrigins={*},signal.anonymous=always", "every page of the world"],
  ["a drain without time", "signal.drain.delaySeconds=60", "must be longer than delaySeconds"],
  ["settings that are the chart's", "signal.config.listen=x", "is the chart's to set"],
  ["credentials without relays", "turn.mode=sidecar", "needs relays"],
  ["relays without their secret", "turn.mode=sidecar,turn.uris={turn:a}", "share a secret"],
  ["two sources of one secret", "turn.mode=sidecar,turn.uris={turn:a},turn.secret.existingSecret=a,turn.redis.existingSecret=b", "two sources of one secret"],
  ["rotation without Redis", "turn.mode=sidecar,turn.uris={turn:a},turn.secret.existingSecret=a,turn.redis.rotateEvery=7d", "needs the Redis of the relays"],
  ["relays named twice", "turn.mode=sidecar,turn.uris={turn:a},coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1", "both name relays"],
  ["relays for nobody", "coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1", "admits nobody without the credential service"],
  ["relays alone that share nothing", "signal.enabled=false,coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1", "relays alone share a secret"],
  ["a release of nothing", "signal.enabled=false", "set coturn.enabled=true"],
  ["relays alone with credentials", "signal.enabled=false,coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1,turn.mode=deployment,turn.secret.existingSecret=a", "leave turn.mode disabled"],
  ["two Redis", "redis.bundled=true,redis.url=redis://a", "redis.bundled brings a Redis"],
  ["a port of machines without one", "service.nodePort=30080", "needs service.type NodePort"],
  ["fields of a balancer that is none", "service.loadBalancerSourceRanges={10.0.0.0/8}", "need service.type LoadBalancer"],
  ["a relay by its name", "turn.mode=sidecar,coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=relay.example.org", "externalIp"],
  ["relays without an address", "turn.mode=sidecar,coturn.enabled=true", "needs coturn.relays"],
  ["more ports than a balancer has", "turn.mode=sidecar,coturn.enabled=true,coturn.expose=loadBalancer,coturn.maxPort=60000,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1", "bring coturn.minPort and maxPort closer together"],
  ["a relay's key in the open", "turn.mode=sidecar,coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1,coturn.extraConfig=static-auth-secret=", "put the key into the Secret"],
  ["ports the wrong way round", "coturn.maxPort=2000", "coturn.maxPort is below"],
  ["KEDA without Prometheus", "redis.url=redis://a,autoscaling.type=keda", "needs autoscaling.prometheusAddress"],
  ["bounds the wrong way round", "redis.url=redis://a,autoscaling.minReplicas=20", "minReplicas is above maxReplicas"],
  ["an Ingress for nobody", "ingress.enabled=true", "needs ingress.hosts"],
  ["a route from nowhere", "httpRoute.enabled=true", "needs httpRoute.parentRefs"],
  ["no replica", "signal.replicas=0", "minimum: got 0, want 1"],
  ["a TTL of a second", "turn.ttlSeconds=1", "minimum: got 1, want 60"],
  ["an unknown mode", "turn.mode=side", "value must be one of"],
  ["a typing error", "signal.replica=2", "additional properties 'replica' not allowed"],
  ["keys over http", "auth.jwksUrl=http://id.example.org", "does not match pattern"],
]);

for (const [what, values, sentence] of REFUSED) {
  test(`refused: ${what}`, () => {
    assert(refusal("--set", values).includes(sentence), refusal("--set", values));
  });
}

test("`helm test` joins a room and allocates on the relays, in a pod for each, whose logs Helm can print", () => {
  const pods = render("-f", join(CHART, "ci/production.yaml")).filter(({ kind }) => kind === "Pod");
  const containers = pods.map(({ spec }) => spec.containers.map((/** @type {{args: string[]}} */ { args }) => args.join(" ")));
  assert.deepEqual(containers, [["doctor --url ws://demo-signal-cluster:80 --require-ice"], ["doctor --members 8 --networks 2"]]);
  // A pod that is gone has no logs.
  for (const { metadata } of pods) assert.equal(metadata.annotations?.["helm.sh/hook-delete-policy"], "before-hook-creation");
});

test("relays deny the same ranges as the coturn that this project describes", () => {
  const denied = (/** @type {string} */ text) => text.split("\n").filter((line) => line.startsWith("denied-peer-ip="));
  const described = run("cat", [new URL("../../deploy/coturn/turnserver.conf", import.meta.url).pathname]);
  assert.deepEqual(denied(read("coturn.conf")), denied(described));
});

test("further peers are denied, and what is no address is refused", () => {
  const { data } = find(render(...WITH_RELAY, "--set", "coturn.deniedPeers={198.51.100.10,203.0.113.0-203.0.113.9}"), "ConfigMap", "demo-signal-cluster-coturn");
  const lines = data?.["turnserver.conf"].split("\n") ?? [];
  for (const peers of ["198.51.100.10", "203.0.113.0-203.0.113.9"]) assert(lines.includes(`denied-peer-ip=${peers}`), peers);
  assert(refusal(...WITH_RELAY, "--set", "coturn.deniedPeers={10.0.0.0/8}").includes("deniedPeers"));
});

test("a relay gives one user what the largest room takes: (members - 1) x URLs x networks", () => {
  const quota = (/** @type {string[]} */ ...args) => {
    const { data } = find(render(...WITH_RELAY, ...args), "ConfigMap", "demo-signal-cluster-coturn");
    return data?.["turnserver.conf"].match(/^user-quota=(.*)$/m)?.[1];
  };
  assert.equal(quota(), "28");
  assert.equal(quota("--set", "turn.room.members=16,turn.room.networks=1"), "30");
  assert.equal(quota("--set", "coturn.userQuota=99"), "99");
  const urls = find(render(...WITH_RELAY), "ConfigMap", "demo-signal-cluster").data?.["turn-cred-service.toml"].match(/"turn:/g);
  assert.equal(urls?.length, 2, "the formula counts the URLs of a relay");
});

test("what an uninstall leaves is what the notes delete: generated keys and pods of tests", () => {
  const values = ["-f", join(CHART, "ci/redis-bundled.yaml")];
  const left = render(...values).filter(({ metadata }) => metadata.annotations?.["helm.sh/resource-policy"] || metadata.annotations?.["helm.sh/hook"]);
  assert.deepEqual(left.map(({ kind, metadata }) => `${kind} ${metadata.name.replace("demo-signal-cluster-", "")}`), ["Secret generated-jwt", "Secret generated-turn", "Secret generated-redis", "Pod test-signal", "Pod test-relays"]);
  const [, kinds, selector] = helm("install", "demo", CHART, "--dry-run=client", ...values).match(/delete (\S+) -l (\S+)/) ?? [];
  assert.equal(kinds, "secret,pod");
  for (const [label, value] of selector.split(",").map((term) => term.split("="))) for (const { metadata } of left) assert.equal(metadata.labels?.[label], value);
});

test("notes say what a release cannot do as it is set, and call a trial a trial", () => {
  const notes = (/** @type {string[]} */ ...args) => helm("install", "demo", CHART, "--dry-run=client", "--namespace", "calls", ...args).split("NOTES:")[1];
  assert.match(notes("--set", "redis.bundled=true"), /!! Rooms are in the Redis that this release brings[^!]*That is a trial/);
  assert.match(notes(), /GitOps[^:]*: name Secrets of your own/);
  const scaled = (/** @type {string} */ type) => notes("--set", `redis.url=redis://r,autoscaling.type=${type},autoscaling.prometheusAddress=http://p`);
  assert.match(scaled("hpa"), /custom\.metrics\.k8s\.io\/v1beta1\/namespaces\/calls\/pods\/\*\/signal_connections"\n/);
  assert.match(scaled("keda"), /between 2 and 10, one for each 8000\./);
  assert.doesNotMatch(scaled("keda"), /metrics adapter/);
  assert.doesNotMatch(scaled("none"), /autoscaler|scaled by/);
  assert.doesNotMatch(notes("--set", "auth.jwt.existingSecret=jwt"), /GitOps/);
  assert.match(notes(...WITH_RELAY), /pod-security\.kubernetes\.io\/enforce=privileged/);
  assert.doesNotMatch(notes(...WITH_RELAY, "--set", "coturn.expose=loadBalancer,coturn.maxPort=49160"), /pod-security/);
  assert.match(notes("--set", "networkPolicy.enabled=true,redis.url=redis://a"), /may not reach Redis/);
  assert.doesNotMatch(notes("--set", "networkPolicy.enabled=true,redis.url=redis://a,networkPolicy.egress.redis={10.0.0.0/8}"), /may not reach/);
  const alone = notes("-f", join(CHART, "ci/relays-only.yaml"));
  assert.match(alone, /relays alone/);
  assert.doesNotMatch(alone, /port-forward|Rooms are|There is no relay/);
});

test("the words with which a release of relays alone describes itself are values of the release with the nodes", () => {
  const notes = helm("install", "demo", CHART, "--dry-run=client", "-f", join(CHART, "ci/relays-only.yaml"));
  const [values] = notes.match(/^turn:\n(?:[ ].*\n)+/m) ?? [""];
  const node = withFile(values, (path) => render("-f", path));
  const own = find(render("-f", join(CHART, "ci/relays-only.yaml")), "ConfigMap", "demo-signal-cluster").data?.["turn-cred-service.toml"].trim();
  assert(find(node, "ConfigMap", "demo-signal-cluster").data?.["turn-cred-service.toml"].trim() === own);
});

test("requests and limits of a node follow the formula of docs/SCALING.md", () => {
  const page = readFileSync(new URL("../../docs/SCALING.md", import.meta.url), "utf8");
  const [, base, each] = page.match(/memory \| (\d+) MiB \+ connections x (\d+) KiB/)?.map(Number) ?? [];
  const [values] = fromYaml(read("values.yaml"));
  const needed = (/** @type {number} */ connections) => base + (connections * each) / 1024;
  const { requests, limits } = values.signal.resources;
  assert(parseInt(requests.memory, 10) >= 1.5 * needed(values.autoscaling.connectionsPerPod), requests.memory);
  assert(parseInt(limits.memory, 10) >= needed(50_000), limits.memory);
  for (const connections of [values.autoscaling.connectionsPerPod, 50_000]) assert(page.includes(` ${Math.round(needed(connections))} MiB |`), `${connections}: ${needed(connections)} MiB`);
});

test("the command of README.md brings three nodes, a Redis and a relay", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const script = readme.split("<!-- trial: helm -->")[1].match(/```sh\n([\s\S]*?)```/)?.[1] ?? "";
  // kubectl has no cluster here, and helm renders instead of installing.
  const stand = 'kubectl() { echo "node-1 198.51.100.10"; }\nhelm() { [ "$1 $2" = "install demo" ] && shift 2 && "$HELM" template demo "$@"; }\n';
  const manifests = fromYaml(run("env", ["-C", ROOT, `HELM=${HELM}`, "bash", "-euo", "pipefail", "-c", stand + script])).filter(Boolean);
  const deployments = manifests.filter(({ kind }) => kind === "Deployment").map(({ metadata, spec }) => [metadata.name, spec.replicas]);
  assert.deepEqual(deployments.sort(), [["demo-signal-cluster", 3], ["demo-signal-cluster-coturn-one", 1], ["demo-signal-cluster-redis", 1]]);
  assert.equal(find(manifests, "Deployment", "demo-signal-cluster-coturn-one").spec.template.spec.nodeSelector["kubernetes.io/hostname"], "node-1");
});
