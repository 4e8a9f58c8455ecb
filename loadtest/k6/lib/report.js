/** What a run has found, as rows, as Markdown for people to paste, and as a page. Pure: no k6, no files. */

/** Every number as a person writes it. @param {number} value */
function round(value) {
  if (value === undefined || Number.isNaN(value)) return "–";
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 0);
}

/**
 * What k6 hands to `handleSummary`, as facts.
 * @param {any} data
 * @param {{question: string, title: string, profile: string, machine: string}} about
 */
export function factsOf({ metrics, state }, about) {
  const ours = Object.fromEntries(Object.entries(metrics).filter(([name]) => name.startsWith("sig_") && !name.includes("{")));
  const thresholds = Object.entries(ours).flatMap(([name, { values, thresholds: set = {} }]) =>
    Object.entries(set).map(([expression, { ok }]) => ({ metric: name, expression, measured: measured(values, expression), ok })));
  const values = Object.fromEntries(Object.entries(ours).sort().map(([name, metric]) => [name, metric.values]));
  thresholds.sort((a, b) => a.metric.localeCompare(b.metric));
  const passed = thresholds.length > 0 && thresholds.every(({ ok }) => ok);
  return { ...about, passed, seconds: Math.round(state.testRunDurationMs / 1000), thresholds, values };
}

/** The value that an expression such as `p(95)<250` is about. */
function measured(values, expression) {
  const name = expression.split(/[<>=!]/)[0].trim();
  return round(values[name]);
}

/** One line of the table of all questions. @param {ReturnType<typeof factsOf>} facts */
export function row({ question, passed, seconds, values, thresholds }) {
  const count = (name) => round(values[name]?.count);
  const trend = (name) => (values[name]?.count ? ["med", "p(95)", "p(99)"].map((stat) => round(values[name][stat])).join(" / ") : "–");
  const missed = thresholds.filter(({ ok }) => !ok).map(({ metric, expression }) => `${metric} ${expression}`);
  const time = question === "ice" ? "sig_ice" : "sig_deliver";
  return [
    question,
    passed ? "passed" : `FAILED: ${missed.join(", ") || "nothing was measured"}`,
    `${seconds} s`,
    count("sig_connect"),
    question === "ice" ? count("sig_ice_servers") : count("sig_delivered"),
    `${count("sig_lost")} / ${count("sig_dup")} / ${count("sig_reorder")}`,
    trend("sig_connect"),
    trend(time),
    trend("sig_resume"),
  ];
}

const HEADINGS = ["question", "verdict", "took", "sockets", "delivered", "lost / dup / reordered", "connect ms", "deliver ms", "resume ms"];

/** @param {ReturnType<typeof factsOf>[]} all @param {string} machine */
export function table(all, machine) {
  const rows = [HEADINGS, HEADINGS.map(() => "---"), ...all.map(row)];
  const lines = rows.map((cells) => `| ${cells.join(" | ")} |`);
  return `${lines.join("\n")}\n\nTimes are median / p95 / p99. \`ice\`: credentials instead of signals. ${machine}\n`;
}

/** What is true of one question, for a terminal. @param {ReturnType<typeof factsOf>} facts */
export function text({ question, title, profile, thresholds, passed }) {
  const wide = Math.max(...thresholds.map(({ metric }) => metric.length));
  const lines = thresholds.map(({ metric, expression, measured: value, ok }) => `  ${ok ? "ok  " : "MISS"}  ${metric.padEnd(wide)}  ${value.padStart(6)}  wanted ${expression}`);
  return `\n${question} (${profile}): ${title}\n${lines.join("\n")}\n${question}: ${passed ? "passed" : "FAILED"}\n`;
}

/** What is shown of a metric, in this order; which of them there are depends on its kind. */
const STATS = ["count", "med", "p(95)", "p(99)", "max", "rate", "passes", "fails", "value"];

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2530}
table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{border-bottom:1px solid #d4dae1;padding:.35rem .6rem;text-align:left}
td+td{font-variant-numeric:tabular-nums}.ok{color:#11703a}.miss{color:#b3261e;font-weight:600}small{color:#566}`;

/** A page that needs nothing else. @param {ReturnType<typeof factsOf>} facts */
export function page(facts) {
  const { question, title, machine, passed, seconds, thresholds, values } = facts;
  const verdict = passed ? '<b class="ok">passed</b>' : '<b class="miss">failed</b>';
  const asked = thresholds.map(({ metric, expression, measured: value, ok }) => [metric, expression, value, ok ? '<span class="ok">ok</span>' : '<span class="miss">missed</span>']
    .map((cell, index) => (index < 2 ? escape(cell) : cell)));
  const found = Object.entries(values).map(([name, stats]) => [name, STATS.filter((stat) => stat in stats).map((stat) => `${stat} ${round(stats[stat])}`).join(" · ")]);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(question)}</title><style>${STYLE}</style>
<h1>${escape(question)}: ${verdict}</h1><p>${escape(title)}</p><p>It took ${seconds} s.<br><small>${escape(machine)}</small></p>
<h2>Thresholds</h2>${rowsOf(["metric", "wanted", "measured", ""], asked)}<h2>Everything measured</h2><p><small>Times in ms.</small></p>${rowsOf(["metric", "values"], found)}</html>\n`;
}

/** @param {string[]} headings @param {string[][]} rows of HTML */
function rowsOf(headings, rows) {
  const line = (cells, tag) => `<tr>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
  return `<table>${line(headings, "th")}${rows.map((cells) => line(cells, "td")).join("")}</table>`;
}

/** @param {string} text */
function escape(text) {
  return String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
