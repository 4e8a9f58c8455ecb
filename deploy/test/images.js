import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { ROOT, run } from "./settings.js";

/**
 * The images, built for real from where the Dockerfile begins to describe what is shipped, over static programs of this
 * machine. The stage before it fetches a compiler's image, which this does not.
 */

export const PROGRAMS = ["signal-node", "turn-cred-service"];
const DOCKERFILE = readFileSync(join(ROOT, "deploy/Dockerfile"), "utf8");
const SHIPPED = DOCKERFILE.slice(DOCKERFILE.indexOf("# --- What is shipped"));
const AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt";

/** Static programs, in the folder in which the first stage of the Dockerfile leaves them. @param {string} out */
function buildPrograms(out) {
  const host = run("rustc", ["-vV"]).match(/^host: (.+)$/m)?.[1] ?? "";
  const target = join(ROOT, "target/image");
  const env = { ...process.env, RUSTFLAGS: "-C target-feature=+crt-static" };
  run("cargo", ["build", "--locked", "--target", host, "--target-dir", target, "-p", "signal-node", "-p", "turn-cred-service"], { env, cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] });
  mkdirSync(out, { recursive: true });
  for (const program of PROGRAMS) copyFileSync(join(target, host, "debug", program), join(out, program));
  copyFileSync(AUTHORITIES, join(out, "ca-certificates.crt"));
}

/** Images in a store of their own, in a folder that is to be removed. */
export class Images {
  folder = mkdtempSync(join(tmpdir(), "image-"));

  /** Builds one image for each program. */
  build() {
    buildPrograms(join(this.folder, "context/out"));
    const file = join(this.folder, "Dockerfile");
    writeFileSync(file, `FROM scratch AS build\nCOPY out/ /out/\n\n${SHIPPED}`);
    for (const program of PROGRAMS) this.#buildah("bud", "--isolation", "chroot", "-f", file, "--target", program, "-t", program, join(this.folder, "context"));
  }

  /** What is said of the first stage where the image that it begins with is not at hand. @param {string} image */
  refusal(image) {
    try {
      this.#buildah("bud", "--pull-never", "--build-arg", `BUILD_IMAGE=${image}`, "--target", "build", "-f", join(ROOT, "deploy/Dockerfile"), this.folder);
      return "";
    } catch (error) {
      return String(error);
    }
  }

  /** What an image says about itself. @param {string} image @returns {import("./engine.js").Config} */
  config(image) {
    return JSON.parse(this.#buildah("inspect", "--type", "image", image)).OCIv1.config;
  }

  /** A folder with the files of an image. @param {string} image */
  mount(image) {
    return this.#buildah("mount", this.#buildah("from", image).trim()).trim();
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** @param {string[]} args */
  #buildah(...args) {
    return run("buildah", ["--root", join(this.folder, "root"), "--runroot", join(this.folder, "run"), "--storage-driver", "vfs", ...args]);
  }
}
