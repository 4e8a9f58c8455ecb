#!/usr/bin/env node
import { dirname, join, normalize } from "node:path";
import { existsSync, readFileSync, readdirSync } from "node:fs";

/**
 * Every link of the site leads to a page of it, and to a heading where it names one; every page of docs/ is in the site.
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

const sources = readdirSync("../../docs", { recursive: true }).map(String).filter((file) => file.endsWith(".md") && file !== "SUMMARY.md");
for (const source of sources) {
  const page = source.replace(/README\.md$/, "index.html").replace(/\.md$/, ".html");
  if (!pages.has(page)) report(`docs/${source} is not in docs/SUMMARY.md`);
}
