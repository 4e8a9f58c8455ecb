import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/**
 * Builds the SDK in one file, as a module, as a CommonJS module and as a classic script, into dist/. The files are committed, so that
 * a node, which carries them, is built by Cargo alone.
 *
 *   node build/bundle.js           writes them
 *   node build/bundle.js --check   fails if they are not what the sources give
 */

const ROOT = new URL("../", import.meta.url);

const NOTE = "/* @signal-cluster/client, MIT OR Apache-2.0; built from client/src by `npm run bundle` */";

/** @type {Record<string, import("esbuild").BuildOptions>} */
const FILES = {
  "dist/signal-client.js": { format: "esm" },
  "dist/signal-client.cjs": { format: "cjs" },
  "dist/signal-client.global.js": { format: "iife", globalName: "SignalCluster" },
};

/** Returns the text of one file of dist/. @param {import("esbuild").BuildOptions} options */
async function bundle(options) {
  const { outputFiles } = await build({
    ...options,
    entryPoints: [fileURLToPath(new URL("src/index.js", ROOT))],
    bundle: true,
    minify: true,
    charset: "utf8",
    target: "es2022",
    banner: { js: NOTE },
    legalComments: "none",
    write: false,
  });
  return /** @type {import("esbuild").OutputFile[]} */ (outputFiles)[0].text;
}

async function write() {
  await mkdir(new URL("dist/", ROOT), { recursive: true });
  for (const [name, options] of Object.entries(FILES)) await writeFile(new URL(name, ROOT), await bundle(options));
}

async function check() {
  for (const [name, options] of Object.entries(FILES)) {
    const built = await readFile(new URL(name, ROOT), "utf8").catch(() => "");
    if (built === (await bundle(options))) continue;
    console.error(`client/${name} is not what client/src gives: run "npm run bundle" in client/ and commit the file`);
    process.exitCode = 1;
  }
}

await (process.argv.includes("--check") ? check() : write());
