/**
 * Where the nodes are: one address, such as a balancer's, or several to go through in turn, so that
 * the attempt after a lost socket never begins with the node that was lost.
 */
export class Addresses {
  #urls;
  #next;
  /** The address of the latest attempt. */
  last;

  /**
   * @param {string | readonly string[]} urls
   * @param {() => number} random uniform in [0, 1); the first address is drawn, or all clients would begin with the same
   * @throws {TypeError} for what is no address, or an empty list
   */
  constructor(urls, random) {
    this.#urls = [urls].flat().map(endpoint);
    if (this.#urls.length === 0) throw new TypeError("no address of a node was given");
    this.#next = Math.floor(random() * this.#urls.length);
    this.last = this.#urls[this.#next];
  }

  /** Returns the address for the next attempt. */
  next() {
    this.last = this.#urls[this.#next];
    this.#next = (this.#next + 1) % this.#urls.length;
    return this.last;
  }
}

/** The path of the WebSocket, below that of a proxy. */
const ENDPOINT = "/v1/ws";

/**
 * Returns the WebSocket address that is meant by `url`, which may end before `/v1/ws`.
 * @param {string} url
 */
export function endpoint(url) {
  const address = new URL(url);
  address.protocol = address.protocol.replace("http", "ws");
  const path = address.pathname.replace(/\/+$/, "");
  if (!path.endsWith(ENDPOINT)) address.pathname = path + ENDPOINT;
  return address.href;
}
