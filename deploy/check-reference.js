import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * Compares the pages of reference with what the programs give, both ways: settings with their defaults, metrics, alerts, codes of
 * the protocol and routes of REST. docs/reference/*.toml and docs/openapi are printed by the programs, which tests check.
 *
 *   node deploy/check-reference.js     prints every fault, then fails
 */

const read = (/** @type {string} */ file) => readFileSync(file, "utf8");

/** @param {string} fault */
function report(fault) {
  console.error(fault);
  process.exitCode = 1;
}

/** Cells of the rows of all tables of a page. @param {string} page */
const rows = (page) => [...page.matchAll(/^\| (.*) \|$/gm)].map(([, row]) => row.split(/ \| ?/));
const spans = (/** @type {string} */ text) => [...text.matchAll(/`([^`]+)`/g)].map(([, span]) => span);

/** What is in one list only, in words. @param {string} page @param {string} kind @param {string[]} told @param {string[]} known */
function compare(page, kind, told, known) {
  for (const name of known) if (!told.includes(name)) report(`${page}: does not list the ${kind} ${name}`);
  for (const name of told) if (!known.includes(name)) report(`${page}: there is no ${kind} ${name}`);
}

/**
 * The settings of a sample, as `VARIABLE: default`; what has none has a placeholder in capitals there.
 * @param {string} sample @returns {Map<string, {isSecret: boolean, value: string | undefined}>}
 */
function settings(sample) {
  const found = sample.matchAll(/^# --[\w-]+, (\w+)( or \w+)?\n# \w+ = "(.*)"$/gm);
  return new Map([...found].map(([, name, secret, value]) => [secret ? name.replace(/_FILE$/, "") : name, { isSecret: Boolean(secret), value: /^[A-Z_/]+$/.test(value) ? undefined : value }]));
}

/** Several settings of a row have one default for each, or one for all. @param {string} program @param {string} prefix */
function checkSettings(program, prefix) {
  const page = `docs/reference/${program}.md`;
  const known = settings(read(`docs/reference/${program}.toml`));
  const listed = rows(read(page)).filter(([first]) => first.startsWith(`\`${prefix}_`));
  compare(page, "setting", listed.flatMap(([first]) => spans(first)), [...known.keys()]);
  for (const [first, shown] of listed) {
    spans(first).forEach((name, at) => {
      const { value, isSecret } = known.get(name) ?? {};
      const defaults = spans(shown);
      const told = defaults[at] ?? defaults[0];
      if (value && told !== value) report(`${page}: the default of ${name} is ${value}, and not ${told}`);
      const isMarked = new RegExp(`\`${name}\` \\(secret\\)`).test(first);
      if (isSecret !== undefined && isSecret !== isMarked) report(`${page}: ${name} is ${isSecret ? "a" : "no"} secret`);
    });
  }
}

checkSettings("signal-node", "SIGNAL_NODE");
checkSettings("turn-cred-service", "TURN_CRED");

const SECRETS = "docs/run/secrets.md";
const rotation = spans(read(SECRETS).split("## Rotation of every secret")[1]?.split("\n## ")[0] ?? "");
for (const program of ["signal-node", "turn-cred-service"]) {
  for (const [name, { isSecret }] of settings(read(`docs/reference/${program}.toml`))) {
    if (isSecret && !rotation.includes(name)) report(`${SECRETS}: does not say how ${name} is rotated`);
  }
}

const METRICS = "docs/operate/metrics.md";
const sources = execFileSync("git", ["ls-files", "signal-node/src/metrics.rs", "signal-node/src/metrics/*.rs", "turn-cred-service/src/metrics.rs"], { encoding: "utf8" }).trim().split("\n");
const metrics = sources.flatMap((file) => [...read(file).matchAll(/"((?:signal|turncred)_[a-z_]+)"/g)].map(([, name]) => name));
const told = rows(read(METRICS)).map(([first]) => first).filter((first) => /^`(signal|turncred)_/.test(first));
compare(METRICS, "metric", told.flatMap(spans), [...new Set(metrics)]);

const ALERTS = "docs/operate/alerts.md";
const rules = [...read("helm/signal-cluster/rules/alerts.yaml").matchAll(/alert: (\w+)/g)].map(([, name]) => name);
compare(ALERTS, "alert", [...read(ALERTS).matchAll(/^#+ ((?:Signal|Turn)\w+)$/gm)].map(([, name]) => name), rules);

const PROTOCOL = "docs/PROTOCOL.md";
/** @type {{close: {code: number, name: string}[], errors: {code: string, retry: boolean}[]}} */
const { close, errors } = JSON.parse(read("crates/signal-protocol/wire/codes.json"));
const protocol = rows(read(PROTOCOL));
const closes = protocol.filter(([code, name]) => /^4\d{3}$/.test(code) && name?.startsWith("`"));
compare(PROTOCOL, "close code", closes.map(([code, name]) => `${code} ${spans(name)[0]}`), close.map(({ code, name }) => `${code} ${name}`));
const answers = protocol.filter(([code, retry]) => /^`[a-z_]+`$/.test(code) && /^(yes|no)$/.test(retry));
compare(PROTOCOL, "error", answers.map(([code, retry]) => `${spans(code)[0]} (retry: ${retry})`), errors.map(({ code, retry }) => `${code} (retry: ${retry ? "yes" : "no"})`));

/** Operations of a description, such as `GET /v1/rooms/{room}`. @param {string} file */
function operations(file) {
  const { paths } = JSON.parse(read(file));
  return Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).filter((key) => /^(get|put|post|delete)$/.test(key)).map((method) => `${method.toUpperCase()} ${path}`));
}

const REST = "docs/reference/rest.md";
const routes = operations("docs/openapi/signal-node.json");
const shown = spans(read(REST)).map((span) => span.split(/[?{ ]/, 2).join(" ")).filter((span) => /^(GET|PUT|POST|DELETE) \//.test(span));
/** Whether `GET /v1/rooms/ROOM` is an operation. @param {string} example @param {string} operation */
const isOf = (example, operation) => new RegExp(`^${operation.replace(/\{\w+\}/g, "[^/]+")}$`).test(example);
for (const route of routes) if (!shown.some((example) => isOf(example, route))) report(`${REST}: does not list ${route}`);
for (const example of shown) if (!routes.some((route) => isOf(example, route))) report(`${REST}: there is no ${example}`);

const manual = ["docs/reference/turn-cred-service.md", "docs/operate/usage.md"];
const pages = manual.map(read).join("\n");
for (const route of operations("docs/openapi/turn-cred-service.json")) {
  const path = route.split(" ")[1].replace(/\{\w+\}/g, "(?:\\{\\w+\\}|\\w+)").replaceAll("/", "\\/");
  if (!new RegExp(`${path}[\`?\\s]`).test(pages)) report(`${manual.join(" and ")} do not list ${route}`);
}
