import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./settings.js";

/** What docs/WHEN-A-CALL-FAILS.md quotes. */

export const PAGE = readFileSync(join(ROOT, "docs/WHEN-A-CALL-FAILS.md"), "utf8");

/** Small counts of an example are others on the page. @param {string} text */
const general = (text) => text.replace(/\b\d{1,2}\b/g, "N");
const escape = (/** @type {string} */ text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
/** What is quoted, but for words that are filled in whole. */
const QUOTED = [...PAGE.matchAll(/`([^`\n]+)`/g)]
  .filter(([, quoted]) => /\w{3}/.test(quoted))
  .map(([, quoted]) => new RegExp(`^${escape(general(quoted)).replaceAll("…", ".+")}$`));

/** Fails where the page does not quote a message. @param {string} text */
export function isOnThePage(text) {
  assert(QUOTED.some((quoted) => quoted.test(general(text))), `the page does not quote: ${text}`);
}
