import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT, checkConfig, inFolder, run } from "./settings.js";

/** The units of systemd: it takes them, they are as closed as can be, and their settings are such. */

const FOLDER = join(ROOT, "deploy/systemd");

/** How exposed a unit may be, of 100. */
const EXPOSED_AT_MOST = "15";

for (const program of ["signal-node", "turn-cred-service"]) {
  const unit = readFileSync(join(FOLDER, `${program}.service`), "utf8");

  test(`systemd takes ${program}.service`, () => {
    inFolder((folder) => {
      // The program has to be there for the check.
      writeFileSync(join(folder, `${program}.service`), unit.replace(/^ExecStart=\S+/m, "ExecStart=/bin/true").replace(/ turn-cred-service\.service$/gm, ""));
      run("systemd-analyze", ["verify", join(folder, `${program}.service`)]);
    });
  });

  test(`${program}.service is exposed to little`, () => {
    run("systemd-analyze", ["security", "--offline=true", `--threshold=${EXPOSED_AT_MOST}`, join(FOLDER, `${program}.service`)]);
  });

  test(`the settings of ${program}.service are such`, () => {
    const lines = readFileSync(join(FOLDER, `${program}.env`), "utf8").split("\n");
    const own = [...unit.matchAll(/^Environment=(.+)$/gm)].map(([, line]) => line.replace("%d", "/run/credentials").replace("%t", "/run"));
    const variables = [...lines.filter((line) => /^[A-Z]/.test(line)), ...own].map((line) => /** @type {[string, string]} */ (line.split(/=(.*)/).slice(0, 2)));
    checkConfig(program, Object.fromEntries(variables));
  });
}

for (const program of ["signal-node", "turn-cred-service"]) {
  test(`${program}.service is started again for as long as Redis is unavailable`, () => {
    const unit = readFileSync(join(FOLDER, `${program}.service`), "utf8");
    const [head, service] = unit.split("[Service]");
    assert.match(head, /^\[Unit\]$[\s\S]*^StartLimitIntervalSec=0$/m);
    assert.match(service, /^Restart=on-failure$[\s\S]*^RestartSec=1$/m);
    assert.match(service, /^RestartPreventExitStatus=64$/m);
  });
}

test("systemd waits for longer than the drain takes", () => {
  const seconds = (/** @type {string} */ file, /** @type {RegExp} */ pattern) => Number(readFileSync(join(FOLDER, file), "utf8").match(pattern)?.[1]);
  assert(seconds("signal-node.service", /^TimeoutStopSec=(\d+)$/m) >= seconds("signal-node.env", /DRAIN_DEADLINE=(\d+)s/) + 15);
});
