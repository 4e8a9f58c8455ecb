#!/usr/bin/env node
import { dirname, join, normalize } from "node:path";
import { readFileSync } from "node:fs";

/**
 * A preprocessor of mdBook: links of a page to files outside docs/ lead to the repository, since the site has docs/ alone.
 * It gets `[context, book]` as JSON, and prints the book (https://rust-lang.github.io/mdBook/for_developers/preprocessors.html).
 */

const REPOSITORY = "https://github.com/signal-cluster/signal-cluster/blob/main";

// `repository-links.js supports html` asks whether the output is known: every one is.
if (process.argv[2] === "supports") process.exit(0);

const [, book] = JSON.parse(readFileSync(0, "utf8"));
for (const item of book.items ?? book.sections) convert(item);
process.stdout.write(JSON.stringify(book));

/** @param {any} item a chapter, or a separator or title, which has no text */
function convert({ Chapter: chapter }) {
  if (!chapter) return;
  const folder = dirname(join("docs", chapter.source_path ?? chapter.path));
  chapter.content = chapter.content.replace(/\]\(((?:\.\.\/)+[^)\s]*)\)/g, (link, target) => {
    const path = normalize(join(folder, target));
    return path.startsWith("docs/") ? link : `](${REPOSITORY}/${path})`;
  });
  chapter.sub_items.forEach(convert);
}
