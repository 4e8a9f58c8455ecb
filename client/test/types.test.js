import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The types as an application gets them: made from the sources, installed beside it, checked in strict mode. */

const run = promisify(execFile);
const CLIENT = fileURLToPath(new URL("..", import.meta.url));
const TSC = createRequire(import.meta.url).resolve("typescript/bin/tsc");

/** A folder with the package, as npm would install it, and an application. */
let folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "signal-types-"));
  const installed = join(folder, "node_modules", "@signal-cluster", "client");
  mkdirSync(installed, { recursive: true });
  for (const part of ["package.json", "src", "dist"]) cpSync(join(CLIENT, part), join(installed, part), { recursive: true });
  await run(process.execPath, [TSC, "-p", join(CLIENT, "tsconfig.types.json"), "--outDir", join(installed, "types")]);
  mkdirSync(join(folder, "node_modules", "@types"));
  for (const name of ["ws", "node"]) symlinkSync(join(CLIENT, "node_modules", "@types", name), join(folder, "node_modules", "@types", name));
  symlinkSync(join(CLIENT, "node_modules", "undici-types"), join(folder, "node_modules", "undici-types"));
  symlinkSync(join(CLIENT, "node_modules", "ws"), join(folder, "node_modules", "ws"));
  cpSync(join(CLIENT, "test", "fixtures", "application.ts"), join(folder, "application.ts"));
});

after(() => rmSync(folder, { recursive: true, force: true }));

for (const [module, moduleResolution] of [["nodenext", "nodenext"], ["es2022", "bundler"]]) {
  test(`an application compiles in strict mode against the types (${moduleResolution})`, { timeout: 120_000 }, async () => {
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    const options = { module, moduleResolution, target: "es2022", strict: true, noEmit: true, skipLibCheck: false, lib: ["es2023", "dom", "dom.iterable", "dom.asynciterable"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["application.ts"] }));
    const { stdout } = await run(process.execPath, [TSC, "-p", folder]).catch((error) => error);
    assert.equal(stdout, "");
  });
}

test("CommonJS, such as Jest's, gets the same client by require", () => {
  const required = createRequire(join(folder, "application.cjs"))("@signal-cluster/client");
  assert.equal(typeof required.SignalClient, "function");
});
