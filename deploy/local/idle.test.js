import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { Group } from "./processes.js";
import { LOOPBACK, onFreePort } from "./ports.js";
import { findOnPath } from "./tools.js";
import { startCluster } from "./cluster.js";

/**
 * Balancers cut what is silent for too long. Nodes ping, so a socket on which nobody says anything outlives every
 * limit above that interval; and `doctor --idle` finds a limit below it.
 */

const LIMITS = { timeout: 60_000 };
const BINARIES = process.env.TARGET_DIR ?? fileURLToPath(new URL("../../target/debug", import.meta.url));

/** How long the balancers here wait for a word (s). */
const IDLE = 2;

/** How long a socket is left in peace: several of those. */
const LONG = `${IDLE * 3}s`;

/** How often the two nodes ping: more and less often than the balancers cut. */
const PINGS = ["1s", "10s"];

/** A configuration for each balancer, and how it is started with one. */
const BALANCERS = {
  haproxy: {
    args: (file) => ["-db", "-f", file],
    config: ({ port, node }) => `
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout tunnel ${IDLE}s
frontend public
    bind ${LOOPBACK}:${port}
    default_backend node
backend node
    server node ${node}
`,
  },
  nginx: {
    args: (file) => ["-c", file, "-e", "stderr"],
    config: ({ port, node, dir }) => `
daemon off;
pid ${dir}/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path ${dir}; proxy_temp_path ${dir}; fastcgi_temp_path ${dir}; uwsgi_temp_path ${dir}; scgi_temp_path ${dir};
    server {
        listen ${LOOPBACK}:${port};
        location / {
            proxy_pass http://${node};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout ${IDLE}s;
        }
    }
}
`,
  },
};

/** @type {Awaited<ReturnType<typeof startCluster>>} */
let cluster;
const group = new Group({ interrupted: (signal) => process.kill(process.pid, signal) });

before(async () => {
  cluster = await startCluster({ binaries: BINARIES, nodeEnv: (index) => ({ SIGNAL_NODE_PING: PINGS[index] }) });
}, LIMITS);

after(async () => {
  await group.stop();
  await cluster.stop();
});

/** Puts a balancer in front of a node, and returns where. @param {string} name @param {string} node */
function balance(name, node) {
  const { args, config } = BALANCERS[name];
  const program = findOnPath(name);
  assert.ok(program, `not installed: ${name}; deploy/install-test-tools.sh installs it`);
  return onFreePort(async (port) => {
    const file = group.write(`${name}-${port}.conf`, config({ port, node, dir: group.dir }));
    const origin = `http://${LOOPBACK}:${port}`;
    const answers = () => fetch(origin).then(({ ok }) => ok, () => false);
    await group.start({ name: `${name}-${port}`, program, args: args(file) }, (starting) => starting.ready(answers));
    return `ws://${LOOPBACK}:${port}`;
  });
}

/** What the doctor finds of a socket that is left in peace. @param {string} url */
async function examine(url) {
  const env = { SIGNAL_NODE_JWT_SECRET_FILE: join(cluster.dir, "jwt-secret") };
  const doctor = spawn(join(BINARIES, "signal-node"), ["doctor", "--url", url, "--idle", LONG, "--json"], { env, stdio: ["ignore", "pipe", "inherit"] });
  const { checks } = JSON.parse(await text(doctor.stdout));
  return checks.find(({ check }) => check === "idle");
}

for (const name of Object.keys(BALANCERS)) {
  test(`a silent socket outlives ${name}, since nodes ping more often than it cuts`, LIMITS, async () => {
    const finding = await examine(await balance(name, new URL(cluster.nodes[0].origin).host));
    assert.equal(finding.verdict, "ok", JSON.stringify(finding));
  });

  test(`the doctor finds that ${name} cuts before a node pings, and says what to do`, LIMITS, async () => {
    const finding = await examine(await balance(name, new URL(cluster.nodes[1].origin).host));
    assert.equal(finding.verdict, "fail", JSON.stringify(finding));
    assert.match(JSON.stringify(finding), /SIGNAL_NODE_PING/);
  });
}
