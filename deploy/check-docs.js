import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * What documents say of the code: every line of a Rust snippet in docs/STYLE.md stands in the code, and every path of
 * this repository that a document names exists.
 *
 *   node deploy/check-docs.js     prints every fault, then fails
 */

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" }).split("\n").filter(Boolean);
const documents = files.filter((file) => /\.md$/.test(file) && !/^(CHANGELOG|docs\/decisions\/)/.test(file));

/** @param {string} fault */
function report(fault) {
  console.error(fault);
  process.exitCode = 1;
}

/** Fenced blocks of a language, as lists of lines. @param {string} text @param {string} language */
const blocks = (text, language) => [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map(([, body]) => body.split("\n"));

const spaceless = (/** @type {string} */ line) => line.replace(/\s+/g, "");
const code = new Set(
  files.filter((file) => /\.rs$/.test(file)).flatMap((file) => readFileSync(file, "utf8").split("\n").map(spaceless)),
);
for (const line of blocks(readFileSync("docs/STYLE.md", "utf8"), "rust").flat()) {
  if (spaceless(line) && !code.has(spaceless(line))) report(`docs/STYLE.md: this line is not in the code any more: ${line.trim()}`);
}

/** Paths in backticks with a folder and an ending of ours; a name that a module's text shortens is found by its end. */
const NAMED = /`((?:[\w.-]+\/)+[\w.-]+\.(?:rs|lua|js|sh|yaml|yml|json|toml|awk|conf|service|css|html))`/g;
for (const document of documents) {
  for (const [, path] of readFileSync(document, "utf8").matchAll(NAMED)) {
    if (!files.some((file) => file === path || file.endsWith(`/${path}`))) report(`${document}: there is no ${path}`);
  }
}
