import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { parseKeys } from "../../deploy/local/keys.js";
import { find, render, withFile } from "./render.js";

/** Every program that reads a file of keys finds the same keys in it, or none: the examples are those of the services. */

/** @type {{what: string, text: string, keys: string[]}[]} */
const EXAMPLES = JSON.parse(readFileSync(new URL("../../deploy/test/key-files.json", import.meta.url), "utf8"));
const RELAY = ["--set", "turn.mode=sidecar,coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1"];

/** What the container of a relay does before it starts coturn. @param {string[]} values */
function preparation(...values) {
  const { args } = find(render(...RELAY, ...values), "Deployment", "demo-signal-cluster-coturn-a").spec.template.spec.containers[0];
  return `${args[0].split(/^drain\(\)/m)[0]}\nconfigure`;
}

/** Runs it with a file of the Secret; returns the configuration, or nothing if coturn is not started. @param {string} script @param {string} text */
function prepare(script, text) {
  return withFile(text, (path) => {
    const conf = join(path, "../turnserver.conf");
    writeFileSync(join(path, "../config"), "realm=turn\n");
    const here = script.replace(/\/etc\/coturn-config\/\S+/, join(path, "../config")).replace(/\/run\/secrets\/coturn\/\w+/g, path).replaceAll("/tmp/turnserver.conf", conf);
    const { status, stderr } = spawnSync("sh", ["-ec", here], { encoding: "utf8" });
    return { conf: status === 0 ? readFileSync(conf, "utf8") : null, stderr };
  });
}

for (const { what, text, keys } of EXAMPLES) {
  test(`a relay of the chart has the keys of its Secret and no other: ${what}`, () => {
    const { conf, stderr } = prepare(preparation(), text);
    const lines = keys.map((key) => `static-auth-secret=${key}`);
    assert.equal(conf, keys.length > 0 ? ["realm=turn", ...lines, ""].join("\n") : null, stderr);
    if (keys.length === 0) assert.match(stderr, /has no key in it|is not a whole one/);
  });

  test(`local clusters and load tests find the same keys: ${what}`, () => {
    if (keys.length > 0) assert.deepEqual(parseKeys(text), keys);
    else assert.throws(() => parseKeys(text), /no key in it|is not 32 or more/);
  });
}

test("of a Secret for the relays' Redis only lines about Redis reach coturn", () => {
  const script = preparation("--set", "turn.redis.existingSecret=r");
  const userdb = 'redis-userdb="ip=10.0.0.1 dbname=0"';
  assert.equal(prepare(script, `${userdb}\n\nstatic-auth-secret=\n`).conf, `realm=turn\n${userdb}\n`);
  const { conf, stderr } = prepare(script, "\n");
  assert.equal(conf, null);
  assert.match(stderr, /no line redis-userdb/);
});
