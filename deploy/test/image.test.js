import assert from "node:assert/strict";
import { lstatSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { text } from "node:stream/consumers";
import { Images, PROGRAMS } from "./images.js";
import { firstProcess, killContainer, makeMountpoints, startContainer } from "./engine.js";
import { serveNames } from "./names.js";
import { ROOT, TOOLS, run } from "./settings.js";

/** The images: what is in them, what they say about themselves, and that they work where nothing is allowed. */

const NOBODY = "65532";
const KEY = "0123456789abcdef0123456789abcdef";
const LIMITS = { timeout: 60_000 };

/** Bounds of what is shipped (bytes); a program counts without what debuggers read, and is not optimised here. */
const PROGRAM_AT_MOST = 80e6;
const REST_AT_MOST = 1e6;

/** One name that only a hosts file has, and one that only a server of names has. */
const IN_FILE = "in-hosts-only.test";
const IN_DNS = "in-dns-only.test";

/** What a program needs to be told where nothing else is there. @type {Record<string, Record<string, string>>} */
const SETTINGS = {
  "signal-node": {
    SIGNAL_NODE_LISTEN: "127.0.0.1:0",
    SIGNAL_NODE_ADMIN_LISTEN: "127.0.0.1:0",
    SIGNAL_NODE_JWT_SECRET: KEY,
    SIGNAL_NODE_DRAIN_DELAY: "0s",
  },
  "turn-cred-service": {
    TURN_CRED_LISTEN: "127.0.0.1:0",
    TURN_CRED_ADMIN_LISTEN: "127.0.0.1:0",
    TURN_CRED_SECRET: KEY,
    TURN_CRED_JWT_SECRET: KEY,
    TURN_CRED_URIS: "turn:localhost:3478",
    TURN_CRED_PROBE_EVERY: "0s",
  },
};

const images = new Images();
/** @type {Record<string, import("./engine.js").Container>} */
const containers = {};
/** @type {Record<string, string[]>} what is in an image, before anything is mounted */
const files = {};
/** @type {import("./names.js").Names} */
let names;
/** Containers of this test, ended or not. @type {import("node:child_process").ChildProcess[]} */
const started = [];

before(async () => {
  images.build();
  names = await serveNames(IN_DNS, [127, 0, 0, 1]);
  const [hosts, resolv] = ["hosts", "resolv.conf"].map((name) => join(images.folder, name));
  writeFileSync(hosts, `127.0.0.1 localhost ${IN_FILE}\n`);
  writeFileSync(resolv, `nameserver ${names.address}\n`);
  for (const program of PROGRAMS) {
    const root = images.mount(program);
    files[program] = readdirSync(root, { recursive: true }).map(String).filter((name) => !lstatSync(join(root, name)).isDirectory());
    makeMountpoints(root);
    containers[program] = { root, config: images.config(program), hosts, resolv };
  }
}, { timeout: 1_200_000 });

after(() => {
  started.forEach(killContainer);
  names?.close();
  images.remove();
});

/** Starts a program in its container, with what it needs to be told. @param {string} program @param {string[]} args @param {Record<string, string>} [variables] */
function start(program, args, variables = {}) {
  const child = startContainer(containers[program], args, { ...SETTINGS[program], ...variables });
  started.push(child);
  return child;
}

/**
 * Starts a service as its image says, calls once it serves, and has it end.
 * @param {string} program
 * @param {(addresses: Record<string, string>, pid: number) => Promise<void>} act
 */
async function serve(program, act) {
  const child = start(program, containers[program].config.Cmd);
  const [failed, ended] = [text(child.stderr), once(child, "exit")];
  const [line] = await Promise.race([once(createInterface(child.stdout), "line"), failed.then((why) => Promise.reject(new Error(why)))]);
  const pid = firstProcess(child);
  await act(JSON.parse(line), pid);
  process.kill(pid, "SIGTERM");
  assert.deepEqual(await ended, [0, null]);
}

/** @param {number} pid of the program in a container */
function assertConfined(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const value = (/** @type {string} */ field) => status.match(new RegExp(`^${field}:\t(.*)$`, "m"))?.[1].trim();
  for (const field of ["Uid", "Gid"]) assert.equal(value(field), Array(4).fill(NOBODY).join("\t"), field);
  for (const field of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) assert.match(value(field) ?? "", /^0+$/, field);
  assert.deepEqual([value("NoNewPrivs"), value("Groups")], ["1", ""]);
  // Fields of a line: proc(5), /proc/[pid]/mountinfo; the last one on a path is the one that counts.
  const root = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split("\n").map((line) => line.split(" ")).findLast(([, , , , path]) => path === "/");
  assert.match(root?.[5] ?? "", /^ro\b/);
}

/** How large an image is, in words; fails past the bounds. @param {string} program */
function measure(program) {
  const { root } = containers[program];
  const own = join(root, program);
  const stripped = join(images.folder, `${program}-stripped`);
  run("strip", ["--strip-debug", "-o", stripped, own]);
  const size = (/** @type {string} */ path) => statSync(path).size;
  const rest = files[program].map((file) => size(join(root, file))).reduce((sum, bytes) => sum + bytes) - size(own);
  assert(size(stripped) <= PROGRAM_AT_MOST && rest <= REST_AT_MOST, `${size(stripped)} and ${rest} bytes`);
  const [whole, shipped] = [size(own), size(stripped)].map((bytes) => Math.round(bytes / 1e6));
  return `${shipped} MB (${whole} MB with debug information), and ${Math.round(rest / 1e3)} kB besides`;
}

test("the compiler's image can be named by its digest", () => {
  const image = `localhost/compiler@sha256:${"0123456789abcdef".repeat(4)}`;
  const told = images.refusal(image);
  assert(told.includes(`${image}: image not known`), told);
});

test("hadolint has no complaint", () => {
  run(join(TOOLS, "venv/bin/hadolint"), [join(ROOT, "deploy/Dockerfile")]);
});

for (const program of PROGRAMS) {
  test(`${program}: the image holds a program and the authorities, and no shell`, (t) => {
    assert.deepEqual(files[program].sort(), ["etc/ssl/certs/ca-certificates.crt", program].sort());
    for (const file of files[program]) {
      const { uid, mode } = statSync(join(containers[program].root, file));
      assert.deepEqual([uid, mode & 0o6022], [0, 0], `only root may change ${file}, which raises nobody`);
    }
    t.diagnostic(`${program}: ${measure(program)}`);
  });

  test(`${program}: the image says how it is to be run`, () => {
    const { User, Entrypoint, Cmd, ExposedPorts, Env, Labels, StopSignal } = containers[program].config;
    assert.deepEqual([User, Entrypoint, Cmd, StopSignal], [`${NOBODY}:${NOBODY}`, [`/${program}`], ["serve"], "SIGTERM"]);
    const ports = Env.map((variable) => variable.match(/_LISTEN=0\.0\.0\.0:(\d+)$/)?.[1]).filter(Boolean);
    assert.deepEqual(Object.keys(ExposedPorts).sort(), ports.map((port) => `${port}/tcp`).sort());
    assert.equal(Labels["org.opencontainers.image.title"], program);
    for (const label of ["description", "licenses"]) assert(Labels[`org.opencontainers.image.${label}`], label);
  });

  test(`${program}: serves as nobody, on a read-only root, without a capability, and ends on SIGTERM`, LIMITS, async () => {
    await serve(program, async ({ admin }, pid) => {
      assert.equal((await fetch(`http://${admin}/readyz`)).status, 200);
      assertConfined(pid);
    });
  });

  test(`${program}: there is nothing else to start`, LIMITS, async () => {
    const container = containers[program];
    const child = startContainer({ ...container, config: { ...container.config, Entrypoint: ["/bin/sh"] } }, ["-c", "true"], {});
    assert.match(await text(child.stderr), /execve '\/bin\/sh' failed/);
  });
}

test("signal-node: finds names in /etc/hosts and in DNS", LIMITS, async () => {
  await serve("signal-node", async ({ public: address }) => {
    const port = address.split(":")[1];
    const visit = async (/** @type {string} */ host) => JSON.parse(await text(start("signal-node", ["doctor", "--json", "--url", `ws://${host}:${port}`]).stdout));
    for (const host of [IN_FILE, IN_DNS]) {
      const { checks } = await visit(host);
      assert.equal(checks.find((/** @type {any} */ { check }) => check === "echo")?.verdict, "ok", host);
    }
    assert.equal((await visit("nowhere.test")).verdict, "fail");
    assertAsked();
  });
});

test("turn-cred-service: finds names in /etc/hosts and in DNS", LIMITS, async () => {
  // Nothing listens there, which takes no time to find out by TCP.
  const uris = [IN_FILE, IN_DNS, "nowhere.test"].map((host) => `turn:${host}:1?transport=tcp`);
  const { relays } = JSON.parse(await text(start("turn-cred-service", ["doctor", "--json"], { TURN_CRED_URIS: uris.join(",") }).stdout));
  const found = relays.map(({ checks }) => checks.find((/** @type {any} */ { check }) => check === "name").verdict);
  assert.deepEqual(found, ["ok", "ok", "fail"]);
  assertAsked();
});

/** One name can only have come from DNS, and the other one cannot. */
function assertAsked() {
  assert(names.asked.has(IN_DNS) && !names.asked.has(IN_FILE));
  names.asked.clear();
}
