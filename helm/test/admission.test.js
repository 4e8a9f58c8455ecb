import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAdmitted, assertRestricted } from "./admission.js";

/** The checks of manifests can fail: by what is wrong, and by what they do not know. */

const CAPABILITIES = { drop: ["ALL"], add: ["NET_BIND_SERVICE"] };
const CLOSED = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: CAPABILITIES };
const CONTAINER = { name: "a", image: "a:1", securityContext: CLOSED };
const USER = { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } };
const POD = { automountServiceAccountToken: false, securityContext: USER, containers: [CONTAINER] };

/** @param {string} kind @param {object} spec */
function manifest(kind, spec) {
  return { apiVersion: "v1", kind, metadata: { name: "a", namespace: "calls" }, spec };
}

/** A pod with a container of this security context. @param {object} securityContext */
function pod(securityContext) {
  return manifest("Pod", { ...POD, containers: [{ ...CONTAINER, securityContext }] });
}

test("a restricted pod passes", () => {
  assertRestricted([manifest("Pod", POD)]);
  assertAdmitted(JSON.stringify(manifest("Pod", POD)));
});

const OPEN = /** @type {[string, any][]} */ ([
  ["a capability that is none of the restricted ones", pod({ ...CLOSED, capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] } })],
  ["new privileges", pod({ ...CLOSED, allowPrivilegeEscalation: true })],
  ["a sidecar with all capabilities", manifest("Pod", { ...POD, initContainers: [{ ...CONTAINER, name: "b", restartPolicy: "Always", securityContext: {} }] })],
  ["the network of the host", manifest("Pod", { ...POD, hostNetwork: true })],
  ["root", manifest("Pod", { ...POD, securityContext: { ...USER, runAsNonRoot: false, runAsUser: 0 } })],
]);

for (const [what, open] of OPEN) {
  test(`not restricted: ${what}`, () => {
    assert.throws(() => assertRestricted([open]));
  });
}

test("an unknown kind is admitted by neither check", () => {
  const strange = manifest("Strange", { template: { spec: POD } });
  assert.throws(() => assertRestricted([manifest("Pod", POD), strange]), /kinds of which nobody knows/);
  assert.throws(() => assertAdmitted(JSON.stringify(strange)), /kinds without a schema/);
});

test("nothing at all is not restricted", () => {
  assert.throws(() => assertRestricted([manifest("ConfigMap", {})]), /no pod to judge/);
});
