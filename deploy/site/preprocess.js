#!/usr/bin/env node
import { dirname, join } from "node:path";
import { readFileSync } from "node:fs";
import { toRepository } from "./links.js";

/**
 * A preprocessor of mdBook: links out of docs/ lead to the repository, and diagrams are elements that diagrams.js draws.
 * It gets `[context, book]` as JSON, and prints the book (https://rust-lang.github.io/mdBook/for_developers/preprocessors.html).
 */

// `preprocess.js supports html` asks whether the output is known: every one is.
if (process.argv[2] === "supports") process.exit(0);

const [, book] = JSON.parse(readFileSync(0, "utf8"));
for (const item of book.items ?? book.sections) convert(item);
process.stdout.write(JSON.stringify(book));

/** @param {any} item a chapter, or a separator or title, which has no text */
function convert({ Chapter: chapter }) {
  if (!chapter) return;
  chapter.content = toRepository(chapter.content, dirname(join("docs", chapter.source_path ?? chapter.path))).replace(/^```mermaid\n([\s\S]*?)^```/gm, diagram);
  chapter.sub_items.forEach(convert);
}

/** An element of HTML ends at a blank line, for Markdown. @param {string} _ @param {string} text */
function diagram(_, text) {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `<pre class="mermaid">${escaped.replace(/\n\s*\n/g, "\n").trimEnd()}</pre>`;
}
