import * as metrics from "./lib/metrics.js";
import { CREDENTIALS, TURN_SECRET } from "./lib/settings.js";
import { optionsOf, sizesOf } from "./lib/profile.js";
import crypto from "k6/crypto";
import exec from "k6/execution";
import http from "k6/http";
import { mintToken } from "./lib/tokens.js";
import { summarize } from "./lib/summary.js";

export const handleSummary = summarize("ice", "How fast are TURN credentials handed out over REST, is each one right, and is a bad token refused?");

const { vus, rate, hold } = sizesOf("ice");
const { thresholds, summaryTrendStats } = optionsOf("ice");
export const options = {
  // Requests come at their own pace, however long answers take.
  scenarios: { ice: { executor: "constant-arrival-rate", rate, timeUnit: "1s", duration: `${hold}s`, preAllocatedVUs: vus, maxVUs: 4 * vus } },
  thresholds,
  summaryTrendStats,
};

/** One request in so many shows a token that is not signed by us. */
const FORGED_EVERY = 10;

export default function () {
  const turn = exec.scenario.iterationInTest;
  if (turn % FORGED_EVERY === 0) {
    const { status } = ask(mintToken({ sub: "mallory", secret: "a key that no node was given" }));
    metrics.check(status === 401, "a forged token gets no credential: 401");
    return;
  }
  const answer = ask(mintToken({ sub: `ice-${turn}` }));
  metrics.iceTime.add(answer.timings.duration);
  const right = answer.status === 200 && isRight(answer.json());
  metrics.iceOk.add(right);
  if (right) metrics.iceServers.add(1);
}

/** @param {string} token */
function ask(token) {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  return http.post(`${CREDENTIALS}/v1/ice-servers`, "{}", { headers });
}

/** The username names its own end, and the password is its HMAC under the secret shared with the relays. */
function isRight({ iceServers, ttl }) {
  const turn = iceServers.find(({ username }) => username);
  if (!turn || turn.urls.length === 0 || !(ttl > 0)) return false;
  if (Number(turn.username.split(":")[0]) * 1000 <= Date.now()) return false;
  return !TURN_SECRET || turn.credential === crypto.hmac("sha1", TURN_SECRET, turn.username, "base64");
}
