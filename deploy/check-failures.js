import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * Compares docs/WHEN-A-CALL-FAILS.md with the code: every message in the first column of its tables is one of the programs,
 * the SDK or the demo page; every close code, error code and alert is on the page; the settings and metrics that it names are
 * those of docs/run, docs/operate and docs/reference; links and the ends of its pictures lead to headings.
 *
 *   node deploy/check-failures.js [FILE]     prints every fault, then fails; FILE is read in place of the page
 */

const PAGE = "docs/WHEN-A-CALL-FAILS.md";
const SOURCES = /^((signal-node|turn-cred-service|crates\/(service-kit|all-in-one|signal-protocol))\/(src|wire)\/|client\/(src|demo)\/|helm\/signal-cluster\/rules\/alerts\.yaml)/;
/** A pattern with fewer letters of its own would fit anything. */
const FIXED_LETTERS = 15;

const read = (/** @type {string} */ file) => readFileSync(file, "utf8");
const page = read(process.argv[2] ?? PAGE);
const plain = page.replace(/^```[\s\S]*?^```/gm, "");

/** @param {string} fault */
function report(fault) {
  console.error(`${PAGE}: ${fault}`);
  process.exitCode = 1;
}

/** Code without comments and unit tests, continued lines joined. @param {string} text */
const bare = (text) =>
  text
    .replace(/#\[cfg\(test\)\]\s*mod \w+ \{[\s\S]*$/, "")
    .replace(/^\s*(\/\/|\/?\*).*$/gm, "")
    .replace(/\\\n\s*/g, "");

const files = execFileSync("git", ["ls-files"], { encoding: "utf8" }).split("\n");
const isSource = (/** @type {string} */ file) => SOURCES.test(file) && !/\/tests(\/|\.rs$)|_tests\.rs$/.test(file);
const code = files.filter(isSource).map((file) => bare(read(file))).join("\n");

const PLACEHOLDER = /\$\{(?:[^{}]|\{[^}]*\})*\}|\{[^{}]*\}/g;
const escape = (/** @type {string} */ text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const unquoted = (/** @type {string} */ text) => text.replace(/\\"/g, '"');

/** Strings with something to fill in, such as `room '{room}' takes no new members`. */
const templates = [...code.matchAll(/"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\\n]|\\.)*)`/g)]
  .map(([, one, other]) => unquoted(one ?? other))
  .filter((text) => text.search(PLACEHOLDER) >= 0);
const unfilled = new Set(templates.map((text) => text.replace(PLACEHOLDER, "…").replace(/…+/g, "…")));
const filled = templates
  .filter((text) => text.replace(PLACEHOLDER, "").replace(/\W/g, "").length >= FIXED_LETTERS)
  .map((text) => new RegExp(`^${text.split(PLACEHOLDER).map(escape).join(".*?")}$`));

/** Tells whether the code has a text, as whole words. @param {string} message */
const isVerbatim = (message) => new RegExp(`(?<!\\w)${escape(message)}(?!\\w)`).test(unquoted(code));
/** @param {string} message */
const isMessage = (message) => unfilled.has(message) || isVerbatim(message) || filled.some((pattern) => pattern.test(message));

const { close, errors } = JSON.parse(read("crates/signal-protocol/wire/codes.json"));
/** @type {string[]} */
const closes = close.map((/** @type {{code: number, name: string}} */ { code: number, name }) => `${number} ${name}`);
/** @type {string[]} */
const answers = errors.map((/** @type {{code: string}} */ { code: name }) => name);
const alerts = [...read("helm/signal-cluster/rules/alerts.yaml").matchAll(/alert: (\w+)/g)].map(([, name]) => name);

/** Rows of the tables with this word above their first column, as their first cells. @param {string} head */
const cells = (head) =>
  [...plain.matchAll(new RegExp(`^\\| ${head} \\|.*\\n\\|[-| ]+\\n((?:\\|.*\\n?)+)`, "gm"))]
    .flatMap(([, rows]) => rows.trimEnd().split("\n").map((row) => row.split(" | ")[0]));
const spans = (/** @type {string} */ text) => [...text.matchAll(/`([^`]+)`/g)].map(([, span]) => span);

const messages = cells("you see").flatMap(spans);
if (messages.length < 100) report(`has ${messages.length} messages in its tables, fewer than it should`);
for (const message of messages) {
  const isKnown = /^\d{4} \w+$/.test(message) ? closes.includes(message) : isMessage(message);
  if (!isKnown) report(`no program says this: ${message}`);
}

for (const wanted of closes) if (!messages.includes(wanted)) report(`does not tell of the close code ${wanted}`);
const words = messages.flatMap((message) => message.split(" "));
for (const wanted of answers) if (!words.includes(wanted)) report(`does not tell of the error ${wanted}`);

const told = cells("alert").flatMap(spans);
for (const name of alerts) if (!told.includes(name)) report(`does not tell of the alert ${name}`);
for (const name of told) if (!alerts.includes(name)) report(`there is no alert ${name}`);

const manual = files.filter((file) => /^docs\/(run|operate|reference)\/.*\.md$/.test(file)).map(read).join("\n");
for (const [name] of plain.matchAll(/\b(SIGNAL_NODE_|TURN_CRED_|signal_|turncred_)\w+/g)) {
  if (!new RegExp(`\\b${name.replace(/_FILE$/, "")}(_FILE)?\\b`).test(manual)) report(`there is no setting or metric ${name}`);
}

/** The anchors of a page, as GitHub makes them. @param {string} text */
const headings = (text) => [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title);
const anchor = (/** @type {string} */ title) => title.toLowerCase().replace(/[^\w\- ]/g, "").replace(/ /g, "-");
for (const [, file, target] of plain.matchAll(/\]\(([\w./-]*)#([\w-]+)\)/g)) {
  const text = file ? read(`docs/${file}`) : page;
  if (!headings(text).map(anchor).includes(target)) report(`the link to ${file}#${target} leads nowhere`);
}
for (const [, leaf] of page.matchAll(/\w\["([^"]+)"\]/g)) {
  if (!headings(page).includes(leaf)) report(`the picture names a section that is not there: ${leaf}`);
}
