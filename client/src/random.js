/**
 * Returns 128 random bits in base64url, 22 characters: a name nobody else has and nobody can guess.
 * (crypto.randomUUID would do, but exists on secure pages only.)
 */
export function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").slice(0, 22);
}
