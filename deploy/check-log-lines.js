import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * Compares the tables of log lines in docs/operate/logs.md with the code, both ways: each line of the programs has a row
 * with its level and its fields, and each row has a line. What a message is filled in with is `…` in the table.
 *
 *   node deploy/check-log-lines.js     prints every fault, then fails
 *   node deploy/check-log-lines.js --list     prints the lines of the code as rows
 */

const PAGE = "docs/operate/logs.md";
const PROGRAMS = /^(signal-node|turn-cred-service|crates\/(service-kit|all-in-one|signal-client|ws-codec))\/src\/.*\.rs$/;

/** The arguments of a macro, from its opening bracket on. @param {string} text */
function parts(text) {
  const found = [""];
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const quoted = text[at] === '"' ? /^"(?:[^"\\]|\\[\s\S])*"/.exec(text.slice(at))?.[0] : undefined;
    if (quoted) {
      found[found.length - 1] += quoted;
      at += quoted.length - 1;
      continue;
    }
    if (depth === 1 && text[at] === ",") {
      found.push("");
      continue;
    }
    if ("([{".includes(text[at])) depth += 1;
    if (")]}".includes(text[at])) depth -= 1;
    if (depth === 0) return found.map((part) => part.replace(/^\(/, "").trim()).filter(Boolean);
    found[found.length - 1] += text[at];
  }
  throw new Error(`a macro does not end: ${text.slice(0, 80)}`);
}

/** What a format string says, with `…` for what is filled in. @param {string} literal */
const shown = (literal) =>
  literal.slice(1, -1).replace(/\\\s*\n\s*/g, "").replace(/\{[^}]*\}/g, "…").replace(/\\"/g, '"');

/** The name of a field: `room.id = %room`, `%error` or `seconds`. @param {string} part */
const field = (part) => (/^([\w.]+)\s*=[^=]/.exec(part)?.[1] ?? part.replace(/^[%?]/, "")).trim();

/** The lines of one file. @param {string} file */
function linesOf(file) {
  const text = readFileSync(file, "utf8").replace(/#\[cfg\(test\)\]\s*mod \w+ \{[\s\S]*$/, "").replace(/^\s*\/\/.*$/gm, "");
  return [...text.matchAll(/\b(?:tracing::)?(debug|info|warn|error)!\(/g)].map((match) => {
    const all = parts(text.slice(match.index + match[0].length - 1));
    const at = all.findIndex((part) => part.startsWith('"'));
    const fields = all.slice(0, at).map(field).sort();
    return { level: match[1], message: shown(all[at]), fields, file };
  });
}

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { encoding: "utf8" })
  .split("\n")
  .filter((file) => PROGRAMS.test(file) && !/\/tests(\/|\.rs$)|_tests\.rs$/.test(file));
const lines = files.flatMap(linesOf);

/** @param {{message: string, level: string, fields: string[]}} line */
const row = ({ message, level, fields }) => `| \`${message.replaceAll("|", "\\|")}\` | ${level} | ${fields.map((name) => `\`${name}\``).join(", ")} |`;

if (process.argv.includes("--list")) {
  for (const line of lines) console.log(`${line.file}: ${row(line)}`);
} else {
  const rows = new Set([...readFileSync(PAGE, "utf8").matchAll(/^\| `.*` \| (?:debug|info|warn|error) \|[^|]*\|/gm)].map(([text]) => text));
  const known = new Set(lines.map(row));
  const faults = [
    ...lines.filter((line) => !rows.has(row(line))).map((line) => `${PAGE}: has no row for the line of ${line.file}: ${row(line)} … |`),
    ...[...rows].filter((text) => !known.has(text)).map((text) => `${PAGE}: no program logs this any more: ${text}`),
  ];
  faults.forEach((fault) => console.error(fault));
  if (faults.length > 0) process.exitCode = 1;
}
