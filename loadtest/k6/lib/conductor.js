import { CONDUCTOR } from "./settings.js";
import exec from "k6/execution";
import http from "k6/http";
import { sleep } from "./wait.js";

/** The longest that nodes are killed and started for. */
const ACT_WITHIN = "300s";

/**
 * Tells `run.js` that this virtual user is in, and returns once it has done to the cluster what the question asks
 * for, with what it found. Without it, it just waits; then whoever runs the cluster restarts nodes meanwhile.
 * @param {number} seconds how long to wait without a conductor
 */
export async function act(seconds) {
  if (!CONDUCTOR) return sleep(seconds * 1000).then(() => null);
  const { status, body, error } = await http.asyncRequest("POST", CONDUCTOR, null, { timeout: ACT_WITHIN });
  if (status !== 200) exec.test.abort(`the cluster could not be acted upon: ${body || error}`);
  return body ? JSON.parse(body) : null;
}
