/**
 * The keys of a file, as the services read them (docs/run/secrets.md, "Files of keys"): the first one signs. Nothing of
 * Node.js is needed, so that k6 can import it too.
 */

const MIN_KEY_BYTES = 32;

/**
 * @param {string} text one key per line
 * @returns {string[]}
 * @throws when there is no key, or one that is not whole; the text says which and quotes none
 */
export function parseKeys(text) {
  const lines = text.split("\n").map((line) => line.replace(/^[ \t\r]+|[ \t\r]+$/g, ""));
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length === 0) throw new Error("there is no key in it");
  const at = keys.findIndex((key) => key.length < MIN_KEY_BYTES || !/^[ -~]+$/.test(key) || key.startsWith('"'));
  if (at >= 0) throw new Error(`key ${at + 1} is not ${MIN_KEY_BYTES} or more printable ASCII characters without quotation marks`);
  return keys;
}
