import { execFileSync, spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";

/**
 * Stands for cargo where a test runs the commands of a page in a copy of the repository: starts the program that `make test` has
 * built, since cargo would compile all of a copy anew. Packages and examples are those that cargo finds in the copy.
 *
 *   REAL_CARGO=… BINARIES=… node built-cargo.js run [-p PACKAGE] [--example NAME] [--manifest-path FILE] [-- ARGUMENT …]
 */

const { REAL_CARGO = "cargo", BINARIES = "" } = process.env;
const [verb, ...rest] = process.argv.slice(2);
const at = rest.indexOf("--");
const [options, args] = at < 0 ? [rest, []] : [rest.slice(0, at), rest.slice(at + 1)];

/** Takes an option with its value from the command line. @param {string} name */
function take(name) {
  const found = options.indexOf(name);
  return found < 0 ? undefined : options.splice(found, 2)[1];
}

/** @param {string} why @returns {never} */
function giveUp(why) {
  console.error(`cargo of the test: ${why}`);
  process.exit(64);
}

const [wanted, example, manifest] = [take("-p"), take("--example"), take("--manifest-path")];
if (verb !== "run" || options.length > 0) giveUp(`cannot do ${process.argv.slice(2).join(" ")}`);
const question = ["metadata", "--no-deps", "--offline", "--format-version", "1", ...(manifest ? ["--manifest-path", manifest] : [])];
const { packages, workspace_default_members: defaults } = JSON.parse(execFileSync(REAL_CARGO, question, { encoding: "utf8" }));
const [found] = packages.filter((/** @type {any} */ { name, id }) => (wanted ? name === wanted : defaults.includes(id)));
const kind = example ? "example" : "bin";
const target = found?.targets.find((/** @type {any} */ { name, kind: kinds }) => kinds.includes(kind) && name === (example ?? found.name));
if (!target) giveUp(`there is no ${kind} ${example ?? wanted}`);

const child = spawn(join(BINARIES, example ? "examples" : "", target.name), args, { stdio: "inherit" });
// Ctrl-C reaches the program too; cargo waits for it.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
child.on("error", ({ message }) => giveUp(`${message}: build it with cargo build --workspace --all-targets`));
child.on("exit", (code, signal) => process.exit(code ?? 128 + (signal ? constants.signals[signal] : 0)));
