import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BINARIES, ROOT, inFolder, run } from "./settings.js";

/** What the pages of reference say of the programs; deploy/check-reference.js compares them with what is printed here. */

const read = (/** @type {string} */ file) => readFileSync(join(ROOT, file), "utf8");
const manual = ["docs/reference", "docs/run", "docs/operate"].flatMap((folder) => readdirSync(join(ROOT, folder)).map((name) => join(folder, name))).map(read).join("\n");

/** Asks a program, without settings of this environment. @param {string} program @param {string[]} args */
const ask = (program, args) => run(join(BINARIES, program), args, { env: {} });

/** The own options of a command; settings are those of every command. @param {string} help */
const options = (help) => [...(help.split("\nOptions:\n")[1]?.split(/\n\n[A-Z]/)[0] ?? "").matchAll(/^ +(?:-\w, )?--([\w-]+)/gm)].map(([, name]) => name);

for (const program of ["signal-node", "turn-cred-service"]) {
  const page = read(`docs/reference/${program}.md`);

  test(`docs/reference/${program}.toml is what the program prints, and changes nothing`, () => {
    const sample = ask(program, ["settings"]);
    assert.equal(sample, read(`docs/reference/${program}.toml`), `target/debug/${program} settings > docs/reference/${program}.toml`);
    inFolder((folder) => {
      // Without the mark of a comment, where there is a default. What is in capitals is a placeholder.
      const used = sample.replace(/^# (\w+ = "(?![A-Z_/]+"$).*")$/gm, "$1");
      assert(used !== sample);
      const file = join(folder, "sample.toml");
      writeFileSync(file, used);
      const needed = program === "signal-node" ? {} : { TURN_CRED_SECRET: "0123456789abcdef0123456789abcdef", TURN_CRED_URIS: "turn:relay.example.org", TURN_CRED_JWT_SECRET: "0123456789abcdef0123456789abcdef" };
      const values = (/** @type {string[]} */ args) => run(join(BINARIES, program), ["check-config", ...args], { env: needed }).replace(/ +\(.*\)$| +$/gm, "");
      assert.equal(values(["--config", file]), values([]));
    });
  });

  test(`the pages of ${program} name its commands and their options`, () => {
    const commands = [...ask(program, ["help"]).split("\nCommands:\n")[1].split("\n\n")[0].matchAll(/^ {2}(\w[\w-]*)/gm)].map(([, name]) => name);
    assert(commands.includes("doctor"));
    const missing = commands.filter((name) => name !== "help" && !new RegExp(`\`${name}[\` ]`).test(page));
    assert.deepEqual(missing, []);
    const unnamed = commands.filter((name) => name !== "help").flatMap((name) => options(ask(program, ["help", name])).map((option) => [name, option]));
    assert(unnamed.some(([name, option]) => name === "doctor" && option === "json"));
    assert.deepEqual(unnamed.filter(([, option]) => !["config", "help", "version"].includes(option) && !manual.includes(`--${option}`)), []);
  });
}

test("the page of all-in-one names its settings with their defaults", () => {
  const page = read("docs/reference/all-in-one.md");
  for (const [, variable, value] of ask("all-in-one", ["--help"]).replace(/\s+/g, " ").matchAll(/\[env: (ALL_IN_ONE_\w+)\](?: \[default: ([^\]]+)\])?/g)) {
    if (variable === "ALL_IN_ONE_CONFIG") continue;
    assert(page.includes(`\`${variable}\``), variable);
    assert(!value || page.includes(`\`${value}\``), `${variable}: ${value}`);
  }
  assert(existsSync(join(BINARIES, "all-in-one")));
});
