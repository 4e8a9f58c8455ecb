import { read } from "./render.js";

/** What dashboards ask of Prometheus. */

/** The expressions of a dashboard, with its variables filled in. @param {string} file */
export function expressions(file) {
  const { panels } = JSON.parse(read(`dashboards/${file}`));
  const targets = panels.flatMap((/** @type {{targets?: any[]}} */ { targets = [] }) => targets);
  return targets.map((/** @type {{expr: string}} */ { expr }) => expr.replaceAll("$__rate_interval", "1m").replaceAll(/\$\w+/g, ".*"));
}
