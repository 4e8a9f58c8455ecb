#!/usr/bin/env node
import { dirname, join, normalize } from "node:path";
import { existsSync, readFileSync, readdirSync } from "node:fs";

/**
 * Every link of the site leads to a page of it, and to a heading where it names one; every page of docs/ is in the site, as HTML and
 * as Markdown in llms.txt; diagrams are elements; a decision is called by its number and the title of its page.
 *
 *   node check-links.js FOLDER     prints every fault, then fails
 */

const [, , site] = process.argv;
const files = readdirSync(site, { recursive: true }).map(String);
const pages = new Map(files.filter((file) => file.endsWith(".html")).map((file) => [file, readFileSync(join(site, file), "utf8")]));

/** @param {string} fault */
function report(fault) {
  console.error(fault);
  process.exitCode = 1;
}

/** What an author has written, without the frame around it. @param {string} html */
const body = (html) => /<main>([\s\S]*)<\/main>/.exec(html)?.[1] ?? "";

for (const [page, html] of pages) {
  if (page === "print.html" || page === "404.html") continue;
  for (const [, link] of body(html).matchAll(/href="([^"]+)"/g)) {
    if (/^[a-z]+:/.test(link)) continue;
    const [path, anchor] = link.split("#");
    const target = path ? normalize(join(dirname(page), decodeURIComponent(path))) : page;
    if (!existsSync(join(site, target))) report(`${page}: the link to ${link} leads nowhere`);
    else if (anchor && pages.has(target) && !pages.get(target)?.includes(`id="${anchor}"`)) report(`${page}: ${target} has no heading #${anchor}`);
  }
}

for (const file of files.filter((name) => /\.md$|^llms\.txt$/.test(name))) {
  const text = readFileSync(join(site, file), "utf8").replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
  for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (!/^[a-z]+:|^#/.test(link) && !existsSync(join(site, dirname(file), link.split("#")[0]))) report(`${file}: the link to ${link} leads nowhere`);
  }
}

const list = readFileSync(join(site, "llms.txt"), "utf8");
const sources = readdirSync("../../docs", { recursive: true }).map(String).filter((file) => file.endsWith(".md") && file !== "SUMMARY.md");
for (const source of sources) {
  const page = source.replace(/README\.md$/, "index.html").replace(/\.md$/, ".html");
  const text = readFileSync(join("../../docs", source), "utf8");
  if (!pages.has(page)) report(`docs/${source} is not in docs/SUMMARY.md`);
  else if (!list.includes(`](${source})`)) report(`llms.txt does not list docs/${source}`);
  const diagrams = (/** @type {string} */ html, /** @type {RegExp} */ pattern) => [...html.matchAll(pattern)].length;
  if (diagrams(text, /^```mermaid$/gm) !== diagrams(pages.get(page) ?? "", /<pre class="mermaid">/g)) report(`${page}: a diagram is shown as text`);
  const [, number] = /^decisions\/(\d{4})-/.exec(source) ?? [];
  const [title] = text.split("\n");
  if (number && !(title.startsWith(`# ${number} `) && list.includes(`[${title.slice(2)}](${source})`))) report(`docs/${source} is called otherwise in docs/SUMMARY.md: ${title}`);
}
