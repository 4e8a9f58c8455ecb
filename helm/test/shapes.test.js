import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { CHART, find, fromYaml, helm, read, refusal, render } from "./render.js";

/** What clusters differ in: families of addresses, users, registries, placement, rules of the network. */

/** @typedef {import("./render.js").Manifest} Manifest */

/** Every program of the chart, and its values with the name that stands for it in ci/everything-extra.yaml. */
const PODS = ["signal", "turn", "coturn", "redis", "tests"];
const EVERYTHING = ["-f", join(CHART, "ci/everything-extra.yaml")];
const ON_ALL = ["--set", "redis.bundled=true,turn.mode=deployment,coturn.enabled=true,coturn.relays[0].name=one,coturn.relays[0].externalIp=198.51.100.10"];

/** The pods of manifests. @param {Manifest[]} manifests @returns {{name: string, metadata: any, spec: any}[]} */
function podsOf(manifests) {
  return manifests.flatMap(({ kind, metadata, spec }) => {
    if (kind === "Pod") return [{ name: metadata.name, metadata, spec }];
    return spec?.template?.spec?.containers ? [{ name: metadata.name, metadata: spec.template.metadata, spec: spec.template.spec }] : [];
  });
}

test("every image is taken by its digest where there is one, from the registry of all", () => {
  const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
  const images = ["signal.image", "turn.image", "coturn.image", "redis.bundle.image"];
  const pinned = ["--set", images.map((path) => `${path}.digest=${digest},${path}.tag=moved`).join(), "--set", "global.imageRegistry=registry.example.org"];
  const pods = podsOf(render(...ON_ALL, ...pinned));
  assert.equal(pods.length, 6);
  for (const { name, spec } of pods) {
    for (const { image } of [...spec.containers, ...(spec.initContainers ?? [])]) assert.match(image, new RegExp(`^registry\\.example\\.org/[a-z/-]+@${digest}$`), name);
  }
  for (const path of images) assert.match(refusal(...ON_ALL, "--set", `${path}.digest=${digest.slice(0, -1)}`), /digest/, path);
});

test("every pod takes pull secrets, labels, placement, priority, names and users", () => {
  const pods = podsOf(render(...EVERYTHING));
  assert.equal(pods.length, 6, "nodes, credentials, a relay, Redis and two tests");
  const owners = pods.map(({ name, metadata, spec }) => {
    assert.deepEqual(spec.imagePullSecrets, [{ name: "plain" }, { name: "object" }], name);
    const { team, owner } = metadata.labels;
    assert.equal(owner, "calls", name);
    assert.equal(metadata.annotations["example.org/scan"], team, name);
    assert.equal(spec.nodeSelector.pool, team, name);
    assert.equal(spec.priorityClassName, team, name);
    assert.equal(spec.tolerations[0].key, team, name);
    assert.deepEqual(spec.tolerations.slice(1).map((/** @type {any} */ { tolerationSeconds }) => tolerationSeconds), [60, 60], name);
    assert.equal(spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight, 1, name);
    assert.equal(spec.topologySpreadConstraints[0].topologyKey, "rack", name);
    assert.deepEqual([spec.runtimeClassName, spec.schedulerName], ["gvisor", "packed"], name);
    assert.equal(spec.hostAliases[0].ip, "10.0.0.1", name);
    assert.equal(spec.dnsConfig.options[0].name, "ndots", name);
    assert.deepEqual([spec.securityContext.runAsUser, spec.securityContext.fsGroup], [10001, 65532], name);
    return team;
  });
  assert.deepEqual([...new Set(owners)].sort(), [...PODS].sort());
});

test("every program that is run takes variables, volumes, containers and hooks", () => {
  for (const { name, metadata, spec } of podsOf(render(...EVERYTHING)).filter(({ spec: { containers } }) => containers.length > 1)) {
    const [program, aside] = spec.containers;
    assert.deepEqual(program.env.find((/** @type {any} */ { name: variable }) => variable === "EXTRA")?.value, metadata.labels.team, name);
    assert.equal(program.envFrom[0].configMapRef.name, metadata.labels.team, name);
    assert(program.volumeMounts.some((/** @type {any} */ { mountPath }) => mountPath === "/extra"), name);
    assert(spec.volumes.some((/** @type {any} */ { name: volume }) => volume === "extra"), name);
    assert.equal(spec.initContainers[0].name, "before", name);
    assert.equal(aside.name, "aside", name);
    assert.deepEqual(program.lifecycle.preStop.exec.command, ["/bin/true"], name);
    assert.equal(program.securityContext.runAsGroup, 10002, name);
  }
  for (const { metadata, spec } of render(...EVERYTHING).filter(({ kind, metadata: { name } }) => kind === "Deployment" && !name.endsWith("-redis"))) {
    assert.deepEqual([spec.revisionHistoryLimit, spec.minReadySeconds], [3, 7], metadata.name);
  }
});

test("beside the node, the credential service takes its variables and volumes too", () => {
  const values = ["turn.mode=sidecar", "turn.uris={turn:relay:3478}", "turn.secret.existingSecret=s", "turn.env[0].name=EXTRA", "turn.env[0].value=x", "turn.extraVolumes[0].name=extra", "turn.extraVolumeMounts[0].name=extra", "turn.extraVolumeMounts[0].mountPath=/extra"];
  const { spec } = find(render(...values.flatMap((value) => ["--set", value])), "Deployment").spec.template;
  const [sidecar] = spec.initContainers;
  assert.equal(sidecar.env.at(-1).name, "EXTRA");
  assert.equal(sidecar.volumeMounts.at(-1).mountPath, "/extra");
  assert(spec.volumes.some((/** @type {any} */ { name }) => name === "extra"));
});

test("OpenShift gives users and groups: none is fixed in any pod", () => {
  const fixed = (/** @type {string[]} */ ...args) => podsOf(render(...ON_ALL, ...args)).flatMap(({ spec }) => Object.keys(spec.securityContext)).filter((key) => /runAs(User|Group)|fsGroup/.test(key)).length;
  assert.equal(fixed(), 18);
  assert.equal(fixed("--set", "openshift.adaptSecurityContext=force"), 0);
  assert.equal(fixed("--api-versions", "security.openshift.io/v1"), 0);
  assert.equal(fixed("--api-versions", "security.openshift.io/v1", "--set", "openshift.adaptSecurityContext=disabled"), 18);
  assert.equal(fixed("--set", "signal.podSecurityContext.runAsUser=null,signal.podSecurityContext.fsGroup=null"), 16);
  assert.equal(fixed("--set", "podSecurityContext=null"), 0);
  assert.equal(fixed("--set", "podSecurityContext.runAsUser=null,podSecurityContext.runAsGroup=null,podSecurityContext.fsGroup=null"), 0);
});

/** The value of every variable with this ending. @param {Manifest[]} manifests @param {RegExp} name */
function variables(manifests, name) {
  const containers = podsOf(manifests).flatMap(({ spec }) => [...(spec.initContainers ?? []), ...spec.containers]);
  return containers.flatMap(({ env = [] }) => env).filter((/** @type {any} */ variable) => name.test(variable.name)).map((/** @type {any} */ { value }) => value);
}

test("programs listen on IPv6 and IPv4, or where the value says", () => {
  const ports = [8080, 9080, 8090, 8091, 9091];
  assert.deepEqual(variables(render(...ON_ALL), /_LISTEN$/).sort(), ports.map((port) => `[::]:${port}`).sort());
  assert.deepEqual(variables(render(...ON_ALL, "--set", "listenAddress=0.0.0.0"), /_LISTEN$/).sort(), ports.map((port) => `0.0.0.0:${port}`).sort());
});

test("every Service is of the families that are set", () => {
  const services = render("-f", join(CHART, "ci/ipv6.yaml"), "--set", "redis.url=,redis.bundled=true").filter(({ kind }) => kind === "Service");
  assert.equal(services.length, 6, "of nodes, their metrics, credentials, Redis and two relays");
  for (const { metadata, spec } of services) assert.deepEqual([spec.ipFamilyPolicy, spec.ipFamilies], ["PreferDualStack", ["IPv6", "IPv4"]], metadata.name);
  assert.equal(find(render(), "Service").spec.ipFamilyPolicy, undefined);
});

test("an IPv6 relay stands in brackets where a URL has it (RFC 7065), and nowhere else", () => {
  const manifests = render("-f", join(CHART, "ci/ipv6.yaml"));
  const settings = find(manifests, "ConfigMap", "demo-signal-cluster").data?.["turn-cred-service.toml"] ?? "";
  assert.match(settings, /uris = \["turn:\[2001:db8::10\]:3478\?transport=udp", "turn:\[2001:db8::10\]:3478\?transport=tcp"\]/);
  assert.match(settings, /"turn:198\.51\.100\.10:3478\?transport=udp"/);
  assert.equal(find(manifests, "Service", "demo-signal-cluster-coturn-six").spec.loadBalancerIP, "2001:db8::10");
  for (const wrong of ["[2001:db8::10]", "relay.example.org", "turn:198.51.100.1"]) {
    const relay = `turn.mode=sidecar,coturn.enabled=true,coturn.relays[0].name=a`;
    assert.match(refusal("--set", relay, "--set-string", `coturn.relays[0].externalIp=${wrong}`), /externalIp/, wrong);
  }
});

test("the Service takes every field that load balancers ask for", () => {
  const { metadata, spec } = find(render(...EVERYTHING), "Service", "demo-signal-cluster");
  const { ports: [{ nodePort }], selector, ...fields } = spec;
  assert(selector);
  assert.equal(metadata.labels?.tier, "public");
  assert.deepEqual({ nodePort, ...fields }, {
    nodePort: 30080, type: "LoadBalancer", clusterIP: "10.96.0.80", loadBalancerClass: "example.org/balancer", loadBalancerIP: "198.51.100.1",
    loadBalancerSourceRanges: ["203.0.113.0/24"], externalTrafficPolicy: "Local", internalTrafficPolicy: "Cluster", sessionAffinity: "ClientIP",
    ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv4"],
  });
  const relay = find(render(...EVERYTHING), "Service", "demo-signal-cluster-coturn-one");
  assert.equal(relay.metadata.annotations?.["example.org/shared"], "1");
  assert.deepEqual([relay.spec.loadBalancerClass, relay.spec.externalTrafficPolicy, relay.spec.allocateLoadBalancerNodePorts], ["example.org/balancer", "Cluster", false]);
});

/** The rules of the nodes' policy for going out. @param {string[]} args @returns {any[]} */
function egress(...args) {
  return find(render("--set", "networkPolicy.enabled=true", ...args), "NetworkPolicy", "demo-signal-cluster").spec.egress;
}

test("names are looked up at CoreDNS, at NodeLocal DNSCache, and where the value says", () => {
  const [{ to, ports }] = egress();
  assert.equal(to[0].podSelector.matchLabels["k8s-app"], "kube-dns");
  assert.equal(to[1].ipBlock.cidr, "169.254.20.10/32");
  assert.equal(ports.length, 2);
  assert.equal(egress("-f", join(CHART, "ci/openshift.yaml"))[0].ports[0].port, 5353);
});

test("networks and whole rules go out to Redis and relays, and the nodes reach the bundled Redis", () => {
  const values = { networkPolicy: { egress: { redis: ["10.20.0.0/16", { to: [{ podSelector: {} }] }, "fd00::/64"], relays: ["198.51.100.0/24"], other: ["203.0.113.0/24"] } } };
  const rules = egress("--set-json", `networkPolicy.egress=${JSON.stringify(values.networkPolicy.egress)}`);
  assert.deepEqual(rules.slice(1), [
    { to: [{ podSelector: {} }] },
    { to: [{ ipBlock: { cidr: "10.20.0.0/16" } }, { ipBlock: { cidr: "fd00::/64" } }], ports: [{ port: 6379 }, { port: 26379 }] },
    { to: [{ ipBlock: { cidr: "198.51.100.0/24" } }], ports: [{ port: 3478 }, { port: 5349 }, { port: 3478, protocol: "UDP" }] },
    { to: [{ ipBlock: { cidr: "203.0.113.0/24" } }] },
  ]);
  assert.equal(egress("--set", "redis.bundled=true")[1].to[0].podSelector.matchLabels["app.kubernetes.io/component"], "redis");
});

test("nodes spread over machines for each version, and a machine without a zone label counts like any other", () => {
  for (const name of ["demo-signal-cluster", "demo-signal-cluster-turn"]) {
    const { topologySpreadConstraints, affinity } = find(render(...ON_ALL), "Deployment", name).spec.template.spec;
    assert.deepEqual(topologySpreadConstraints.map((/** @type {any} */ { topologyKey, matchLabelKeys }) => [topologyKey, ...matchLabelKeys]), [["kubernetes.io/hostname", "pod-template-hash"]], name);
    const [{ podAffinityTerm }] = affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution;
    assert.equal(podAffinityTerm.topologyKey, "topology.kubernetes.io/zone", name);
    assert.equal(affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution, undefined, name);
  }
});

test("pods of a lost machine are made anew after 30 s, after what the value says, or when the cluster says", () => {
  const seconds = (/** @type {string[]} */ ...args) => find(render(...args), "Deployment").spec.template.spec.tolerations?.map((/** @type {any} */ { key, tolerationSeconds }) => [key, tolerationSeconds]);
  assert.deepEqual(seconds(), [["node.kubernetes.io/not-ready", 30], ["node.kubernetes.io/unreachable", 30]]);
  assert.equal(seconds("--set", "signal.tolerationSeconds=0")?.[0][1], 0);
  assert.equal(seconds("--set", "signal.tolerationSeconds=-1"), undefined);
});

test("relays alone: no node, no credential service, the Secret that is shared, and a test of them", () => {
  const manifests = render("-f", join(CHART, "ci/relays-only.yaml"));
  assert.deepEqual(podsOf(manifests).map(({ name }) => name), ["demo-signal-cluster-coturn-eu-1", "demo-signal-cluster-coturn-eu-2", "demo-signal-cluster-test-relays"]);
  assert.deepEqual(manifests.filter(({ kind }) => ["Secret", "PodDisruptionBudget", "Ingress", "NetworkPolicy"].includes(kind)), []);
  assert.equal(find(manifests, "Deployment", "demo-signal-cluster-coturn-eu-1").spec.template.spec.nodeSelector["kubernetes.io/hostname"], "node-1");
  const everything = helm("template", "demo", CHART, ...["-f", join(CHART, "ci/relays-only.yaml"), "--set", "ingress.enabled=true,ingress.hosts={a},metrics.podMonitor.enabled=true,networkPolicy.enabled=true"]);
  assert.deepEqual(fromYaml(everything).filter((manifest) => ["Ingress", "PodMonitor", "NetworkPolicy"].includes(manifest?.kind)), []);
});

test("several releases in a namespace share no name and no selector, and each counts its own connections", () => {
  const long = "a-release-with-a-name-of-fifty-characters-number-";
  const names = [..."12"].map((last) => fromYaml(helm("template", long + last, CHART, ...ON_ALL)).filter(Boolean).map(({ kind, metadata }) => `${kind}/${metadata.name}`));
  assert.deepEqual(names[0].filter((name) => names[1].includes(name)), []);
  for (const name of names.flat()) assert(name.split("/")[1].length <= 63, name);
  const [one, two] = ["calls", "calls-eu"].map((release) => find(fromYaml(helm("template", release, CHART, "-f", join(CHART, "ci/gateway-keda.yaml"))).filter(Boolean), "ScaledObject"));
  const [, pods] = one.spec.triggers[0].metadata.query.match(/pod=~"(.*?)"/) ?? [];
  const counted = (/** @type {string} */ pod) => new RegExp(`^(?:${pods})$`).test(pod);
  assert(counted(`${one.metadata.name}-7d4b9c6f5-x2x4z`));
  assert(!counted(`${two.metadata.name}-7d4b9c6f5-x2x4z`) && !counted(`${one.metadata.name}-turn-7d4b9c6f5-x2x4z`));
});

test("releases that share a Redis have a prefix each, at the node and at the credential service", () => {
  const beside = ["--set", "turn.mode=sidecar,turn.uris={turn:relay:3478},turn.secret.existingSecret=s,tests.enabled=false"];
  assert.deepEqual(variables(render("--set", "redis.url=redis://a,redis.prefix=eu:", ...beside), /_REDIS_PREFIX$/), ["eu:", "eu:"]);
  assert.deepEqual(variables(render("--set", "redis.url=redis://a,redis.prefix=eu:"), /_REDIS_PREFIX$/), ["eu:"]);
  assert.match(read("values.yaml"), /Releases that share a Redis need one each/);
});

test("a budget counts what may go or what must stay, of nodes and of credentials", () => {
  const budgets = (/** @type {string[]} */ ...args) => render(...ON_ALL, ...args).filter(({ kind }) => kind === "PodDisruptionBudget").map(({ spec }) => [spec.maxUnavailable, spec.minAvailable]);
  assert.deepEqual(budgets(), [[1, undefined], [1, undefined]]);
  assert.deepEqual(budgets("--set", "podDisruptionBudget.minAvailable=50%"), [[undefined, "50%"], [undefined, "50%"]]);
  assert.deepEqual(budgets("--set", "podDisruptionBudget.enabled=false"), []);
});

test("nodes below a path: the gateway takes it off, and an Ingress has it where its controller is told to", () => {
  const [rule] = find(render("-f", join(CHART, "ci/gateway-keda.yaml")), "HTTPRoute").spec.rules;
  assert.equal(rule.matches[0].path.value, "/calls");
  assert.equal(rule.filters[0].urlRewrite.path.replacePrefixMatch, "/");
  const ingress = ["--set", "ingress.enabled=true,ingress.hosts={a.example.org},ingress.path=/calls(/|$)(.*),ingress.pathType=ImplementationSpecific"];
  const [{ http: { paths: [{ path, pathType }] } }] = find(render(...ingress), "Ingress").spec.rules;
  assert.deepEqual([path, pathType], ["/calls(/|$)(.*)", "ImplementationSpecific"]);
});
