import assert from "node:assert/strict";
import { codesIn } from "../lib/strangers.js";
import { test } from "node:test";

/** A close frame of a server with this code. @param {number} code */
const close = (code) => Buffer.from([0x88, 2, code >> 8, code & 0xff]);

const UPGRADED = Buffer.from("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");

test("an answer is its status, and the close frame behind its headers and other frames", () => {
  assert.deepEqual(codesIn(Buffer.from("HTTP/1.1 429 Too Many Requests\r\n\r\n{}")), ["429"]);
  assert.deepEqual(codesIn(Buffer.concat([UPGRADED, close(4204)])), ["101", "4204"]);
  assert.deepEqual(codesIn(Buffer.concat([Buffer.from([0x81, 2, 0x7b, 0x7d]), close(1002)])), ["1002"]);
  const long = Buffer.concat([Buffer.from([0x81, 126, 0, 200]), Buffer.alloc(200, "x"), close(4201)]);
  assert.deepEqual(codesIn(long), ["4201"]);
});

test("a frame that is not all there is no code", () => {
  assert.deepEqual(codesIn(Buffer.from([0x81, 100, 0x88, 0x88])), []);
});
