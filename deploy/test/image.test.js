import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { tmpdir } from "node:os";
import { ROOT, TOOLS, run } from "./settings.js";

/**
 * The images, built for real from where the Dockerfile begins to describe what is shipped, over static programs of this
 * machine. The stage before it fetches a compiler's image, which this test does not.
 */

const DOCKERFILE = readFileSync(join(ROOT, "deploy/Dockerfile"), "utf8");
const SHIPPED = DOCKERFILE.slice(DOCKERFILE.indexOf("# --- What is shipped"));
const AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt";
const NOBODY = 65532;

/** Static programs, in the folder in which the first stage of the Dockerfile leaves them. @param {string} out */
function buildPrograms(out) {
  const host = run("rustc", ["-vV"]).match(/^host: (.+)$/m)?.[1] ?? "";
  const target = join(ROOT, "target/image");
  const env = { ...process.env, RUSTFLAGS: "-C target-feature=+crt-static" };
  run("cargo", ["build", "--locked", "--target", host, "--target-dir", target, "-p", "signal-node", "-p", "turn-cred-service"], { env, cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  mkdirSync(out, { recursive: true });
  for (const program of ["signal-node", "turn-cred-service"]) copyFileSync(join(target, host, "debug", program), join(out, program));
  copyFileSync(AUTHORITIES, join(out, "ca-certificates.crt"));
}

/** Processes below this one. @param {number} pid @returns {number[]} */
function below(pid) {
  const children = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && parentOf(name) === pid).map(Number);
  return children.flatMap((child) => [child, ...below(child)]);
}

/** @param {string} pid */
function parentOf(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ")[1]);
  } catch {
    return 0; // It has ended meanwhile.
  }
}

test("hadolint has no complaint", () => {
  run(join(TOOLS, "venv/bin/hadolint"), [join(ROOT, "deploy/Dockerfile")]);
});

test("the images hold a static program and the authorities, run as nobody, and end on SIGTERM", { timeout: 1_200_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "image-"));
  const buildah = (/** @type {string[]} */ ...args) => ["--root", join(folder, "root"), "--runroot", join(folder, "run"), "--storage-driver", "vfs", ...args];
  try {
    buildPrograms(join(folder, "context/out"));
    writeFileSync(join(folder, "Dockerfile"), `FROM scratch AS build\nCOPY out/ /out/\n\n${SHIPPED}`);
    for (const program of ["signal-node", "turn-cred-service"]) {
      run("buildah", buildah("bud", "--isolation", "chroot", "-f", join(folder, "Dockerfile"), "--target", program, "-t", program, join(folder, "context")));
      const container = run("buildah", buildah("from", program)).trim();
      const root = run("buildah", buildah("mount", container)).trim();
      const files = readdirSync(root, { recursive: true }).map(String).filter((name) => statSync(join(root, name)).isFile());
      assert.deepEqual(files.sort(), ["etc/ssl/certs/ca-certificates.crt", program].sort());
      t.diagnostic(`${program}: ${Math.round(statSync(join(root, program)).size / 1e6)} MB with debug information`);
      await serve(buildah, container, program);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Starts a container, asks whether it is ready, and has it end. @param {(...args: string[]) => string[]} buildah @param {string} container @param {string} program */
async function serve(buildah, container, program) {
  const prefix = { "signal-node": "SIGNAL_NODE", "turn-cred-service": "TURN_CRED" }[program] ?? "";
  const env = [`${prefix}_LISTEN=127.0.0.1:0`, `${prefix}_ADMIN_LISTEN=127.0.0.1:0`];
  if (program === "turn-cred-service") {
    const key = "0123456789abcdef0123456789abcdef";
    env.push(`TURN_CRED_SECRET=${key}`, `TURN_CRED_JWT_SECRET=${key}`, "TURN_CRED_URIS=turn:localhost:3478", "TURN_CRED_PROBE_EVERY=0s");
  }
  const child = spawn("buildah", buildah("run", "--isolation", "chroot", ...env.flatMap((word) => ["--env", word]), container, "--", `/${program}`, "serve"), { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = await once(createInterface(child.stdout), "line");
    const { admin } = JSON.parse(line);
    assert.equal((await fetch(`http://${admin}/readyz`)).status, 200);
    const own = below(child.pid ?? 0).find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(`/${program}\0`)) ?? 0;
    assert.match(readFileSync(`/proc/${own}/status`, "utf8"), new RegExp(`^Uid:\t${NOBODY}\t`, "m"));
    process.kill(own, "SIGTERM");
    const [code] = await once(child, "exit");
    assert.equal(code, 0);
  } finally {
    child.kill("SIGKILL");
  }
}
