import { graph } from "./imports.js";

/**
 * Import circles of the Rust code.
 *
 *   node deploy/check-imports.js     prints every circle, then fails
 */

/** Groups of files that import each other (Tarjan). */
function circles() {
  const index = new Map();
  const low = new Map();
  const stack = [];
  const found = [];
  const visit = (file) => {
    index.set(file, index.size);
    low.set(file, index.get(file));
    stack.push(file);
    for (const next of graph.get(file)) {
      if (!index.has(next)) visit(next);
      if (stack.includes(next)) low.set(file, Math.min(low.get(file), low.get(next)));
    }
    if (low.get(file) !== index.get(file)) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1) found.push(group);
  };
  for (const file of graph.keys()) if (!index.has(file)) visit(file);
  return found;
}

for (const group of circles()) {
  console.error(`import circle: ${group.sort().join(", ")}`);
  for (const file of group) {
    const within = [...graph.get(file)].filter((target) => group.includes(target));
    console.error(`  ${file} imports ${within.join(", ")}`);
  }
  process.exitCode = 1;
}
