/**
 * What a scenario may cost, and its row in docs/RELIABILITY.md. Nothing here reaches a cluster.
 *
 * @typedef {Partial<Record<"lost" | "doubled" | "reordered" | "members_lost" | "cut" | "failed_dials" | "slowest_back", number>>} Limits
 *   at most so many; times in milliseconds
 * @typedef {import("./calls.js").CallReport} CallReport
 * @typedef {{name: string, report: CallReport, faults: string[]}} Outcome
 * @typedef {{name: string, does: string, faults: string[]}} CheckOutcome
 * @typedef {{name: string, without: string, faults: string[]}} TwinOutcome
 */

/**
 * Nodes hand their clients over. One member in ten of 80 may be without a socket for a moment: its old node ends once the
 * room log has moved it, which may be before its new node has told it so.
 * @type {Limits}
 */
export const HANDED_OVER = { lost: 0, doubled: 0, reordered: 0, members_lost: 0, cut: 8, failed_dials: 0, slowest_back: 1_000 };

/** Nothing is lost, and members are back soon. @type {Limits} */
export const RESUMED = { lost: 0, doubled: 0, reordered: 0, members_lost: 0, slowest_back: 5_000 };

/** Rooms were lost with Redis: their members stay, and what was under way may be gone. @type {Limits} */
export const RESET = { doubled: 0, reordered: 0, members_lost: 0 };

/** What of a report exceeds its limits, in words. @param {CallReport} report @param {Limits} limits @returns {string[]} */
export function faultsOf(report, limits) {
  const names = /** @type {(keyof Limits)[]} */ (Object.keys(limits));
  const exceeded = names.filter((name) => report[name] > (limits[name] ?? 0)).map((name) => `${name} is ${report[name]}, not ${limits[name]} at most`);
  return [...exceeded, ...report.violations, ...(report.failure ? [report.failure] : [])];
}

/** The report of a scenario that did not come to its end. @param {string} failure @returns {CallReport} */
export function failed(failure) {
  const none = { signals: 0, lost: 0, doubled: 0, reordered: 0, members_lost: 0, moved: 0, cut: 0, failed_dials: 0, slowest_back: 0, worst_delay: 0 };
  return { ...none, violations: [], failure };
}

const HEADER =
  "| scenario | signals | lost | doubled | reordered | members lost | asked to move | without a socket | failed connections | slowest back | worst delay | held |";

/** @param {number} ms */
const seconds = (ms) => `${(ms / 1_000).toFixed(1)} s`;

/** @param {Outcome} outcome */
export function row({ name, report, faults }) {
  const { signals, lost, doubled, reordered, members_lost, moved, cut, failed_dials, slowest_back, worst_delay } = report;
  const counts = [signals, lost, doubled, reordered, members_lost, moved, cut, failed_dials].join(" | ");
  return `| ${name} | ${counts} | ${cut > 0 ? seconds(slowest_back) : "–"} | ${seconds(worst_delay)} | ${faults.length === 0 ? "yes" : "**no**"} |`;
}

/** @param {CheckOutcome} check */
const checkRow = ({ name, does, faults }) => `| ${name} | ${does} | ${faults.length === 0 ? "yes" : "**no**"} |`;

/** The row of a twin, which has to fail. @param {TwinOutcome} twin */
export function twinRow({ name, without, faults }) {
  const noticed = faults[0]?.split("\n")[0].replaceAll("|", "/");
  return `| ${name} | ${without} | ${noticed ?? "**nothing was noticed**"} |`;
}

/**
 * Puts a text between two markers of a page.
 * @param {string} page
 * @param {string} marker
 * @param {string} text
 */
export function insert(page, marker, text) {
  const [begin, end] = [`<!-- ${marker}: begin -->`, `<!-- ${marker}: end -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the page has no lines ${begin} and ${end}`);
  return `${page.slice(0, from + begin.length)}\n${text}\n${page.slice(to)}`;
}

/** A table with a line before it, or nothing if it has no rows. @param {string} head @param {string[]} rows */
function table(head, rows) {
  return rows.length > 0 ? ["", head, head.replaceAll(/[^|]+/g, "---"), ...rows] : [];
}

/** @param {Outcome[]} outcomes @param {CheckOutcome[]} checks @param {TwinOutcome[]} twins */
export function tables(outcomes, checks, twins) {
  const parts = [
    table(HEADER, outcomes.map(row)),
    table("| check | what holds | held |", checks.map(checkRow)),
    table("| scenario or check | made worse by | so that |", twins.map(twinRow)),
  ];
  return parts.flat().join("\n").trim();
}
