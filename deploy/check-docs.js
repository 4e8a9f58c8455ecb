import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * What documents say of the code: every line of a Rust snippet in docs/STYLE.md stands in the code, every path of this
 * repository that a document names exists, every test that one names is run, and every threat of SECURITY.md names one.
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
/** What a reader makes. */
const OWN = /^my-app\//;
for (const document of documents) {
  for (const [, path] of readFileSync(document, "utf8").matchAll(NAMED)) {
    if (!OWN.test(path) && !files.some((file) => file === path || file.endsWith(`/${path}`))) report(`${document}: there is no ${path}`);
  }
}

for (const document of documents) {
  for (const [, name] of readFileSync(document, "utf8").matchAll(/`([\w-]+\.test\.js)`/g)) {
    if (!files.some((file) => file.endsWith(`/${name}`))) report(`${document}: there is no ${name}`);
  }
}

/** Tests of Rust: functions with the attribute, and what the suites of the room log list. */
const TEST = /#\[(?:tokio::)?test\b[^\n]*\]\s*(?:(?:\/\/|#\[)[^\n]*\s+)*(?:pub(?:\(\w+\))? )?(?:async )?fn (\w+)/g;
const LISTED = /^ +\w+::(\w+),?$/gm;
const rust = files.filter((file) => file.endsWith(".rs"));
/** @param {RegExp} pattern @param {string[]} among */
const names = (pattern, among) => among.flatMap((file) => [...readFileSync(file, "utf8").matchAll(pattern)].map(([, name]) => name));
const tests = new Set([...names(TEST, rust), ...names(LISTED, rust.filter((file) => file.endsWith("log_suite/mod.rs")))]);

/** A name of four words is that of a test, unless it is a metric. */
const SENTENCE = /`([a-z0-9]+(?:_[a-z0-9]+){3,})`/g;
const METRIC = /^(signal|turncred|process)_/;
for (const document of documents) {
  for (const name of names(SENTENCE, [document])) {
    if (!METRIC.test(name) && !tests.has(name)) report(`${document}: there is no test ${name}`);
  }
}

const [, threats] = /^\| threat \|.*\n\|[-| ]+\n((?:\|.*\n)+)/m.exec(readFileSync("SECURITY.md", "utf8")) ?? [];
if (!threats) report("SECURITY.md: there is no table of threats");
for (const row of threats?.trimEnd().split("\n") ?? []) {
  const [, threat, , shown = ""] = row.split("|");
  const named = [...shown.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
  if (named.length === 0) report(`SECURITY.md: no test shows the reaction to this threat: ${threat.trim()}`);
  for (const name of named.filter((name) => !tests.has(name))) report(`SECURITY.md: there is no test ${name}`);
}
