/**
 * Asks the node that served this page, as a back end does: with a token, which is kept for as long as the tab lives.
 */

const KEY = "signal-cluster-console:token";

/** Why a node did not answer as asked, in its own words. */
export class Refused extends Error {
  /** @param {{code: string, detail?: string}} problem RFC 9457 */
  constructor({ code, detail }) {
    super(detail ?? code);
    this.code = code;
  }
}

export class Api {
  #token = "";

  /** Takes the token out of the address, where it is not to stay, or out of this tab's memory. */
  constructor() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    this.token = given ?? sessionStorage.getItem(KEY) ?? "";
  }

  get token() {
    return this.#token;
  }

  set token(token) {
    this.#token = token.trim();
    sessionStorage.setItem(KEY, this.#token);
  }

  /**
   * Returns the JSON at a path below that of this page.
   * @param {string} path
   */
  async get(path) {
    const answer = await fetch(path, { headers: { authorization: `Bearer ${this.#token}` }, cache: "no-store" });
    const body = await answer.json().catch(() => ({ code: `status ${answer.status}` }));
    if (!answer.ok) throw new Refused(body);
    return body;
  }

  /** Returns the metrics of this node, which need no token. @returns {Promise<string>} */
  async metrics() {
    return (await fetch("metrics", { cache: "no-store" })).text();
  }
}
