import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withGroup } from "../local/processes.js";
import { CAN_ISOLATE, runIsolated } from "./isolated.js";
import { ROOT, fromYaml, run } from "./settings.js";
import { fileOf } from "./recipes/page.js";

/** What docs/run/production.md hands out: rules of Prometheus, and settings of the kernel. */

const PAGE = "docs/run/production.md";

test("the rules of the targets parse, and name metrics that exist", () =>
  withGroup(async (group) => {
    const text = fileOf(PAGE, "slo.yaml");
    assert.match(run("promtool", ["check", "rules", group.write("slo.yaml", text)]), /SUCCESS: 5 rules found/);
    const metrics = readFileSync(join(ROOT, "docs/operate/metrics.md"), "utf8");
    const names = [...text.matchAll(/\b(?:signal|turncred)_[a-z_]+/g)].map(([name]) => name.replace(/_bucket$/, ""));
    assert(names.length > 5);
    for (const name of names) assert(metrics.includes(`| \`${name}\` |`), name);
    const page = readFileSync(join(ROOT, PAGE), "utf8");
    for (const { record } of fromYaml(text)[0].groups[0].rules) assert(page.includes(`\`${record}\``), record);
  }));

test("a kernel takes the settings", { skip: CAN_ISOLATE ? false : "this system allows no network of one's own (unshare --net)" }, ({ signal }) =>
  withGroup(async (group) => {
    const file = group.write("60-signal.conf", fileOf(PAGE, "60-signal.conf"));
    const { stdout } = await runIsolated(["sh", "-c", 'sysctl -q -p "$0" && sysctl -n net.core.somaxconn net.ipv4.ip_local_port_range', file], { signal });
    assert.deepEqual(stdout.trim().split(/\s+/), ["4096", "10000", "65535"]);
  }));
