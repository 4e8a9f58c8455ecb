import assert from "node:assert/strict";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { COMPOSE, DEPLOY, SERVICES, compose, makeSecrets } from "./compose.js";
import { ROOT, TOOLS, checkConfig, inFolder, run } from "./settings.js";

/** compose.yaml, without an engine to run it: it is one, its files are there, and each program takes what it gets. */

test("it is a Compose file", () => {
  const script = "import sys, json, jsonschema; jsonschema.validate(json.load(sys.stdin), json.load(open(sys.argv[1])))";
  run(join(TOOLS, "venv/bin/python"), ["-c", script, join(DEPLOY, "test/schemas/compose-spec.json")], { input: JSON.stringify(COMPOSE) });
});

test("every file that it mounts is there", () => {
  const binds = SERVICES.flatMap(([, { volumes = [] }]) => volumes).filter((/** @type {string} */ volume) => volume.startsWith("."));
  assert(binds.length > 5);
  for (const bind of binds) assert(existsSync(join(DEPLOY, bind.split(":")[0])), bind);
});

test("every image has a version, or is built here", () => {
  for (const [name, { image, build }] of SERVICES) assert(build !== undefined || /:[^:]*\d/.test(image), name);
});

test("every image can be named by its digest", () => {
  const digest = (/** @type {string} */ name) => `${name}@sha256:${"0123456789abcdef".repeat(4)}`;
  const names = ["REDIS", "COTURN", "HAPROXY", "PROMETHEUS", "GRAFANA"];
  const { services } = compose(Object.fromEntries(names.map((name) => [`${name}_IMAGE`, digest(name.toLowerCase())])));
  for (const [name, { image, build }] of /** @type {[string, any][]} */ (Object.entries(services))) {
    if (build) assert.deepEqual(build.args, ["BUILD_IMAGE"], name);
    else assert.match(image, /^[a-z]+@sha256:[0-9a-f]{64}$/, name);
  }
});

test("every container is hardened", () => {
  for (const [name, service] of SERVICES) {
    assert.deepEqual([service.read_only, service.cap_drop, service.security_opt], [true, ["ALL"], ["no-new-privileges:true"]], name);
  }
});

test("every container names a user, which is not root", () => {
  for (const [name, { user }] of SERVICES) assert.match(user ?? "", /^[1-9]\d*:\d+$/, name);
});

test("only the relay has a capability: the one that its program is marked with", () => {
  const added = SERVICES.filter(([, { cap_add }]) => cap_add).map(([name, { cap_add }]) => [name, cap_add]);
  assert.deepEqual(added, [["relay", ["NET_BIND_SERVICE"]]]);
});

for (const [name, { environment = {}, image }] of SERVICES.filter(([, { image }]) => image.startsWith("signal-cluster/"))) {
  test(`the settings of ${name} are such`, () => {
    checkConfig(image.split("/")[1], environment);
  });
}

test("a node has the time that its drain takes", () => {
  const { stop_grace_period: period, environment } = COMPOSE.services["node-1"];
  assert(parseInt(period) > parseInt(environment.SIGNAL_NODE_DRAIN_DEADLINE) + 10);
});

test("coturn is not the first process of its container, since it would ignore SIGTERM there", () => {
  const relays = SERVICES.filter(([, { image }]) => image.startsWith("coturn/"));
  assert.deepEqual(relays.map(([name, { init }]) => [name, init]), [["relay", true]]);
});

test("secrets are made once, and every one that is mounted is", () => {
  inFolder((folder) => {
    const files = Object.values(makeSecrets(folder));
    const before = files.map((file) => readFileSync(file, "utf8"));
    for (const text of before) assert(text.length > 32);
    run(join(folder, "deploy/compose/make-secrets.sh"), []);
    assert.deepEqual(files.map((file) => readFileSync(file, "utf8")), before);
  });
});

test("HAProxy takes its configuration", () => {
  inFolder((folder) => {
    // Names of containers, and the resolver that Docker has, are not to be had here.
    const text = readFileSync(join(DEPLOY, "compose/haproxy.cfg"), "utf8").replaceAll(/node-\d:/g, "127.0.0.1:");
    writeFileSync(join(folder, "haproxy.cfg"), text);
    run("haproxy", ["-c", "-f", join(folder, "haproxy.cfg")], { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
  });
});

test("Prometheus takes its configuration", () => {
  inFolder((folder) => {
    cpSync(join(ROOT, "helm/signal-cluster/rules/alerts.yaml"), join(folder, "alerts.yaml"));
    const text = readFileSync(join(DEPLOY, "compose/prometheus.yml"), "utf8").replace("/etc/prometheus/", "");
    writeFileSync(join(folder, "prometheus.yml"), text);
    run("promtool", ["check", "config", join(folder, "prometheus.yml")]);
  });
});
