import assert from "node:assert/strict";
import { makePair } from "./in-page.js";
import { openBrowser } from "./browser.js";
import { serveSdk } from "./static.js";

/**
 * Starts a browser for tests of two peers in one page.
 *
 * `run` calls `scenario` in a fresh page with the pair; it is passed as text, so it sees nothing of the test around it.
 * Whatever either peer reports as an error fails the test.
 */
export async function openPairs() {
  const site = await serveSdk();
  const browser = await openBrowser();

  /**
   * @param {(pair: any) => Promise<object>} scenario
   * @param {{stream?: boolean}} [options]
   */
  async function run(scenario, options = {}) {
    const page = await browser.context.newPage();
    await page.goto(site.origin);
    await page.evaluate(`window.makePair = ${makePair}`);
    const result = await page.evaluate(`(async () => {
      const pair = await makePair(${JSON.stringify(options)});
      const result = await (${scenario})(pair);
      return { ...result, errors: pair.errors, descriptions: pair.descriptions };
    })()`);
    await page.close();
    assert.deepEqual(result.errors, []);
    return result;
  }

  async function close() {
    await browser.close();
    site.close();
  }

  return { run, close };
}
