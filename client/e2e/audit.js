import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

/** Looks at pages with axe-core. */

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Returns what axe finds in the page as it is, one line each. */
export async function findings(page) {
  await page.evaluate(AXE); // by the debugger: the page itself lets no foreign script in
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
}

/** Looks at a state in light and dark colours, wide and narrow. */
export async function audit(page, state) {
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const width of [1280, 320]) {
      await page.setViewportSize({ width, height: 720 });
      found.push(...(await findings(page)).map((line) => `${state}, ${colorScheme}, ${width} px: ${line}`));
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (beyond > 0) found.push(`${state}, ${width} px: ${beyond} px too wide`);
    }
  }
  return found;
}
