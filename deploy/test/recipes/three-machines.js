#!/usr/bin/env node
import assert from "node:assert/strict";
import { join } from "node:path";
import { connect } from "node:net";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { bind } from "../../local/coturn.js";
import { ping } from "../../local/redis.js";
import { findPrograms } from "../../local/tools.js";
import { startService } from "../../local/services.js";
import { withGroup } from "../../local/processes.js";
import { BINARIES, ROOT, run } from "../settings.js";
import { missingLines } from "../walk/pages.js";
import { makeCertificate } from "./certificate.js";
import { blockOf, fileOf, variables } from "./page.js";

/**
 * docs/run/three-machines.md on one machine: each address is one of the loopback interface, and each machine a folder. Start it in a network of
 * its own that has 10.0.0.0/24 and knows the names of the page.
 */

const PAGE = "docs/run/three-machines.md";
const FRONT = "10.0.0.10";
const NODES = ["10.0.0.11", "10.0.0.12"];

/** @typedef {import("../../local/processes.js").Group} Group */

/** Runs the commands of a step in the folder of the repository; what they install goes to a machine. @param {Group} group @param {string} step @param {string} [machine] */
function does(group, step, machine = "") {
  const text = blockOf(PAGE, "step", step).replace(/(?<= )\/(?=etc\/|usr\/)/g, `${machine}/`);
  const env = { PATH: process.env.PATH, SSL_CERT_FILE: join(group.dir, "certificate.pem"), TURN_CRED_RELAY_CA_FILE: join(group.dir, "certificate.pem") };
  return run("bash", ["-euo", "pipefail", "-c", text], { cwd: join(group.dir, "repository"), env });
}

/** The repository, with the programs where a release build leaves them. @param {string} folder */
function makeRepository(folder) {
  mkdirSync(join(folder, "target"), { recursive: true });
  for (const name of ["deploy", "docs", "helm"]) symlinkSync(join(ROOT, name), join(folder, name));
  symlinkSync(BINARIES, join(folder, "target/release"));
}

/** @param {Group} group */
async function startFront(group) {
  const programs = findPrograms(BINARIES);
  const front = join(group.dir, "repository/front");
  const redis = group.write("redis.conf", fileOf(PAGE, "redis.conf").replace("/etc/redis", front));
  const password = readFileSync(join(group.dir, "repository/secrets/redis-password"), "utf8").trim();
  await group.start({ name: "redis", program: programs.redis, args: [redis] }, (child) => child.ready(() => ping(6379, `signal ${password}`, FRONT)));
  const relay = readFileSync(join(front, "turnserver.conf"), "utf8").replace("/etc/coturn/certificate", join(group.dir, "certificate")).replace("/etc/coturn/key", join(group.dir, "key"));
  const relayArgs = ["-c", group.write("turnserver.conf", relay), "--pidfile", join(group.dir, "turnserver.pid"), "--userdb", join(group.dir, "turn.db")];
  await group.start({ name: "coturn", program: programs.coturn, args: relayArgs }, (child) => child.ready(() => bind(3478, FRONT)));
  const haproxy = group.write("haproxy.cfg", fileOf("docs/run/balancers.md", "haproxy.cfg").replaceAll("/etc/ssl/signal", group.dir));
  return () => group.start({ name: "haproxy", program: programs.haproxy, args: ["-db", "-f", haproxy] }, (child) => child.ready(() => accepts(443, FRONT)));
}

/** Whether something accepts connections there. @param {number} port @param {string} host @returns {Promise<boolean>} */
function accepts(port, host) {
  const socket = connect({ port, host });
  return once(socket, "connect").then(() => true, () => false).finally(() => socket.destroy());
}

/** Starts what a unit starts, with its settings. @param {Group} group @param {string} host @param {string} name */
function startUnit(group, host, name) {
  const machine = join(group.dir, host);
  const unit = readFileSync(join(machine, `etc/systemd/system/${name}.service`), "utf8");
  const [, program] = /^ExecStart=(\S+) serve$/m.exec(unit) ?? [];
  const [, file] = /^EnvironmentFile=(.+)$/m.exec(unit) ?? [];
  const own = variables([...unit.matchAll(/^Environment=(.+)$/gm)].map(([, line]) => line).join("\n"));
  const there = (/** @type {string} */ value) => value.replace("%d", join(machine, "etc/signal-cluster/secrets")).replace("%t", join(machine, "run")).replace("/run/turn-cred", join(machine, "run/turn-cred"));
  const env = Object.entries({ ...variables(readFileSync(join(machine, file), "utf8")), ...own }).map(([key, value]) => [key, value.startsWith("unix:") || value.includes("%") ? there(value.replace("%t", "/run")) : value]);
  return startService(group, { name: `${name}-${host}`, program: join(machine, program), env: Object.fromEntries(env) });
}

/** @param {Group} group @param {string} host */
async function startNode(group, host) {
  const machine = join(group.dir, host);
  does(group, "node", machine);
  mkdirSync(join(machine, "run/turn-cred"), { recursive: true });
  const settings = join(machine, "etc/signal-cluster");
  // Both have this address here, where the machines share a loopback interface.
  writeFileSync(join(settings, "turn-cred-service.env"), `${fileOf(PAGE, "turn-cred-service.env").replaceAll("127.0.0.1:", `${host}:`)}TURN_CRED_RELAY_CA_FILE=${group.dir}/certificate.pem\n`);
  writeFileSync(join(settings, "signal-node.env"), fileOf(PAGE, "signal-node.env").replaceAll("10.0.0.11", host));
  await startUnit(group, host, "turn-cred-service");
  return (await startUnit(group, host, "signal-node")).child;
}

await withGroup(async (group) => {
  makeRepository(join(group.dir, "repository"));
  makeCertificate(group.dir, ["signal.example.org", "app.example.org", "relay.example.org"]);
  for (const step of ["secrets", "front", "relay"]) does(group, step);
  const startBalancer = await startFront(group);
  const nodes = [];
  for (const host of NODES) nodes.push(await startNode(group, host));
  await startBalancer();
  for (const step of ["check", "check relay"]) {
    const printed = does(group, step);
    assert.deepEqual(missingLines(blockOf(PAGE, "step", step, "text").trim().split("\n"), printed), [], printed);
  }

  // A machine is lost.
  nodes[0].kill();
  await nodes[0].ended;
  const left = does(group, "check");
  assert.match(left, /^ok +echo/m);
});
process.exit();
