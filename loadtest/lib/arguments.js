import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** The command line of run.js. */

export const QUESTIONS = ["calls", "conference", "connect-ramp", "churn", "reconnect-storm", "rolling-restart", "ice", "abuse", "attack", "soak"];

/** They ask the credential service too. */
const NEED_CREDENTIALS = ["ice", "attack"];

const PROFILES = ["smoke", "small", "full"];

export const HELP = `Asks a signaling cluster questions under load, with k6, and fails if an answer is bad.

Usage: node loadtest/run.js [OPTIONS] [QUESTION …]

Questions (all of them if none is named):
  calls            how long does setting up a call of two take; does each offer, answer, candidate arrive
  conference       do eight in a room reach each other
  connect-ramp     how fast may people come, and is everyone still there at the end
  churn            do those who stay lose anything while others come and go
  reconnect-storm  everyone loses the socket at once, then a node is killed: who is back when, what is lost
  rolling-restart  every node is restarted in turn: is anything lost, does anybody look away
  ice              are TURN credentials right, and how fast do they come
  abuse            does every limit bite, and do good clients beside it lose nothing
  attack           strangers and bad members at once: do good clients get in, as fast as before, and lose nothing
  soak             a long time with lost sockets: is anything lost or closed

Options:
  --profile NAME       smoke (seconds), small (a minute), full (minutes; soak: hours)  [default: smoke]
  --hold SECONDS       how long rooms are held, in place of what the profile says
  --url URL            ask this cluster, such as wss://signal.example/v1/ws, instead of one started for it
  --secret-file FILE   the file with the key of its tokens (SIGNAL_NODE_JWT_SECRET_FILE); needed with --url
  --credentials URL    its credential service, such as https://turn.example; needed with --url for ice and attack
  --nodes N            nodes of the local cluster, 2 to 9  [default: 2]
  --binaries FOLDER    where signal-node and turn-cred-service are  [default: target/debug]
  --verbose            show k6's progress even if this is not a terminal
  --help               this text

The k6 that is used: $K6, else the one on the PATH, else target/k6 (deploy/install-test-tools.sh puts it there).
The exit code is 0 if every threshold was met, 1 if not or if nothing was measured, 64 if the command line is wrong.

Examples:
  make load                                              # builds, then every question, a few seconds each
  make load PROFILE=small QUESTION=calls
  node loadtest/run.js --binaries target/release --profile full connect-ramp
  node loadtest/run.js --url wss://signal.example/v1/ws --secret-file jwt.key --profile small calls conference
`;

const OPTIONS = /** @type {const} */ ({
  "profile": { type: "string", default: "smoke" },
  "hold": { type: "string" },
  "url": { type: "string" },
  "secret-file": { type: "string" },
  "credentials": { type: "string" },
  "nodes": { type: "string", default: "2" },
  "binaries": { type: "string", default: fileURLToPath(new URL("../../target/debug", import.meta.url)) },
  "verbose": { type: "boolean", default: false },
  "help": { type: "boolean", short: "h" },
});

/**
 * @param {string[]} args
 * @returns null: help is wanted
 */
export function readArguments(args) {
  const { values, positionals } = parse(args);
  if (values.help) return null;
  const { profile, url, "secret-file": secretFile, nodes: count, ...rest } = values;
  const nodes = Number(count);
  if (!PROFILES.includes(profile)) throw usage(`--profile ${profile}: there are ${PROFILES.join(", ")}`);
  if (!Number.isInteger(nodes) || nodes < 2 || nodes > 9) throw usage(`--nodes ${count}: write a number from 2 to 9`);
  if (values.hold !== undefined && !/^[1-9]\d*$/.test(values.hold)) throw usage(`--hold ${values.hold}: write a number of seconds, such as 600`);
  const unknown = positionals.filter((name) => !QUESTIONS.includes(name));
  if (unknown.length > 0) throw usage(`no such question: ${unknown.join(", ")}; there are ${QUESTIONS.join(", ")}`);
  if (url && !/^wss?:\/\//.test(url)) throw usage(`--url ${url}: write the address of the WebSocket, such as wss://signal.example/v1/ws`);
  if (url && !secretFile) throw usage("--url needs --secret-file, the key that the nodes verify tokens with");
  const questions = positionals.length > 0 ? positionals : QUESTIONS;
  const needing = questions.filter((name) => NEED_CREDENTIALS.includes(name));
  if (url && needing.length > 0 && !rest.credentials) throw usage(`${needing.join(" and ")} needs --credentials, the address of the credential service; or name other questions`);
  return { ...rest, profile, url, secretFile, nodes, questions };
}

/** @param {string[]} args */
function parse(args) {
  try {
    return parseArgs({ args, allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw usage(error.message);
  }
}

/** @param {string} message */
function usage(message) {
  return Object.assign(new Error(message), { code: "usage" });
}
