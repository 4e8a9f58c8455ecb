import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startCluster } from "./cluster.js";

/** What `make cluster` runs: starts a cluster, says where everything is, and stops it on Ctrl-C. */

const HELP = `Runs a whole cluster on this machine: Redis, coturn, signaling nodes, haproxy.

Usage: node deploy/local/main.js [--nodes N] [BINARIES]

  BINARIES     the folder with signal-node and turn-cred-service [default: target/debug]
  --nodes N    how many signaling nodes, 1 to 9 [default: 2]
  --ttl TIME   how long TURN credentials are good for, for instance 20s [default: 600s]
  --help       this text

Everything listens on 127.0.0.1, on free ports and with random secrets. It stays in the foreground;
Ctrl-C stops all of it and removes its folder.

Examples:
  make cluster                                     # builds, then runs this
  node deploy/local/main.js --nodes 3              # after: cargo build
  node deploy/local/main.js --ttl 10s target/release
                                                   # watch fresh credentials reach a running call
`;

/** As BSD's sysexits names it, and the services too: the command line is wrong. */
const USAGE = 64;

const MOST_NODES = 9;

/** Reads the command line. @returns {{nodes: number, ttl: string, binaries: string} | null} null: help is wanted */
function readArguments() {
  const binaries = fileURLToPath(new URL("../../target/debug", import.meta.url));
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { nodes: { type: "string", default: "2" }, ttl: { type: "string", default: "600s" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help) return null;
  if (positionals.length > 1) throw new Error(`one folder is enough, and these are ${positionals.length}: ${positionals.join(" ")}`);
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > MOST_NODES) throw new Error(`--nodes ${values.nodes}: write a number from 1 to ${MOST_NODES}`);
  if (!/^\d+[smh]$/.test(/** @type {string} */ (values.ttl))) throw new Error(`--ttl ${values.ttl}: write a time such as 20s, 10m or 1h`);
  return { nodes, ttl: /** @type {string} */ (values.ttl), binaries: positionals[0] ?? binaries };
}

/** Where everything is, as a table. @param {import("./cluster.js").Cluster} cluster */
function table({ nodes, balancer, relays, dir, token }) {
  const invite = (/** @type {string} */ name) => {
    const query = new URLSearchParams({ room: "demo", name });
    return `${balancer.origin}/?${query}#token=${token(name.toLowerCase(), "demo")}`;
  };
  const rows = [
    ["Balancer", balancer.origin],
    ...nodes.flatMap(({ name, origin, admin, credentials }) => [
      [name, origin],
      ["  metrics", `${admin}/metrics`],
      ["  credentials", `${credentials.origin}/v1/ice-servers`],
      ["  metrics", `${credentials.admin}/metrics`],
    ]),
    ...relays.map(({ url }) => ["TURN", url]),
    ["Logs", dir],
  ];
  const lines = rows.map(([name, where]) => `  ${name.padEnd(16)}${where}`);
  const calls = ["Ana", "Ben"].map((name) => `  ${name}\n  ${invite(name)}\n`);
  const advice = "A call takes two. Open each link in a window of its own (the tokens are good for an hour):";
  return `\n${lines.join("\n")}\n\n${advice}\n\n${calls.join("\n")}\nCtrl-C stops everything.\n`;
}

/** @param {NodeJS.Signals} signal */
function interrupted(signal) {
  say("Everything has stopped.");
  process.exit(signal === "SIGHUP" ? 128 + constants.signals.SIGHUP : 0);
}

/** @param {string} line */
function say(line) {
  process.stdout.write(`${line}\n`);
}

/**
 * @param {number} code
 * @param {unknown} error
 * @param {string} [advice]
 */
function giveUp(code, error, advice = "") {
  process.stderr.write(`cluster: ${/** @type {Error} */ (error).message}\n${advice}`);
  process.exit(code);
}

/** @param {{nodes: number, ttl: string, binaries: string}} options */
async function run(options) {
  let stopping = false;
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
    process.once(signal, () => {
      stopping = true;
      say("\nStopping …");
    });
  }
  try {
    const cluster = await startCluster({ ...options, progress: say, interrupted });
    say(table(cluster));
    const failure = await cluster.failed;
    await cluster.stop();
    giveUp(1, failure);
  } catch (error) {
    if (!stopping) giveUp(1, error); // else it is the half-started cluster that complains
  }
}

try {
  const options = readArguments();
  if (options) await run(options);
  else process.stdout.write(HELP);
} catch (error) {
  giveUp(USAGE, error, "Try --help.\n");
}
