import { existsSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/**
 * The cluster that scenarios run in: three machines in namespaces of this one, or the cluster of the user's KUBECONFIG, of
 * which no machine loses its power and no process is killed.
 */

const exec = promisify(execFile);
const HERE = fileURLToPath(new URL(".", import.meta.url));
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const FOLDER = process.env.KUBERNETES_DIR ?? join(ROOT, "target/kubernetes");
const KUBECTL = process.env.KUBECONFIG ? "kubectl" : join(FOLDER, "bin/kubectl");
const HELM = process.env.HELM ?? join(ROOT, "target/ops/bin/helm");

/** How long one command may take (ms). */
const COMMAND_LIMIT = 600_000;

/** Runs a script of this folder and shows what it prints. @param {string} name @param {string[]} args */
export function script(name, ...args) {
  const { status } = spawnSync(join(HERE, name), args, { stdio: "inherit", env: { ...process.env, KUBERNETES_DIR: FOLDER } });
  if (status !== 0) throw new Error(`${name} ${args.join(" ")} failed`);
}

export class Cluster {
  /** Whether machines are this project's own. */
  own = !process.env.KUBECONFIG;

  /** What is put before a command: machine 1 has a network of its own. @type {string[]} */
  get inside() {
    if (!this.own) return [];
    const pid = readFileSync(join(FOLDER, "run/node1/pid"), "utf8").split(" ")[0];
    return ["nsenter", "--target", pid, "--net", "--"];
  }

  get env() {
    const config = this.own ? join(FOLDER, "run/admin.kubeconfig") : process.env.KUBECONFIG;
    return { ...process.env, KUBECONFIG: config };
  }

  /** Runs a command that reaches the cluster, and returns what it prints. @param {string[]} command @param {string} [input] */
  async run(command, input) {
    const [program, ...args] = [...this.inside, ...command];
    const running = exec(program, args, { env: this.env, timeout: COMMAND_LIMIT, maxBuffer: 64 << 20 });
    if (input !== undefined) running.child.stdin?.end(input);
    return (await running).stdout;
  }

  /** @param {string[]} args */
  kubectl(...args) {
    return this.run([KUBECTL, ...args]);
  }

  /** @param {string} input of kubectl @param {string[]} args */
  kubectlWith(input, ...args) {
    return this.run([KUBECTL, ...args], input);
  }

  /** Applies an object, or several. @param {object[]} objects */
  apply(...objects) {
    return this.kubectlWith(JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }), "apply", "--filename", "-");
  }

  /** @param {string[]} args @returns {Promise<any>} */
  async json(...args) {
    return JSON.parse(await this.kubectl("get", "--output", "json", ...args));
  }

  /** @param {string[]} args */
  helm(...args) {
    return this.run([existsSync(HELM) ? HELM : "helm", ...args]);
  }

  /** The names of the machines. @returns {Promise<string[]>} */
  async machines() {
    const { items } = await this.json("nodes");
    return items.map((/** @type {any} */ { metadata }) => metadata.name);
  }

  /** Power and cable of a machine: on, off, unplug, plug. @param {string} action @param {string} machine */
  power(action, machine) {
    script("power.sh", action, machine.replace("node", ""));
  }

  /** Kills the processes of a pod that run this program. @param {string} uid of the pod @param {string} program */
  kill(uid, program) {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      if (runs(pid, program) && read(`/proc/${pid}/cgroup`).includes(uid)) process.kill(Number(pid), "SIGKILL");
    }
  }
}

/** @param {string} pid @param {string} program */
function runs(pid, program) {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`)) === program;
  } catch {
    return false; // It has ended meanwhile, or belongs to the kernel.
  }
}

/** @param {string} path */
function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
