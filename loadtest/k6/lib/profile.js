import { thresholdsOf } from "../thresholds.js";
import { HOLD, PROFILE_NAME } from "./settings.js";

/**
 * How large each question is asked. `vus` virtual users hold `rooms` rooms of `size` members each; many rooms share
 * one user, since a user costs k6 more memory than a socket. `ramp` and `hold` are in seconds, `every` (ms) is the
 * pause between two signals of one member.
 */
const PROFILES = {
  smoke: {
    "calls": { vus: 2, rooms: 2, size: 2, ramp: 1, hold: 1, candidates: 20, rounds: 1 },
    "conference": { vus: 1, rooms: 1, size: 8, ramp: 0, hold: 1, candidates: 20, every: 200 },
    "connect-ramp": { vus: 2, rooms: 20, size: 2, ramp: 2, hold: 0 },
    "churn": { vus: 2, rooms: 2, size: 2, ramp: 1, hold: 3, every: 200, guests: 2 },
    "reconnect-storm": { vus: 2, rooms: 5, size: 2, ramp: 1, hold: 2, every: 250 },
    "rolling-restart": { vus: 2, rooms: 5, size: 2, ramp: 1, hold: 2, every: 250 },
    "ice": { vus: 2, rate: 20, hold: 2 },
    "abuse": { vus: 1, rooms: 4, size: 2, ramp: 0, hold: 2, every: 200 },
    "attack": { vus: 2, rooms: 4, size: 2, ramp: 0, hold: 4, every: 200, comers: 4, rosters: 10 },
    "soak": { vus: 1, rooms: 5, size: 2, ramp: 1, hold: 4, every: 500, guests: 1 },
  },
  small: {
    "calls": { vus: 10, rooms: 5, size: 2, ramp: 10, hold: 5, candidates: 20, rounds: 2 },
    "conference": { vus: 5, rooms: 1, size: 8, ramp: 5, hold: 10, candidates: 20, every: 1000 },
    "connect-ramp": { vus: 10, rooms: 50, size: 2, ramp: 20, hold: 5 },
    "churn": { vus: 10, rooms: 3, size: 2, ramp: 5, hold: 20, every: 1000, guests: 2 },
    "reconnect-storm": { vus: 10, rooms: 10, size: 2, ramp: 5, hold: 5, every: 1000 },
    "rolling-restart": { vus: 10, rooms: 10, size: 2, ramp: 5, hold: 5, every: 1000 },
    "ice": { vus: 10, rate: 50, hold: 15 },
    "abuse": { vus: 2, rooms: 15, size: 2, ramp: 1, hold: 5, every: 1000 },
    "attack": { vus: 2, rooms: 10, size: 2, ramp: 1, hold: 20, every: 1000, comers: 5, rosters: 30 },
    "soak": { vus: 5, rooms: 10, size: 2, ramp: 5, hold: 45, every: 1000, guests: 1 },
  },
  full: {
    "calls": { vus: 50, rooms: 10, size: 2, ramp: 60, hold: 30, candidates: 20, rounds: 5 },
    "conference": { vus: 50, rooms: 1, size: 8, ramp: 60, hold: 120, candidates: 20, every: 2000 },
    "connect-ramp": { vus: 80, rooms: 50, size: 2, ramp: 120, hold: 60 },
    "churn": { vus: 50, rooms: 5, size: 2, ramp: 30, hold: 300, every: 2000, guests: 4 },
    "reconnect-storm": { vus: 50, rooms: 20, size: 2, ramp: 30, hold: 30, every: 2000 },
    "rolling-restart": { vus: 50, rooms: 20, size: 2, ramp: 30, hold: 30, every: 2000 },
    "ice": { vus: 50, rate: 500, hold: 120 },
    "abuse": { vus: 10, rooms: 25, size: 2, ramp: 10, hold: 30, every: 1000 },
    "attack": { vus: 2, rooms: 40, size: 2, ramp: 5, hold: 60, every: 1000, comers: 8, rosters: 50 },
    "soak": { vus: 50, rooms: 20, size: 2, ramp: 60, hold: 4 * 3600, every: 5000, guests: 1 },
  },
};

/** Time for what comes after the hold: faults, the last signals, leaving (s). */
const REST = 330;

/** The sizes of one question in the profile that was asked for. @param {string} question */
export function sizesOf(question) {
  const profile = PROFILES[PROFILE_NAME];
  if (!profile) throw new Error(`there is no profile ${PROFILE_NAME}; there are: ${Object.keys(PROFILES).join(", ")}`);
  return HOLD === undefined ? profile[question] : { ...profile[question], hold: HOLD };
}

/**
 * The options of a script in which each virtual user runs once. Not `ramping-vus`: it cuts off whoever is still
 * in a call when its last stage ends, and that would count as loss.
 * @param {string} question
 */
export function optionsOf(question) {
  const sizes = sizesOf(question);
  return {
    scenarios: { [question]: { executor: "per-vu-iterations", vus: sizes.vus, iterations: 1, maxDuration: `${sizes.ramp + sizes.hold + REST}s` } },
    thresholds: thresholdsOf(question, PROFILE_NAME, sizes),
    summaryTrendStats: ["count", "med", "p(95)", "p(99)", "max"],
  };
}
