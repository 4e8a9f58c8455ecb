import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { expressions } from "./monitoring.js";
import { CHART, find, fromYaml, read, render, run, withFile } from "./render.js";

/** Alerts and dashboards: they parse, fire when they should, and lead somewhere. What they name is compared with live metrics in run.test.js. */

const ALERTS = join(CHART, "rules/alerts.yaml");

test("alerts parse", () => {
  assert.match(run("promtool", ["check", "rules", ALERTS]), /SUCCESS: 25 rules found/);
});

test("each alert fires on what it is for, and none on a cluster that is well", () => {
  run("promtool", ["test", "rules", join(CHART, "rules/alerts.test.yaml")]);
  const [{ groups }] = fromYaml(read("rules/alerts.yaml"));
  const [{ tests }] = fromYaml(read("rules/alerts.test.yaml"));
  const tested = tests.map((/** @type {{name: string}} */ { name }) => name.replace(" fires", ""));
  for (const { alert } of groups.flatMap((/** @type {{rules: any[]}} */ { rules }) => rules)) assert(tested.includes(alert), `${alert} is tested`);
});

test("each alert has a runbook", () => {
  const page = readFileSync(new URL("../../docs/operate/alerts.md", import.meta.url), "utf8");
  const headings = [...page.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading.toLowerCase().replaceAll(/[^a-z0-9 -]/g, "").replaceAll(" ", "-"));
  const [{ groups }] = fromYaml(read("rules/alerts.yaml"));
  for (const { alert, annotations } of groups.flatMap((/** @type {{rules: any[]}} */ { rules }) => rules)) {
    assert(headings.includes(annotations.runbook_url.split("#")[1]), `${alert} leads to a heading`);
  }
});

test("the rules that the chart installs lead to the address that is set", () => {
  const rule = find(render("--set", "metrics.prometheusRule.enabled=true", "--set", "metrics.prometheusRule.runbookUrl=https://wiki.example.org/calls"), "PrometheusRule");
  assert.equal(rule.spec.groups[0].rules[0].annotations.runbook_url, "https://wiki.example.org/calls#signalredisdown");
});

for (const file of readdirSync(join(CHART, "dashboards"))) {
  test(`every expression of ${file} parses`, () => {
    const rules = expressions(file).map((/** @type {string} */ expr, /** @type {number} */ at) => ({ record: `panel:${at}`, expr }));
    assert(rules.length > 5);
    const groups = JSON.stringify({ groups: [{ name: "panels", rules }] });
    withFile(groups, (path) => assert.match(run("promtool", ["check", "rules", path]), /SUCCESS/));
  });
}
