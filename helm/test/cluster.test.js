import assert from "node:assert/strict";
import { test } from "node:test";
import { find, render } from "./render.js";
import { renderIn } from "./cluster.js";

/** What the chart keeps of what runs, and what happens where it cannot see it. */

const REDIS = ["--set", "redis.url=redis://redis:6379"];
const SCALED = [...REDIS, "--set", "autoscaling.type=hpa"];
const GENERATED = ["--set", "redis.bundled=true,turn.mode=deployment,coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1"];

/** The nodes as they run. @param {number} replicas */
function running(replicas) {
  return { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "demo-signal-cluster", namespace: "calls" }, spec: { replicas } };
}

/** @param {import("./render.js").Manifest[]} manifests @returns {number} */
function replicas(manifests) {
  return find(manifests, "Deployment", "demo-signal-cluster").spec.replicas;
}

test("an autoscaler that is turned on finds as many pods as there were, and an upgrade keeps what it has made", async () => {
  assert.equal(replicas(await renderIn([running(3)], ...SCALED)), 3);
  assert.equal(replicas(await renderIn([running(7)], ...SCALED, "--set", "signal.replicas=3")), 7);
  assert.equal(replicas(await renderIn([running(1)], ...SCALED)), 2, "minReplicas");
  assert.equal(replicas(await renderIn([], ...SCALED)), 2, "the first install");
});

test("where Helm cannot look, replicas are the least that is set, and never absent", () => {
  assert.equal(replicas(render(...SCALED)), 2);
  assert.equal(replicas(render(...SCALED, "--set", "signal.replicas=6")), 6);
});

test("without an autoscaler the value says how many there are", async () => {
  assert.equal(replicas(await renderIn([running(7)], ...REDIS, "--set", "signal.replicas=3")), 3);
});

/** Keys by the names of their Secrets. @param {import("./render.js").Manifest[]} manifests */
function keys(manifests) {
  return Object.fromEntries(manifests.filter(({ kind }) => kind === "Secret").map(({ metadata, data }) => [metadata.name, data]));
}

test("generated keys are kept, and a Secret that is missing is made beside those that are there", async () => {
  const first = render(...GENERATED);
  const secrets = first.filter(({ kind }) => kind === "Secret");
  assert.equal(secrets.length, 4, "of tokens, of the relays, of the credential service, of Redis");
  assert.deepEqual(keys(await renderIn(secrets, ...GENERATED)), keys(first));
  const [gone, ...others] = secrets;
  const again = keys(await renderIn(others, ...GENERATED));
  for (const { metadata, data } of others) assert.deepEqual(again[metadata.name], data);
  assert.notDeepEqual(again[gone.metadata.name], gone.data);
});

test("keys that a blind rendering makes anew are refused by the cluster, since their Secrets are immutable and are kept", () => {
  const blind = [render(...GENERATED), render(...GENERATED)];
  assert.notDeepEqual(keys(blind[0]), keys(blind[1]));
  for (const { metadata, immutable, data = {} } of blind[1].filter(({ kind }) => kind === "Secret")) {
    assert.equal(immutable, true, metadata.name);
    assert.equal(Object.keys(data).length, 1, `${metadata.name} takes no further key`);
    assert.equal(metadata.annotations?.["helm.sh/resource-policy"], "keep", metadata.name);
  }
});

test("with Secrets of one's own every rendering is the same", () => {
  const own = ["--set", "auth.jwt.existingSecret=a,turn.secret.existingSecret=b,turn.token.existingSecret=c,redis.bundled=false,redis.existingSecret=d"];
  assert.deepEqual(render(...GENERATED, ...own), render(...GENERATED, ...own));
});
