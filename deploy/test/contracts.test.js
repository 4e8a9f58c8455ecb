import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { join } from "node:path";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { withGroup } from "../local/processes.js";
import { LOOPBACK } from "../local/ports.js";
import { findPrograms } from "../local/tools.js";
import { mintToken } from "../local/tokens.js";
import { startService } from "../local/services.js";
import { ROOT, TOOLS, run } from "./settings.js";

/** The descriptions of the interfaces: linted, true to the golden frames, and thrown at a node. */

const KEY = "0123456789abcdef0123456789abcdef";
const WIRE = join(ROOT, "crates/signal-protocol/wire");

for (const file of ["docs/asyncapi/signal.v1.yaml", "docs/openapi/signal-node.json", "docs/openapi/turn-cred-service.json"]) {
  test(`${file} is linted without a complaint`, () => {
    run(join(TOOLS, "node_modules/.bin/spectral"), ["lint", "--fail-severity=warn", "--ruleset", join(ROOT, "deploy/test/spectral.yaml"), join(ROOT, file)]);
  });
}

test("every golden frame is of a described kind, and every error code is described", () => {
  const count = run(join(TOOLS, "venv/bin/python"), [join(ROOT, "deploy/test/frames.py")]);
  assert.equal(Number(count), readdirSync(WIRE).filter((name) => /^(client|server)\./.test(name)).length);
  const { errors } = JSON.parse(readFileSync(join(WIRE, "codes.json"), "utf8"));
  const codes = errors.map((/** @type {{code: string}} */ { code }) => code).sort();
  const described = readFileSync(join(ROOT, "docs/asyncapi/signal.v1.yaml"), "utf8").match(/enum: \[(already_joined.*)\]/)?.[1].split(", ");
  assert.deepEqual(described, codes);
});

test("whatever is asked of the REST interface, a node answers as described", { timeout: 120_000 }, () =>
  withGroup(async (group) => {
    const { node, credentials } = findPrograms(process.env.TARGET_DIR ?? join(ROOT, "target/debug"));
    const socket = `unix:${join(group.dir, "ice.sock")}`;
    const service = { TURN_CRED_LISTEN: `${LOOPBACK}:0`, TURN_CRED_ADMIN_LISTEN: `${LOOPBACK}:0`, TURN_CRED_INTERNAL_LISTEN: socket, TURN_CRED_SECRET: KEY, TURN_CRED_URIS: "turn:relay.example.org" };
    await startService(group, { name: "credentials", program: credentials, env: service });
    const env = { SIGNAL_NODE_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_ADMIN_LISTEN: `${LOOPBACK}:0`, SIGNAL_NODE_JWT_SECRET: KEY, SIGNAL_NODE_CREDENTIALS_URL: socket };
    const { child, ready } = await startService(group, { name: "node", program: node, env });
    const token = mintToken(KEY, { sub: "backend", room: "*", can: ["admin"] });
    const url = `http://${ready.public}/v1/openapi.json`;
    const checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    const args = ["run", url, "--checks", checks, "--max-examples", "40", "--seed", "1", "--no-color", "-H", `Authorization: Bearer ${token}`];
    await promisify(execFile)(join(ROOT, "target/schemathesis/bin/schemathesis"), args, { cwd: group.dir, maxBuffer: 64 << 20 });
    assert(child.alive);
  }));
