import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../settings.js";

/** A file that a page shows below its mark. @param {string} page @param {string} name @returns {string} */
export function fileOf(page, name) {
  const [, shown] = readFileSync(join(ROOT, page), "utf8").split(`<!-- file: ${name} -->`);
  const [, text] = /^\n```\w*\n([\s\S]*?)^```/m.exec(shown ?? "") ?? [];
  if (!text) throw new Error(`${page} shows no ${name}`);
  return text;
}

/** Variables of a file of lines `NAME=value`. @param {string} text @returns {Record<string, string>} */
export const variables = (text) => Object.fromEntries([...text.matchAll(/^(?:export )?([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
