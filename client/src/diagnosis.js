/**
 * Finds out over HTTP why a WebSocket could not be opened. A page sees 1006 whatever the cause, by the WHATWG WebSockets
 * standard; a plain `GET` of the same address tells more, since a node lets pages of any origin read its answer.
 *
 * @typedef {"no_answer" | "not_a_node" | "wrong_path" | "no_upgrade"} Diagnosis
 */

/** How long an answer may take (ms). */
const ANSWER_WITHIN = 5000;

/** What the `type` of every error of a node begins with (RFC 9457). */
const PROBLEM_TYPE = "urn:signal-cluster:problem:";

/**
 * Returns why the WebSocket at `url` could not be opened: nothing answers, something other than a node answers, the node
 * has nothing at this path, or the upgrade was lost on the way. Returns null where that cannot be told.
 * @param {string} url `ws(s)://`
 * @param {typeof globalThis.fetch | null | undefined} fetch
 * @param {import("./clock.js").Clock} clock
 * @returns {Promise<Diagnosis | null>}
 */
export async function diagnose(url, fetch, clock) {
  if (!fetch) return null;
  const address = url.replace(/^ws/, "http");
  const ended = new AbortController();
  const cancel = clock.after(ANSWER_WITHIN, () => ended.abort());
  const options = /** @type {RequestInit} */ ({ cache: "no-store", credentials: "omit", signal: ended.signal });
  try {
    return judge(await fetch(address, options).then(problemOf));
  } catch {
    // Nothing answered, or a page of this origin may not read the answer; `no-cors` tells the two apart.
    return await fetch(address, { ...options, mode: "no-cors" }).then(() => /** @type {const} */ ("not_a_node"), () => "no_answer");
  } finally {
    cancel();
  }
}

/** Reads an error of a node; null if the answer is something else. @param {Response} response */
async function problemOf(response) {
  const problem = await response.json().catch(() => null);
  return String(problem?.type).startsWith(PROBLEM_TYPE) ? problem : null;
}

/** @param {{code: string} | null} problem @returns {Diagnosis | null} */
function judge(problem) {
  if (problem === null) return "not_a_node";
  if (problem.code === "not_found") return "wrong_path";
  return problem.code === "bad_request" ? "no_upgrade" : null;
}
