/**
 * The WebSocket of whichever k6 this is; the only file that knows the difference.
 *
 * The module left `k6/experimental` in January 2026. The wheel on PyPI is 1.1.0 and has the old name only, newer
 * ones have the new one and may drop the old. `import` is resolved before anything runs, `require` is not.
 */
function load() {
  try {
    return require("k6/websockets");
  } catch {
    return require("k6/experimental/websockets");
  }
}

export const { WebSocket } = load();

/** An end without a close frame (RFC 6455, section 7.1.5). */
export const ABNORMAL = 1006;

/**
 * The close code that an `error` event tells of. In 1.1.0 the `close` event has none, and the text of the error
 * reads `websocket: close 4001: …`.
 * @returns {number | null}
 */
export function codeInError({ error }) {
  const match = /close (\d{4})/.exec(String(error));
  return match ? Number(match[1]) : null;
}
