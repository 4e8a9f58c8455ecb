import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tmpdir } from "node:os";
import { Group } from "../local/processes.js";
import { LOOPBACK, findPort } from "../local/ports.js";
import { findOnPath, findPrograms } from "../local/tools.js";
import { startService } from "../local/services.js";
import { ROOT, run } from "./settings.js";

/** docs/GUIDE.md does what it says: its token endpoints make tokens that a node takes, and the package is one. */

const GUIDE = readFileSync(join(ROOT, "docs/GUIDE.md"), "utf8");
const KEY = "ahoj/0123456789+0123456789abcdef0123456789abcdef=";

/** The code below a mark. @param {string} mark */
function code(mark) {
  const found = GUIDE.split(`<!-- ${mark} -->`)[1]?.match(/```\w+\n([\s\S]*?)```/);
  if (!found) throw new Error(`the guide has no ${mark}`);
  return found[1];
}

/** @param {string} url */
async function answers(url) {
  return fetch(url).then(({ ok }) => ok, () => false);
}

for (const [language, file] of [["node", "tokens.mjs"], ["python", "tokens.py"]]) {
  test(`the token endpoint in ${language} makes tokens that a node takes`, { timeout: 60_000 }, async () => {
    const group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });
    try {
      group.write("jwt.key", KEY);
      const program = findOnPath(language === "node" ? "node" : "python3") ?? "";
      const port = await findPort();
      const script = group.write(file, code(`token endpoint: ${language}`).replace('"jwt.key"', JSON.stringify(join(group.dir, "jwt.key"))));
      const endpoint = { name: language, program, args: [script], env: { PORT: String(port), PATH: process.env.PATH ?? "" } };
      await group.start(endpoint, (child) => child.ready(() => answers(`http://${LOOPBACK}:${port}/`)));
      const token = await (await fetch(`http://${LOOPBACK}:${port}/`)).text();

      const { node } = findPrograms(process.env.TARGET_DIR ?? join(ROOT, "target/debug"));
      const env = { SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_JWT_SECRET_FILE: join(group.dir, "jwt.key") };
      const { ready } = await startService(group, { name: "node", program: node, env });
      const shown = run(node, ["doctor", "--url", `ws://${ready.public}`, "--token-file", group.write("ana.jwt", token), "--room", "demo"], { env: {} });
      assert.match(shown, /^ok +echo/m);
    } finally {
      await group.stop();
    }
  });
}

test("the endpoints are as short as an afternoon wants them", () => {
  for (const language of ["node", "python"]) {
    const lines = code(`token endpoint: ${language}`).split("\n").filter((line) => line.trim() !== "");
    assert(lines.length <= 20, `${language}: ${lines.length} lines`);
  }
});

test("the package installs into an empty project, with its types", () => {
  const folder = mkdtempSync(join(tmpdir(), "package-"));
  const client = join(ROOT, "client");
  try {
    const npm = (/** @type {string[]} */ args, /** @type {string} */ cwd) => run("npm", args, { cwd });
    const [{ filename, files }] = JSON.parse(npm(["pack", "--json", "--silent", "--pack-destination", folder], client).replace(/^[^[]*/, ""));
    const names = files.map((/** @type {{path: string}} */ { path }) => path);
    assert(names.includes("src/index.js") && names.includes("types/index.d.ts"));
    assert(!names.some((/** @type {string} */ name) => name.startsWith("test/")));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "empty", type: "module" }));
    npm(["install", "--offline", "--no-audit", "--no-fund", join(folder, filename)], folder);
    writeFileSync(join(folder, "app.ts"), typed('const word: string = client.state.phase;'));
    const tsc = [join(client, "node_modules/typescript/bin/tsc"), "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "app.ts"];
    run(process.execPath, tsc, { cwd: folder });
    writeFileSync(join(folder, "app.ts"), typed("const word: number = client.state.phase;"));
    assert.throws(() => run(process.execPath, tsc, { cwd: folder }), "types are checked");
    const shown = run(process.execPath, ["--input-type=module", "-e", 'import { SignalClient } from "@signal-cluster/client"; console.log(typeof SignalClient)'], { cwd: folder });
    assert.equal(shown.trim(), "function");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** A program that uses the package. @param {string} line */
function typed(line) {
  return `import { SignalClient } from "@signal-cluster/client";
const client = new SignalClient({ url: "ws://127.0.0.1:8080", token: async () => "…" });
${line}
export const room = client.join("demo", { meta: { name: "Ana" } });
console.log(word);
`;
}
