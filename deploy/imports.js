import { readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";

/**
 * Which file of the Rust code imports which. A file imports another one if a `use`, or a path in its code, names something
 * that is defined there; what a `mod.rs` only re-exports is looked up where it is defined. Tests may import what they like.
 */

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*/src/*.rs"], { encoding: "utf8" })
  .split("\n")
  .filter((file) => file && !/\/(tests|main)\.rs$/.test(file));
const known = new Set(files);

/** The code of a file without its comments, strings and test module. @param {string} file */
function code(file) {
  const text = readFileSync(file, "utf8").replace(/#\[cfg\(test\)\]\s*mod \w+ \{[\s\S]*$/, "");
  return text.replace(/\/\/.*$/gm, "").replace(/"(?:[^"\\]|\\.)*"/g, '""').replace(/pub\(in [\w:]+\)/g, "pub(super)");
}

const codes = new Map(files.map((file) => [file, code(file)]));

/** The folder in which a file's child modules are. @param {string} file */
const folderOf = (file) => (/\/(mod|lib)\.rs$/.test(file) ? dirname(file) : file.replace(/\.rs$/, ""));

/** Folders and files of modules that only tests have. */
const testing = files.flatMap((file) =>
  [...readFileSync(file, "utf8").matchAll(/#\[cfg\(test\)\]\s*mod (\w+);/g)].map(([, name]) => join(folderOf(file), name)),
);
for (const file of files) if (testing.some((path) => file.startsWith(`${path}/`) || file === `${path}.rs`)) known.delete(file);

/** The file of a child module, if there is one. @param {string} folder @param {string} name */
const child = (folder, name) => [join(folder, `${name}.rs`), join(folder, name, "mod.rs")].find((file) => known.has(file));

/** The module that contains this one. @param {string} file */
function parentOf(file) {
  const folder = dirname(folderOf(file));
  return [join(folder, "mod.rs"), join(folder, "lib.rs"), `${folder}.rs`].find((candidate) => known.has(candidate));
}

/** The paths that a `use` tree names, for instance `a::{b, c::D}`. @param {string} tree @returns {string[][]} */
function flatten(tree) {
  const open = tree.indexOf("{");
  if (open === -1) return [tree.trim().split(/\s+as\s+/)[0].split("::").map((part) => part.trim())];
  const prefix = tree.slice(0, open).split("::").map((part) => part.trim()).filter(Boolean);
  const parts = [];
  let depth = 0;
  let from = open + 1;
  for (let at = from; at < tree.length; at += 1) {
    if (tree[at] === "{") depth += 1;
    if ((tree[at] === "," && depth === 0) || (tree[at] === "}" && depth-- === 0)) {
      parts.push(tree.slice(from, at));
      from = at + 1;
    }
  }
  return parts.filter((part) => part.trim()).flatMap((part) => flatten(part).map((path) => [...prefix, ...path]));
}

/** Finds the file that defines what a path names, starting in the module `file`. @param {string} file @param {string[]} path @returns {string | undefined} */
function find(file, path, depth = 0) {
  const [name, ...rest] = path;
  if (!name || depth > 8) return file;
  const module = child(folderOf(file), name);
  if (module) return find(module, rest, depth + 1);
  for (const [, tree] of codes.get(file)?.matchAll(/\bpub(?:\([a-z ]+\))? use ([^;]+);/g) ?? []) {
    const exported = flatten(tree).find((exported) => exported.at(-1) === name);
    if (exported && exported[0] !== name) return resolve(file, exported, depth + 1);
  }
  return file;
}

/** Finds the file that a path leads to as it is written in `file`. @param {string} file @param {string[]} path @returns {string | undefined} */
function resolve(file, path, depth = 0) {
  const [first, ...rest] = path;
  if (first === "crate") return find(`${file.slice(0, file.indexOf("/src/"))}/src/lib.rs`, rest, depth);
  if (first === "self") return find(file, rest, depth);
  if (first === "super") return resolve(parentOf(file) ?? file, rest[0] === "super" ? rest : ["self", ...rest], depth);
  return child(folderOf(file), first) ? find(file, path, depth) : undefined;
}

/** @param {string} file */
function imports(file) {
  const text = codes.get(file) ?? "";
  const private_ = [...text.matchAll(/(?<!pub(?:\([a-z ]+\))? )\buse ([^;]+);/g)].flatMap(([, tree]) => flatten(tree));
  const inline = [...text.replace(/\buse [^;]+;/g, "").matchAll(/\b(?:crate|super)(?:::\w+)+/g)].map(([path]) => path.split("::"));
  const targets = [...private_, ...inline].map((path) => resolve(file, path));
  return new Set(targets.filter((target) => target && target !== file && known.has(target)));
}

/** From each file to those that it imports. @type {Map<string, Set<string>>} */
export const graph = new Map([...known].map((file) => [file, imports(file)]));
