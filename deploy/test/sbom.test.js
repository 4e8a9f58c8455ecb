import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { ROOT, inFolder, run } from "./settings.js";

/** What both programs are made of, as a release says it (CycloneDX). */

const SCRIPT = join(ROOT, "deploy/make-sbom.sh");
const PYTHON = join(ROOT, "target/supply/bin/python");
const VALIDATE = `
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read())
sys.exit(f"{fault.data.json_path}: {fault.data.message}" if fault else 0)`;

const folder = mkdtempSync(join(tmpdir(), "sbom-"));
before(() => run(SCRIPT, [folder]));
after(() => rmSync(folder, { recursive: true }));

/** @param {string} text */
const validate = (text) => run(PYTHON, ["-c", VALIDATE], { input: text });

/** Crates that a program of this machine is built of, as `name@version`; procedural macros and build scripts too. @param {string} program */
function crates(program) {
  const lines = run("cargo", ["tree", "--locked", "-p", program, "-e", "normal,build", "--prefix", "none", "--format", "{p}"], { cwd: ROOT }).split("\n");
  return new Set(lines.filter(Boolean).map((line) => line.replace(/^(\S+) v(\S+).*$/, "$1@$2")));
}

for (const program of ["signal-node", "turn-cred-service"]) {
  const read = () => readFileSync(join(folder, `${program}.cdx.json`), "utf8");

  test(`${program}: the list is CycloneDX, and a list that is not is told from it`, () => {
    validate(read());
    const { metadata, ...broken } = JSON.parse(read());
    assert.throws(() => validate(JSON.stringify({ ...broken, made: metadata })), /'made' was unexpected/);
  });

  test(`${program}: every crate that it is built of is listed, and none that only tests use`, () => {
    const { metadata: { component }, components } = JSON.parse(read());
    assert.equal(component.name, program);
    const listed = new Set([component, ...components].map(({ name, version }) => `${name}@${version}`));
    const built = crates(program);
    assert(built.size > 100, `${built.size} crates`);
    assert.deepEqual([...built].filter((crate) => !listed.has(crate)), []);
    assert.deepEqual([...listed].filter((crate) => /^(proptest|stateright|rcgen)@/.test(crate)), []);
  });

  test(`${program}: each crate of a registry has its licence and its digest, and no path of this machine is named`, () => {
    const foreign = JSON.parse(read()).components.filter((/** @type {any} */ { purl }) => !purl.includes("download_url=file:"));
    const bare = foreign.filter((/** @type {any} */ { licenses, hashes }) => !licenses?.length || hashes?.[0].alg !== "SHA-256");
    assert.deepEqual(bare.map((/** @type {any} */ { name }) => name), []);
    for (const path of [ROOT, tmpdir()]) assert(!read().includes(`file://${path}`), path);
  });
}

test("the same commit gives the same bytes", () => inFolder((again) => {
  run(SCRIPT, [again]);
  for (const file of ["signal-node.cdx.json", "turn-cred-service.cdx.json"]) assert.equal(readFileSync(join(again, file), "utf8"), readFileSync(join(folder, file), "utf8"));
}));

test("without its argument the recipe says what it is", () => {
  assert.throws(() => run(SCRIPT, []), /make-sbom\.sh FOLDER/);
});
