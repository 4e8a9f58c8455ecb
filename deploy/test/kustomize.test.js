import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT, TOOLS, fromYaml, inFolder, run } from "./settings.js";

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
    const text = build(folder);
    for (const version of ["1.29", "1.37"]) {
      inFolder((at) => {
        writeFileSync(join(at, "all.yaml"), text);
        run(join(TOOLS, "venv/bin/kubernetes-validate"), ["-k", version, "--strict", join(at, "all.yaml")]);
      });
    }
  });
}

test("the overlay changes what it says", () => {
  const objects = fromYaml(build("overlays/production"));
  const { spec } = objects.find(({ kind }) => kind === "Deployment");
  assert.equal(spec.replicas, 4);
  assert.match(spec.template.spec.containers[0].image, /^registry\.example\.org\/signal-node:/);
  assert(objects.every(({ metadata }) => metadata.namespace === "calls"));
});
