import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { tmpdir } from "node:os";
import { findOnPath } from "../../deploy/local/tools.js";

/** Starts the system's Chromium the way WebRTC tests need it: fake devices, loopback candidates, fresh profile. */

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  // Without this flag a machine that has only a loopback interface gathers no candidates at all.
  "--allow-loopback-in-peer-connection",
  "--autoplay-policy=no-user-gesture-required",
];

/** Finds Chromium: `CHROMIUM`, else the first known name on the PATH; null if there is none. */
function findChromium() {
  return process.env.CHROMIUM || (NAMES.map(findOnPath).find((path) => path !== null) ?? null);
}

/**
 * Starts one browser with a profile of its own; two calls give two independent browsers.
 * @param {{args?: string[], context?: import("playwright-core").BrowserContextOptions, permissions?: string[]}} [options]
 * @returns {Promise<{context: import("playwright-core").BrowserContext, close: () => Promise<void>}>}
 */
export async function openBrowser({ args = [], context: contextOptions = {} } = {}) {
  const executablePath = findChromium();
  if (!executablePath) throw new Error("no Chromium found: sudo apt-get install chromium, or set CHROMIUM to the path of one");
  const profile = mkdtempSync(join(tmpdir(), "signal-e2e-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    args: [...FLAGS, ...args],
    ...contextOptions,
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { context, close };
}
