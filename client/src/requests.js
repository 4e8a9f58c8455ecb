/**
 * Pairs replies with requests by `id`. Whoever asks is called exactly once: with the reply, or with
 * null when the socket that carried the request is gone.
 *
 * @typedef {import("./protocol.js").ServerFrame} ServerFrame
 * @typedef {import("./link.js").Link} Link
 */
export class Requests {
  #lastId = 0;
  /** @type {Map<number, {link: Link, done: (reply: ServerFrame | null) => void}>} */
  #open = new Map();

  /**
   * Sends the frame that `make` builds for a fresh id.
   * @param {Link} link
   * @param {(id: number) => Record<string, any>} make
   * @param {(reply: ServerFrame | null) => void} done
   */
  send(link, make, done) {
    const id = ++this.#lastId;
    this.#open.set(id, { link, done });
    if (!link.send(make(id))) this.#finish(id, null);
  }

  /**
   * Hands a frame to whoever asked for it.
   * @param {ServerFrame} frame
   * @param {Link} link
   */
  settle(frame, link) {
    if (!("id" in frame) || typeof frame.id !== "number") return;
    if (this.#open.get(frame.id)?.link === link) this.#finish(frame.id, frame);
  }

  /** Tells everybody who waits for a reply on `link` that none will come. @param {Link} link */
  lost(link) {
    for (const [id, request] of [...this.#open]) if (request.link === link) this.#finish(id, null);
  }

  /**
   * @param {number} id
   * @param {ServerFrame | null} reply
   */
  #finish(id, reply) {
    const request = this.#open.get(id);
    this.#open.delete(id);
    request?.done(reply);
  }
}
