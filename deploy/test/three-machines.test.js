import { join } from "node:path";
import { test } from "node:test";
import { withGroup } from "../local/processes.js";
import { CAN_ISOLATE, runIsolated } from "./isolated.js";
import { ROOT } from "./settings.js";

/** docs/run/three-machines.md, with its commands, files, addresses and names. */

test("three machines serve rooms with relays, and go on without one of them", { timeout: 60_000, skip: CAN_ISOLATE ? false : "this system allows no network of one's own (unshare --net)" }, ({ signal }) =>
  withGroup(async (group) => {
    const hosts = group.write("hosts", "127.0.0.1 localhost\n10.0.0.10 signal.example.org app.example.org relay.example.org\n");
    await runIsolated([process.execPath, join(ROOT, "deploy/test/recipes/three-machines.js")], { signal, network: "10.0.0.10/24", hosts });
  }));
