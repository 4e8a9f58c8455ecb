#!/usr/bin/env node
/**
 * Starts a cluster on this machine, and then an application that uses it:
 *
 *   node start-cluster.js COMMAND [ARGUMENT …]
 *
 * The command gets SIGNAL_URL, where the cluster is, and JWT_KEY_FILE, with which it signs tokens. Both end with Ctrl-C.
 */
import { existsSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomBytes } from "node:crypto";
import { spawn } from "node:child_process";

const HERE = dirname(fileURLToPath(import.meta.url));
const PORT = process.env.PORT ?? "3000";
const KEY_FILE = process.env.JWT_KEY_FILE ?? join(HERE, "jwt.key");

if (!existsSync(KEY_FILE)) writeFileSync(KEY_FILE, `${randomBytes(48).toString("base64")}\n`, { mode: 0o600 });

const cluster = startCluster();
const SIGNAL_URL = await address(cluster);
const [command, ...args] = process.argv.slice(2);
const application = spawn(command, args, { stdio: "inherit", env: { ...process.env, PORT, SIGNAL_URL, JWT_KEY_FILE: KEY_FILE } });

application.on("error", ({ message }) => end(`${command} cannot be started: ${message}`));
application.on("exit", (code) => end(code ? `${command} ended with ${code}` : ""));
cluster.on("exit", () => end("the cluster has ended"));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => end(""));

/** The node admits the pages of this application, by both names of this machine, and whoever shows a token signed with the key. */
function startCluster() {
  const origins = ["localhost", "127.0.0.1"].map((host) => `http://${host}:${PORT}`);
  const settings = { SIGNAL_NODE_JWT_SECRET_FILE: KEY_FILE, SIGNAL_NODE_ALLOWED_ORIGINS: origins.join(), TURN_CRED_JWT_SECRET_FILE: KEY_FILE };
  const program = process.env.SIGNAL_CLUSTER;
  const [file, options] = program ? [program, []] : ["cargo", ["run", "--manifest-path", join(HERE, "../Cargo.toml")]];
  const started = spawn(file, options, { stdio: ["ignore", "pipe", "inherit"], env: { ...settings, ...process.env } });
  return started.on("error", ({ message }) => end(`${file} cannot be started: ${message}`));
}

/** Waits for the line in which the cluster says where it listens. */
async function address({ stdout }) {
  for await (const line of createInterface({ input: stdout })) {
    const { event, public: at } = line.startsWith("{") ? JSON.parse(line) : {};
    if (event === "listening") return `http://${at}`;
  }
  return end("the cluster did not start; what it printed says why");
}

function end(why) {
  if (why) console.error(why);
  application?.kill();
  cluster.kill();
  process.exit(why ? 1 : 0);
}
