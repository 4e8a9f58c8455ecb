import assert from "node:assert/strict";
import { test } from "node:test";
import { closeAction, parse } from "../src/protocol.js";
import { LONGEST_WAIT, backoff } from "../src/backoff.js";
import { endpoint } from "../src/addresses.js";

test("a close code nobody has heard of yet is understood by its range", () => {
  assert.equal(closeAction(4057), "resume");
  assert.equal(closeAction(4157), "token");
  assert.equal(closeAction(4257), "stop");
});

test("going away, an abnormal end and a plain 1000 are detaches to resume from", () => {
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013]) assert.equal(closeAction(code), "resume");
});

test("an unknown frame type, broken JSON and a frame without its fields are ignored", () => {
  for (const text of ['{"type":"hologram"}', "{", "null", "[]", '{"type":"ack","room":"demo"}', '{"type":"toString"}']) {
    assert.equal(parse(text), null);
  }
});

test("unknown fields of a known frame are no reason to drop it", () => {
  assert.deepEqual(parse('{"type":"ok","id":1,"mood":"fine"}'), { type: "ok", id: 1, mood: "fine" });
});

test("the wait before an attempt is spread over the whole interval and never above its bound", () => {
  assert.equal(backoff(0, () => 0), 0);
  assert.equal(backoff(1, () => 0.5), 800);
  assert.equal(backoff(1000, () => 1), LONGEST_WAIT);
});

test("a page's address becomes the address of its WebSocket", () => {
  assert.equal(endpoint("https://signal.example"), "wss://signal.example/v1/ws");
  assert.equal(endpoint("http://127.0.0.1:8080/"), "ws://127.0.0.1:8080/v1/ws");
  assert.equal(endpoint("wss://signal.example/prefix/v1/ws"), "wss://signal.example/prefix/v1/ws");
  assert.equal(endpoint("wss://signal.example/calls"), "wss://signal.example/calls/v1/ws");
  assert.equal(endpoint("https://signal.example/calls/?x=1"), "wss://signal.example/calls/v1/ws?x=1");
});
