import { describe, test } from "node:test";
import { join } from "node:path";
import { withGroup } from "../local/processes.js";
import { CAN_ISOLATE, runIsolated } from "./isolated.js";
import { ROOT } from "./settings.js";

/** The balancers of docs/run/balancers.md, with real nodes behind them, at the addresses and names of the page. */

const skip = CAN_ISOLATE ? false : "this system allows no network of one's own (unshare --net)";

describe("docs/run/balancers.md", { concurrency: 3, skip }, () => {
  for (const name of ["haproxy", "nginx", "caddy"]) {
    test(`${name} brings clients to nodes, below a path too, with their addresses, and while a node drains`, { timeout: 60_000 }, ({ signal }) =>
      withGroup(async (group) => {
        const hosts = group.write("hosts", "127.0.0.1 localhost\n10.0.0.10 signal.example.org app.example.org\n");
        await runIsolated([process.execPath, join(ROOT, "deploy/test/recipes/balancer.js"), name], { signal, network: "10.0.0.10/24", hosts });
      }));
  }
});
