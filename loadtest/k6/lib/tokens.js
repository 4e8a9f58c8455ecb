import crypto from "k6/crypto";
import encoding from "k6/encoding";
import { JWT_SECRET } from "./settings.js";

/** Tokens as nodes verify them: JWT with HS256 (RFC 7519, RFC 7518 section 3.2). */

/** @param {{sub: string, room?: string, rooms?: string[], can?: string[], ttl?: number, secret?: string}} claims `ttl` in seconds, below zero for one that has ended */
export function mintToken({ sub, room, rooms, can, ttl = 24 * 3600, secret = JWT_SECRET }) {
  if (!secret) throw new Error("no key to sign tokens with: set JWT_SECRET_FILE to the file that the nodes read");
  const exp = Math.floor(Date.now() / 1000) + ttl;
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub, room, rooms, can, exp })}`;
  return `${signed}.${crypto.hmac("sha256", secret, signed, "base64rawurl")}`;
}

/** A member's secret: 128 random bits in base64url. */
export function newKey() {
  return encoding.b64encode(crypto.randomBytes(16), "rawurl");
}

function encode(part) {
  return encoding.b64encode(JSON.stringify(part), "rawurl");
}
