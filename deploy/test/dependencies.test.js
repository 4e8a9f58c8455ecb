import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT, inFolder, run } from "./settings.js";

/** What the programs are made of: licences, sources and forbidden crates, by cargo-deny and deny.toml. */

const DENY = join(ROOT, "target/supply/bin/cargo-deny");
const RULES = readFileSync(join(ROOT, "deny.toml"), "utf8");

/** Checks all dependencies by these rules; rejects with what is wrong. @param {string} rules */
function check(rules) {
  return inFolder((folder) => {
    const file = join(folder, "deny.toml");
    writeFileSync(file, rules);
    try {
      run(DENY, ["--locked", "--color", "never", "--log-level", "error", "--config", file, "check", "bans", "licenses", "sources"], { cwd: ROOT });
      return "";
    } catch (error) {
      return /** @type {{stderr: string}} */ (error).stderr;
    }
  });
}

test("licences, sources and crates are those that deny.toml allows", () => {
  assert.equal(check(RULES), "");
});

/** Rules that the dependencies break. @type {[string, (rules: string) => string, RegExp][]} */
const STRICTER = [
  ["a licence that is not in the list", (rules) => rules.replace('  "ISC",\n', ""), /error\[rejected\][^]*"?ISC/],
  ["a crate that carries TLS beside rustls", (rules) => rules.replace('crate = "native-tls"', 'crate = "tokio-rustls"'), /error\[banned\][^]*tokio-rustls/],
  ["a crate from another registry", (rules) => rules.replace("[sources]", "[sources]\nallow-registry = []"), /error\[source-not-allowed\]/],
];
for (const [what, change, finding] of STRICTER) {
  test(`${what} is refused`, () => {
    const rules = change(RULES);
    assert.notEqual(rules, RULES);
    assert.match(check(rules), finding);
  });
}
