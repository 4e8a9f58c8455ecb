import { readFileSync } from "node:fs";
import { graph } from "./imports.js";

/**
 * The layers of docs/ARCHITECTURE.md against the `use` lines: a module imports only what stands in a line below its own, and
 * every module of a folder that has layers stands in one. A name with a slash is a file that is apart from its folder.
 *
 *   node deploy/check-layers.js     prints every fault, then fails
 */

const PAGE = "docs/ARCHITECTURE.md";
const BLOCK = /^```layers (\S+)\n([\s\S]*?)^```/gm;

/** @param {string} fault */
function report(fault) {
  console.error(`${PAGE}: ${fault}`);
  process.exitCode = 1;
}

/** @param {string} scope @param {Map<string, number>} layer */
const moduleIn = (scope, layer) => (/** @type {string} */ file) => {
  if (!file.startsWith(`${scope}/`)) return undefined;
  const path = file.slice(scope.length + 1).replace(/\.rs$/, "");
  const name = layer.has(path) ? path : path.split("/")[0];
  return ["mod", "lib"].includes(name) ? undefined : name;
};

const blocks = [...readFileSync(PAGE, "utf8").matchAll(BLOCK)];
if (blocks.length === 0) report("has no layers");
for (const [, scope, text] of blocks) {
  const layers = text.trim().split("\n").map((line) => line.split(",").map((name) => name.trim()));
  const layer = new Map(layers.flatMap((names, at) => names.map((name) => [name, at])));
  const moduleOf = moduleIn(scope, layer);
  const found = new Set([...graph.keys()].map(moduleOf));
  for (const name of found) if (name && !layer.has(name)) report(`${scope}/${name} stands in no layer`);
  for (const name of layer.keys()) if (!found.has(name)) report(`there is no ${scope}/${name}`);
  for (const [file, targets] of graph) {
    const from = moduleOf(file);
    for (const target of targets) {
      const to = moduleOf(target);
      const upwards = from && to && from !== to && /** @type {number} */ (layer.get(from)) >= /** @type {number} */ (layer.get(to));
      if (upwards) report(`the arrow from ${file} to ${target} does not point down`);
    }
  }
}
