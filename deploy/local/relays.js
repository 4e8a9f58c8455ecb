import { REALM, startCoturn } from "./coturn.js";
import { startRedis } from "./redis.js";

/**
 * The relays of a cluster, each the only one of its region, and the secrets that they share with the
 * credential services: one for good in a file, or such as the services rotate in a Redis of their own.
 *
 * @typedef {import("./processes.js").Group} Group
 * @typedef {import("./tools.js").Programs} Programs
 * @typedef {{region: string, countries?: string[]}} RelayPlan `countries` as two letters
 *
 * @typedef {object} Relays
 * @property {import("./coturn.js").Turn[]} relays in the order of the plans
 * @property {string} relaysFile where programs of ours read of them
 * @property {Record<string, string>} secrets settings by which they find the secrets
 */

/**
 * @param {Group} group
 * @param {Programs} programs
 * @param {{plans: RelayPlan[], secret: string | null, progress: (line: string) => void}} options `secret` null: in Redis
 * @returns {Promise<Relays>}
 */
export async function startRelays(group, programs, { plans, secret, progress }) {
  const { admission, secrets } = secret === null ? await secretsInRedis(group, programs) : secretInFile(group, secret);
  const relays = [];
  for (const { region } of plans) {
    const relay = await startCoturn(group, programs.coturn, { region, admission });
    progress(`coturn answers on port ${relay.port}`);
    relays.push(relay);
  }
  const pools = plans.map((plan, index) => pool(plan, relays[index].url));
  return { relays, relaysFile: group.write("relays.toml", pools.join("\n")), secrets };
}

/** @param {Group} group @param {string} secret */
function secretInFile(group, secret) {
  return { admission: { secret }, secrets: { TURN_CRED_SECRET_FILE: group.write("turn-secret", secret) } };
}

/** Begins without any: the first credential service makes one. @param {Group} group @param {Programs} programs */
async function secretsInRedis(group, programs) {
  const redis = await startRedis(group, programs.redis, "redis-secrets");
  const file = group.write("redis-secrets-url", redis.url);
  return { admission: { redis }, secrets: { TURN_CRED_REDIS_URL_FILE: file, TURN_CRED_REALM: REALM } };
}

/** A region for the configuration of the credential services. JSON is TOML here. @param {RelayPlan} plan @param {string} url */
function pool({ region, countries = [] }, url) {
  const [name, served, urls] = [region, countries, [url]].map((value) => JSON.stringify(value));
  return `[[pools]]\nregion = ${name}\ncountries = ${served}\n[[pools.relays]]\nuris = ${urls}\n`;
}
