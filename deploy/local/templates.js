import { readFileSync } from "node:fs";

/** Real configuration files of other programs, with a few words left open. */

/**
 * Fills in the `{{words}}` of a file under deploy/.
 * @param {string} path relative to deploy/, for instance `haproxy/local.cfg`
 * @param {Record<string, string | number>} words
 */
export function fillIn(path, words) {
  const template = readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
  return template.replace(/\{\{(\w+)\}\}/g, (_, word) => {
    if (word === "words") return "{{words}}"; // the explanation at the top of each file
    if (!(word in words)) throw new Error(`deploy/${path} asks for {{${word}}}, which nobody fills in`);
    return String(words[word]);
  });
}
