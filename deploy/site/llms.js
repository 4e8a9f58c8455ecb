#!/usr/bin/env node
import { dirname, join } from "node:path";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { toRepository } from "./links.js";

/**
 * Adds to the site what programs read (https://llmstxt.org): each page as Markdown beside its HTML, and `llms.txt`, which lists them as
 * docs/SUMMARY.md does.
 *
 *   node llms.js FOLDER
 */

const [, , site] = process.argv;
const DOCS = "../../docs";
const summary = readFileSync(join(DOCS, "SUMMARY.md"), "utf8");
const introduction = readFileSync(join(DOCS, "introduction.md"), "utf8");

/** Comments are marks of tests. @param {string} page */
function copy(page) {
  const text = toRepository(readFileSync(join(DOCS, page), "utf8"), join("docs", dirname(page))).replace(/^<!--.*-->\n/gm, "");
  mkdirSync(join(site, dirname(page)), { recursive: true });
  writeFileSync(join(site, page), text);
}

for (const [, page] of summary.matchAll(/\]\(([\w./-]+\.md)\)/g)) copy(page);
const [, about] = introduction.match(/^# .*\n\n(.*?[.])\s/) ?? [];
// llms.txt has one heading of the first level, its title. The parts of the summary become headings of the second level.
const list = summary.replace(/^# Summary\n/, "").replace(/^# /gm, "## ").replace(/^\[/m, "- [").trim();
writeFileSync(join(site, "llms.txt"), `# signal-cluster\n\n> ${about}\n\n${list}\n`);
