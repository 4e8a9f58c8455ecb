import { createHmac } from "node:crypto";

/** Makes the tokens that nodes and credential services check: JWT with HS256 (RFC 7519, RFC 7518 §3.2). */

/**
 * @param {string} secret
 * @param {{sub: string, room: string, can?: string[], watch?: string[], call?: string[], ttl?: number}} claims `ttl` in seconds
 */
export function mintToken(secret, { sub, room, can = ["signal"], watch, call, ttl = 3600 }) {
  const exp = Math.floor(Date.now() / 1000) + ttl;
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub, room, can, watch, call, exp })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** @param {object} part */
function encode(part) {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}
