import assert from "node:assert/strict";
import { test } from "node:test";
import { Identity } from "../src/identity.js";
import { randomName } from "../src/random.js";
import { FakeLocks, FakeStorage } from "./support/server.js";
import { settle } from "./support/clock.js";

async function claimed(options) {
  const identity = new Identity("demo", options);
  await identity.claim();
  return identity;
}

test("a key is 128 random bits in 22 characters of base64url", () => {
  const keys = Array.from({ length: 200 }, randomName);
  assert.equal(new Set(keys).size, keys.length);
  for (const key of keys) {
    assert.match(key, /^[\w-]{22}$/);
    assert.equal(Buffer.from(key, "base64url").toString("base64url"), key);
  }
});

test("a reload keeps the key and goes on counting joins", async () => {
  const storage = new FakeStorage();
  const first = await claimed({ storage, locks: null });
  first.nextTry();
  const second = await claimed({ storage, locks: null });
  assert.equal(second.key, first.key);
  assert.equal(second.nextTry(), 2);
  assert.equal(second.restored, true);
});

test("a duplicated tab finds the key locked and takes a new one", async () => {
  const locks = new FakeLocks();
  const storage = new FakeStorage();
  const first = await claimed({ storage, locks });
  const copy = new FakeStorage();
  copy.items = new Map(storage.items);
  const second = await claimed({ storage: copy, locks });
  assert.notEqual(second.key, first.key);
  assert.equal(second.nextTry(), 1);
});

test("a member that left is forgotten and its lock is free", async () => {
  const locks = new FakeLocks();
  const storage = new FakeStorage();
  const identity = await claimed({ storage, locks });
  identity.forget();
  await settle();
  assert.equal(storage.items.size, 0);
  assert.equal(locks.held.size, 0);
});

test("rooms have keys of their own", async () => {
  const storage = new FakeStorage();
  const one = await claimed({ storage, locks: null });
  const other = new Identity("other", { storage, locks: null });
  await other.claim();
  assert.notEqual(other.key, one.key);
});

test("damaged storage is replaced by a new key", async () => {
  const storage = new FakeStorage();
  storage.setItem("signal-cluster:demo", '{"key":"short","tries":"x"}');
  const identity = await claimed({ storage, locks: null });
  assert.match(identity.key, /^[\w-]{22}$/);
  assert.equal(identity.nextTry(), 1);
});
