import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CHART, find, helm } from "../../helm/test/render.js";
import { assertAdmitted, assertRestricted } from "../../helm/test/admission.js";
import { ROOT, TOOLS, fromYaml, run } from "./settings.js";

/** The manifests without Helm. */

const FOLDER = join(ROOT, "deploy/kustomize");

/** @param {string} folder */
function build(folder) {
  return run(join(TOOLS, "bin/kubectl"), ["kustomize", join(FOLDER, folder)]);
}

test("the base is what the chart renders", () => {
  assert(readFileSync(join(FOLDER, "base/all.yaml"), "utf8") === run(join(FOLDER, "render.sh"), []), "make it anew: deploy/kustomize/render.sh > deploy/kustomize/base/all.yaml");
});

for (const folder of ["base", "overlays/production"]) {
  test(`${folder} is what Kubernetes admits`, () => {
    assertAdmitted(build(folder));
  });

  test(`${folder} is as restricted as Pod Security knows`, () => {
    assertRestricted(fromYaml(build(folder)));
  });
}

test("the overlay changes what it says", () => {
  const objects = fromYaml(build("overlays/production"));
  const { spec } = find(objects, "Deployment");
  assert.match(spec.template.spec.containers[0].image, /^registry\.example\.org\/signal-node:/);
  assert(objects.every(({ metadata }) => metadata.namespace === "calls"));
});

test("the overlay scales as the chart does, and nobody else says how many pods there are", () => {
  const objects = fromYaml(build("overlays/production"));
  const own = find(objects, "HorizontalPodAutoscaler");
  const values = ["-f", join(FOLDER, "values.yaml"), "--set", `autoscaling.type=hpa,autoscaling.minReplicas=${own.spec.minReplicas}`];
  const chart = find(fromYaml(helm("template", "signal-cluster", CHART, ...values)).filter(Boolean), "HorizontalPodAutoscaler");
  assert.deepEqual([own.apiVersion, own.metadata.name, own.spec], [chart.apiVersion, chart.metadata.name, chart.spec]);
  const { name, kind } = own.spec.scaleTargetRef;
  assert.equal(find(objects, kind, name).spec.replicas, undefined);
});
