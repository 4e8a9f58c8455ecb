import { parseKeys } from "../../../deploy/local/keys.js";

/** What a run is told from outside, as environment variables: `run.js` sets them, and so may you with `k6 run -e`. */

const { URL: url = "ws://127.0.0.1:8080/v1/ws", PROFILE = "smoke", OUT = "", MACHINE = "" } = __ENV;

/** The address of the WebSocket. */
export const URL = url;

/** Which sizes are used: `smoke`, `small` or `full`. */
export const PROFILE_NAME = PROFILE;

/** The key that tokens are signed with: the first key of the file that a node reads it from. */
export const JWT_SECRET = __ENV.JWT_SECRET_FILE ? parseKeys(open(__ENV.JWT_SECRET_FILE))[0] : __ENV.JWT_SECRET;

/** Where `ice` asks, such as `http://127.0.0.1:8090`. */
export const CREDENTIALS = __ENV.CREDENTIALS;

/** The secret shared with the relays, by which `ice` checks what it gets; without it only the form is checked. */
export const TURN_SECRET = __ENV.TURN_SECRET_FILE ? parseKeys(open(__ENV.TURN_SECRET_FILE))[0] : null;

/** Where `run.js` waits to be told that everybody is in, so that it can break something; or nothing. */
export const CONDUCTOR = __ENV.CONDUCTOR;

/** The folder for reports; nothing is written without. */
export const OUT_FOLDER = OUT;

/** What the figures were measured on, in one line. */
export const MACHINE_LINE = MACHINE;

/** Part of every room's name, so that two runs against one cluster never meet. */
export const RUN = __ENV.RUN ?? String(Date.now());

/** How long what is under way may take before it counts as lost (ms); a resume with backoff fits into it. */
export const PATIENCE = Number(__ENV.PATIENCE ?? 20) * 1000;

/** How long to hold, in place of what the profile says (s); or nothing. */
export const HOLD = __ENV.HOLD ? Number(__ENV.HOLD) : undefined;
