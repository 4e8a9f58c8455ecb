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

test("storage that is full or forbidden leaves the key in memory", async () => {
  const refuses = () => {
    throw new DOMException("the quota has been exceeded", "QuotaExceededError");
  };
  const kinds = [
    { getItem: () => null, setItem: refuses, removeItem: () => {} },
    { getItem: refuses, setItem: refuses, removeItem: refuses },
  ];
  for (const storage of kinds) {
    const identity = await claimed({ storage, locks: null });
    assert.match(identity.key, /^[\w-]{22}$/);
    assert.equal(identity.nextTry(), 1);
    identity.forget();
  }
});

test("storage that is full does not keep an older key", async () => {
  const storage = new FakeStorage();
  storage.setItem("signal-cluster:demo", '{"key":"q83vEjRWeJCrze8SNFZ4kA","tries":3}');
  storage.setItem = () => {
    throw new DOMException("the quota has been exceeded", "QuotaExceededError");
  };
  const identity = await claimed({ storage, locks: null });
  assert.equal(identity.nextTry(), 4);
  assert.equal(storage.items.size, 0, "a reload would repeat try 4");
});

test("locks that throw are no locks", async () => {
  const denied = () => new DOMException("a sandbox", "SecurityError");
  for (const request of [() => { throw denied(); }, () => Promise.reject(denied())]) {
    const storage = new FakeStorage();
    const first = await claimed({ storage, locks: { request } });
    const reloaded = await claimed({ storage, locks: { request } });
    assert.equal(reloaded.key, first.key);
  }
});
