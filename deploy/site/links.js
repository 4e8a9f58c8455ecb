import { join, normalize } from "node:path";

const REPOSITORY = "https://github.com/signal-cluster/signal-cluster/blob/main";

/**
 * A page whose links to files outside docs/ lead to the repository, since the site has docs/ alone.
 * @param {string} text @param {string} folder of the page, such as docs/guides
 */
export function toRepository(text, folder) {
  return text.replace(/\]\(((?:\.\.\/)+[^)\s]*)\)/g, (link, target) => {
    const path = normalize(join(folder, target));
    return path.startsWith("docs/") ? link : `](${REPOSITORY}/${path})`;
  });
}
