/**
 * What must be true of a run, for every question: the only place that says so. A threshold that is missed fails the
 * run. Latencies depend on the machine, and on what else it does, so each profile has its own; counts do not.
 */

/** p95 in milliseconds. `smoke` runs beside compilers: it asks whether anything hangs, not how fast it is. */
const LATENCY = {
  smoke: { connect: 5000, join: 5000, deliver: 5000, callSetup: 10_000, resume: 15_000, ice: 5000 },
  small: { connect: 500, join: 500, deliver: 250, callSetup: 1500, resume: 5000, ice: 250 },
  full: { connect: 500, join: 500, deliver: 250, callSetup: 1500, resume: 5000, ice: 250 },
};

/** Every member stayed to the end, something was delivered, and nothing was lost, doubled or reordered. */
function everythingArrives({ vus, rooms, size, rounds = 1 }) {
  return {
    sig_sessions: [`count==${vus * rooms * size * rounds}`],
    sig_delivered: ["count>0"],
    sig_lost: ["count==0"],
    sig_dup: ["count==0"],
    sig_reorder: ["count==0"],
    sig_resets: ["count==0"],
    sig_errors: ["count==0"],
    sig_forgotten: ["count==0"],
    // k6 drops one `welcome` in some thousands by itself; a quarter, and nodes do not say it.
    sig_unheard: ["rate<0.25"],
  };
}

/** Nobody's socket ended, and nobody was turned away. */
const NOBODY_CLOSED = { sig_closed: ["count==0"], sig_refused: ["count==0"], sig_away: ["count==0"] };

/**
 * What the p99 of getting in counts as at least while it is quiet (ms): below it, what else the machine does decides. With
 * it, good clients take no longer than this times two.
 */
export const FLOOR = { smoke: 4000, small: 50, full: 50 };

/** How many cases lib/cases.js has; all of them are tried. */
const CASES = 12;

/** How many of them attack.js has. */
const ATTACK_CASES = 6;

/** @param {Record<string, number>} latency */
function fast({ connect, join, deliver }) {
  return { sig_connect: [`p(95)<${connect}`], sig_join: [`p(95)<${join}`], sig_deliver: [`p(95)<${deliver}`] };
}

/** Where people come back: what was said to somebody meanwhile cannot arrive sooner. @param {Record<string, number>} latency */
function back({ deliver, resume }) {
  return { sig_resume: [`p(95)<${resume}`], sig_deliver: [`p(95)<${Math.max(deliver, resume)}`] };
}

/** What is asked of one question beside what is asked of all. */
const OF_ITS_OWN = {
  "calls": ({ vus, rooms, rounds, candidates }, { callSetup }) => ({
    ...NOBODY_CLOSED,
    sig_delivered: [`count==${vus * rooms * rounds * 2 * (candidates + 1)}`],
    sig_call_setup: [`p(95)<${callSetup}`],
  }),
  "conference": ({ vus, rooms, size, candidates }, { callSetup }) => ({
    ...NOBODY_CLOSED,
    // Each ordered pair: a description and the candidates; then what is said to all, at least once.
    sig_delivered: [`count>=${vus * rooms * size * (size - 1) * (candidates + 2)}`],
    sig_call_setup: [`p(95)<${callSetup}`],
  }),
  "connect-ramp": ({ vus, rooms, size }) => ({ ...NOBODY_CLOSED, sig_delivered: [`count==${vus * rooms * size * (size - 1)}`] }),
  "churn": ({ vus, rooms, guests }) => ({ ...NOBODY_CLOSED, sig_visits: [`count>=${vus * rooms * guests}`], sig_checks: ["rate==1"], sig_checked: [`count==${vus * rooms}`] }),
  "reconnect-storm": ({ vus, rooms, size }, latency) => ({ sig_resumed: [`count>=${vus * rooms * size}`], ...back(latency) }),
  // Everybody moves at least once, since every node goes, and nobody looks away for it.
  "rolling-restart": ({ vus, rooms, size }) => ({ ...NOBODY_CLOSED, sig_refused: [], sig_resumed: [`count>=${vus * rooms * size}`] }),
  "abuse": () => ({ ...NOBODY_CLOSED, sig_checks: ["rate==1"], sig_checked: [`count==${CASES}`] }),
  // One virtual user is bad. Its check that strangers are refused is made where there are some.
  "attack": ({ rooms, size }) => ({
    ...NOBODY_CLOSED,
    sig_refused: [],
    sig_sessions: [`count==${rooms * size}`],
    sig_join_ok: ["rate>=0.99"],
    sig_slowdown: ["value<=2"],
    sig_growth: ["value<=1.5"],
    sig_checks: ["rate==1"],
    sig_checked: [`count>=${ATTACK_CASES}`],
  }),
  "soak": ({ vus, rooms }, latency) => ({ sig_closed: ["count==0"], sig_resumed: [`count>=${vus * rooms}`], ...back(latency) }),
};

/** Nobody joins a room there. */
function ice({ rate, hold }, latency) {
  return {
    sig_ice_servers: [`count>=${Math.floor(rate * hold * 0.8)}`],
    sig_ice_ok: ["rate==1"],
    sig_ice: [`p(95)<${latency.ice}`],
    sig_checks: ["rate==1"],
    sig_checked: ["count>0"],
  };
}

/**
 * The thresholds of one question, as k6 wants them.
 * @param {string} question
 * @param {string} profile
 * @param {Record<string, number>} sizes
 */
export function thresholdsOf(question, profile, sizes) {
  const latency = LATENCY[profile];
  if (question === "ice") return ice(sizes, latency);
  const all = { ...everythingArrives(sizes), ...fast(latency), ...OF_ITS_OWN[question](sizes, latency) };
  return Object.fromEntries(Object.entries(all).filter(([, expressions]) => expressions.length > 0));
}
