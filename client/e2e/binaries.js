import { fileURLToPath } from "node:url";

/** The folder Cargo builds into: `TARGET_DIR`, else `target/debug` of this repository. */
export const BINARIES = process.env.TARGET_DIR ?? fileURLToPath(new URL("../../target/debug", import.meta.url));
