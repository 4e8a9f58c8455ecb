import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { BINARIES } from "./binaries.js";
import { openBrowser } from "./browser.js";
import { openMember } from "./in-room.js";
import { serveSdk } from "./static.js";
import { readFindings, readTimeline } from "./timelines.js";
import { startCluster } from "../../deploy/local/cluster.js";

/** Why a call failed, as a node tells an operator afterwards: each rule is shown right by a failure that Chromium meets. */

const LIMITS = { timeout: 90_000 };

/** Nodes by what is special about them. */
const [FOREIGN] = [0];

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;
let browser;
let site;
let folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "signal-e2e-"));
  const foreign = join(folder, "foreign-secret");
  writeFileSync(foreign, "the-relay-has-never-heard-of-this-secret", { mode: 0o600 });
  const settings = { [FOREIGN]: { TURN_CRED_SECRET_FILE: foreign } };
  const nodeEnv = () => ({ SIGNAL_NODE_ALLOWED_ORIGINS: "*" });
  cluster = await startCluster({ binaries: BINARIES, nodes: 2, nodeEnv, credentialsEnv: (index) => settings[index] ?? {} });
  site = await serveSdk();
  browser = await openBrowser();
}, LIMITS);

after(async () => {
  await browser?.close();
  site?.close();
  await cluster?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** Opens pages of Ana and Ben that join a room over one node. @returns {Promise<import("playwright-core").Page[]>} */
async function openPair(room, node, options = {}) {
  const url = cluster.nodes[node].origin;
  const open = (/** @type {string} */ name) => openMember(browser.context, site.origin, { url, room, name, token: cluster.token(name, room), options });
  return [await open("ana"), await open("ben")];
}

test("a relay with another secret is named, with the code that it answers", LIMITS, async () => {
  await openPair("foreign", FOREIGN, { iceTransportPolicy: "relay" });
  const [finding] = await readFindings(cluster, "foreign", "relay_credential_refused");
  const relay = new URL(cluster.relays[0].url.replace("turn:", "http://")).host;
  assert.match(finding.text, new RegExp(`^(ana|ben) got no relay candidate: relay ${relay} refused it with 401, although its credential has not expired`));
  const { events } = await readTimeline(cluster, "foreign");
  const joined = events.filter(({ type }) => type === "joined");
  assert.deepEqual(joined.map(({ user }) => user), ["ana", "ben"]);
  assert.doesNotMatch(JSON.stringify(events), /candidate:|a=|typ host/, "no SDP and no candidate is kept");
});
