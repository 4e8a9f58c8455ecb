import { MACHINE_LINE, OUT_FOLDER, PROFILE_NAME } from "./settings.js";
import { factsOf, page, text } from "./report.js";

/**
 * Makes the `handleSummary` of a script: a text for the terminal, and a page and the facts as files.
 * @param {string} question
 * @param {string} title the question in words
 */
export function summarize(question, title) {
  return (data) => {
    const facts = factsOf(data, { question, title, profile: PROFILE_NAME, machine: MACHINE_LINE });
    if (!OUT_FOLDER) return { stdout: text(facts) };
    return {
      stdout: text(facts),
      [`${OUT_FOLDER}/${question}.html`]: page(facts),
      [`${OUT_FOLDER}/${question}.json`]: `${JSON.stringify(facts, null, 2)}\n`,
    };
  };
}
