import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";

/** An hour: the SDK asks for the next one by itself. */
const LIFE = 3600;

/**
 * Signs a token (RFC 7519, HS256) by which the cluster lets a user into some rooms.
 * @param {string} user whoever your session says it is
 * @param {string[]} rooms names, or patterns such as `team-*`
 */
export function mintToken(user, rooms) {
  const exp = Math.floor(Date.now() / 1000) + LIFE;
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: user, rooms, exp })}`;
  return `${signed}.${createHmac("sha256", key()).update(signed).digest("base64url")}`;
}

/** The first key of the file signs; the cluster knows all of them. */
function key() {
  const lines = readFileSync(process.env.JWT_KEY_FILE, "utf8").split("\n").map((line) => line.trim());
  return lines.find((line) => line !== "" && !line.startsWith("#"));
}

function encode(part) {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}
