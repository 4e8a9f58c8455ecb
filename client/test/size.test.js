import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

/** What the SDK may cost a page to load, compressed (bytes). A good tenth of it are the texts of `explain.js`. */
const MOST = 23 * 1024;

test("the SDK in one file stays small", async (t) => {
  const { length } = gzipSync(await readFile(new URL("../dist/signal-client.js", import.meta.url)));
  t.diagnostic(`${length} bytes compressed`);
  assert.ok(length <= MOST, `${length} bytes compressed, ${MOST} at most`);
});
