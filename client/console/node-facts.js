/**
 * What the metrics of a node say of it, for people: its log, its relays, its calls.
 * @param {string} text of `/metrics`
 * @returns {[string, string][]}
 */
export function nodeFacts(text) {
  const samples = text.split("\n").filter((line) => line && !line.startsWith("#")).map((line) => /** @type {[string, number]} */ ([line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
  const sum = (/** @type {string} */ name, label = "") => samples.filter(([series]) => (series === name || series.startsWith(`${name}{`)) && series.includes(label)).reduce((total, [, value]) => total + value, 0);
  const calls = ["connected", "failed", "lost", "abandoned"].map((outcome) => `${sum("signal_calls_total", `outcome="${outcome}"`)} ${outcome}`);
  const relayed = ["relay_udp", "relay_tcp", "relay_tls"].reduce((total, path) => total + samples.filter(([series]) => series.startsWith("signal_calls_total{") && series.includes('outcome="connected"') && series.includes(`path="${path}"`)).reduce((all, [, value]) => all + value, 0), 0);
  const [setups, seconds] = [sum("signal_call_setup_seconds_count"), sum("signal_call_setup_seconds_sum")];
  return [
    ["Room log", sum("signal_log_up") === 1 ? "answers" : "in trouble"],
    ["Credential service", sum("signal_credentials_failing") === 1 ? "gives no good answer" : "no fault known"],
    ["Errors of relays", String(sum("signal_relay_errors_total"))],
    ["Sides of calls", calls.join(", ")],
    ["Connected over a relay", String(relayed)],
    ["Mean time to connect", setups === 0 ? "no call yet" : `${(seconds / setups).toFixed(2)} s`],
  ];
}
