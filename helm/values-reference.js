import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * The comments of values.yaml, put where editors and readers look: as descriptions into values.schema.json, and as the
 * table of values into README.md.
 *
 *   node helm/values-reference.js     writes both
 */

const CHART = fileURLToPath(new URL("signal-cluster/", import.meta.url));
const FILES = { values: `${CHART}values.yaml`, schema: `${CHART}values.schema.json`, readme: `${CHART}README.md` };

/** Between these lines README.md is written by this program. */
const [BEGIN, END] = ["<!-- values: node helm/values-reference.js -->", "<!-- end of values -->"];

/** @typedef {{path: string[], text: string, comment: string}} Line a key of values.yaml, what stands behind it, and its comment */

/** The keys of values.yaml with their comments. @param {string} yaml @returns {Line[]} */
function parse(yaml) {
  /** @type {Line[]} */
  const lines = [];
  /** @type {string[]} */
  let path = [];
  let comment = "";
  for (const line of yaml.split("\n")) {
    const [, indent, key, text] = line.match(/^( *)([\w./-]+):(?: (.*))?$/) ?? [];
    const [, words] = line.match(/^ *# ?(.*)$/) ?? [];
    if (words !== undefined) comment = `${comment} ${words}`.trim();
    else if (key !== undefined) lines.push({ path: (path = [...path.slice(0, indent.length / 2), key]), text: text ?? "", comment });
    if (words === undefined) comment = "";
  }
  return lines;
}

/** The part of the schema for a path, if it has one. @param {any} schema @param {string[]} path */
function at(schema, path) {
  return path.reduce((part, key) => part?.properties?.[key], schema);
}

/** The schema with the comments as descriptions. @param {any} schema @param {Line[]} lines */
function described(schema, lines) {
  for (const { path, comment } of lines) {
    const part = at(schema, path);
    if (part && comment) part.description = comment;
  }
  return `${JSON.stringify(schema, null, 2)}\n`;
}

/** What stands behind a key, on one line; a block of it as JSON would be too long for a table. @param {Line[]} lines @param {number} index */
function defaultOf(lines, index) {
  const { text, path } = lines[index];
  if (text !== "") return `\`${text}\``;
  const inside = lines.slice(index + 1).filter((line) => path.every((key, depth) => line.path[depth] === key));
  return inside.every((line) => line.text !== "") ? `\`{${inside.map((line) => `${line.path.at(-1)}: ${line.text}`).join(", ")}}\`` : "see `values.yaml`";
}

/** The rows of the table: every value that has no described values inside of it. @param {any} schema @param {Line[]} lines */
function table(schema, lines) {
  const rows = lines.flatMap(({ path, comment }, index) => {
    const part = at(schema, path);
    const inside = lines.some((line) => line.path.length > path.length && path.every((key, depth) => line.path[depth] === key));
    if (!part || (part.properties && inside)) return [];
    return [`| \`${path.join(".")}\` | ${defaultOf(lines, index)} | ${comment.replaceAll("|", "\\|")} |`];
  });
  return ["| value | default | what it is for |", "|---|---|---|", ...rows].join("\n");
}

/** What both files should hold. */
export function reference() {
  const lines = parse(readFileSync(FILES.values, "utf8"));
  const schema = JSON.parse(readFileSync(FILES.schema, "utf8"));
  const readme = readFileSync(FILES.readme, "utf8");
  const [before, rest] = readme.split(BEGIN);
  const [, after] = rest.split(END);
  return [
    { file: FILES.schema, text: described(schema, lines) },
    { file: FILES.readme, text: `${before}${BEGIN}\n\n${table(schema, lines)}\n\n${END}${after}` },
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { file, text } of reference()) writeFileSync(file, text);
}
