import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../settings.js";

/** A file that a page shows below its mark. @param {string} page @param {string} name @returns {string} */
export const fileOf = (page, name) => blockOf(page, "file", name);

/**
 * Returns the first block below a mark of a page, or the first one in a language.
 * @param {string} page @param {string} mark @param {string} name @param {string} [language]
 */
export function blockOf(page, mark, name, language = "\\w*") {
  const [, shown] = readFileSync(join(ROOT, page), "utf8").split(`<!-- ${mark}: ${name} -->`);
  const [, text] = new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, "m").exec(shown ?? "") ?? [];
  if (!text) throw new Error(`${page} shows no ${name}`);
  return text;
}

/** Variables of a file of lines `NAME=value`. @param {string} text @returns {Record<string, string>} */
export const variables = (text) => Object.fromEntries([...text.matchAll(/^(?:export )?([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
