import { readFileSync } from "node:fs";

/**
 * What a reader does with a page: the fenced blocks in their order, each with the marks above it. A mark is a comment of HTML, which
 * no reader sees:
 *
 *   follows: PAGE          the reader has done that page before, in the same folder
 *   no commands: WHY       the page has nothing to run
 *   file: NAME             the block below is saved under this name
 *   serves: URL            the commands below stay in their terminal, and answer there
 *   stays                  the same, of commands that answer nowhere
 *   not run: WHY           nobody runs the commands below
 *   Ctrl-C                 what stays in terminals is ended before the block below
 *   printed by: COMMANDS   the block of `text` below is printed in the terminal in which these were given
 *   two tabs: URL          two tabs with this page see each other
 *
 * A block of `text` below commands is what they print, with `…` for anything.
 *
 * @typedef {object} Step
 * @property {"run" | "write" | "skip" | "interrupt" | "open" | "look"} kind
 * @property {string} text the commands, the content, the reason, the address, or what the commands of an earlier step contain
 * @property {string} [file] where the content goes
 * @property {boolean} [stays]
 * @property {string} [url] where commands that stay answer
 * @property {string[]} [prints] lines
 *
 * @typedef {{follows?: string, silent?: string, steps: Step[]}} Page
 */

const MARK = /^<!-- (follows|no commands|file|serves|stays|not run|Ctrl-C|printed by|two tabs)(?:: (.+))? -->$/;
const FENCE = /^```(\w*)/;

/** Reads a page. @param {string} file @returns {Page} */
export function readPage(file) {
  /** @type {Page} */
  const page = { steps: [] };
  /** @type {Record<string, string>} */
  let marks = {};
  const lines = readFileSync(file, "utf8").split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const [, mark, value = ""] = MARK.exec(lines[at]) ?? [];
    if (mark === "follows") page.follows = value;
    else if (mark === "no commands") page.silent = value;
    else if (mark === "Ctrl-C") page.steps.push({ kind: "interrupt", text: "" });
    else if (mark === "two tabs") page.steps.push({ kind: "open", text: value });
    else if (mark) marks[mark] = value;
    const [, language] = FENCE.exec(lines[at]) ?? [];
    if (language === undefined) continue;
    const end = lines.indexOf("```", at + 1);
    addBlock(page.steps, language, lines.slice(at + 1, end), marks);
    [at, marks] = [end, {}];
  }
  return page;
}

/** @param {Step[]} steps @param {string} language @param {string[]} lines @param {Record<string, string>} marks */
function addBlock(steps, language, lines, marks) {
  const text = `${lines.join("\n")}\n`;
  const last = steps.at(-1);
  const prints = lines.filter((line) => line.trim() !== "");
  if (marks["printed by"]) steps.push({ kind: "look", text: marks["printed by"], prints });
  else if (marks.file) steps.push({ kind: "write", text, file: marks.file });
  else if (language === "sh" && marks["not run"]) steps.push({ kind: "skip", text: marks["not run"] });
  else if (language === "sh") steps.push({ kind: "run", text, stays: "serves" in marks || "stays" in marks, url: marks.serves });
  else if (language === "text" && last?.kind === "run") last.prints = prints;
}

/** The lines, in their order, that an output does not have. @param {string[]} wanted with `…` for anything @param {string} output */
export function missingLines(wanted, output) {
  const left = output.split("\n").map((line) => line.trim());
  return wanted.filter((line) => {
    const pattern = new RegExp(`^${line.trim().split("…").map(escape).join(".*")}$`);
    const at = left.findIndex((printed) => pattern.test(printed));
    left.splice(0, at + 1);
    return at < 0;
  });
}

/** @param {string} text */
function escape(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
