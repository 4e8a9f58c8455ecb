/**
 * Sizes the tiles of the grid so that any number of them uses the space well.
 *
 * @typedef {{width: number, height: number}} Size pixels
 */

/** A tile is never flatter than a camera's picture; taller than wide only where the space is. */
const FLATTEST = 16 / 9;
const TALLEST = { portrait: 4 / 5, landscape: 4 / 3 };

/**
 * Returns the size of `count` equal tiles in `space`: of all numbers of columns the one that covers
 * most of it.
 * @param {number} count
 * @param {Size} space
 * @param {number} gap pixels between tiles
 * @returns {Size}
 */
export function tileSize(count, space, gap) {
  const tallest = space.height > space.width ? TALLEST.portrait : TALLEST.landscape;
  let best = { width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const cell = {
      width: (space.width - gap * (columns - 1)) / columns,
      height: (space.height - gap * (rows - 1)) / rows,
    };
    const tile = within(cell, tallest);
    if (tile.width * tile.height > best.width * best.height) best = tile;
  }
  return best;
}

/**
 * Cuts a cell down to a bearable shape.
 * @param {Size} cell
 * @param {number} tallest the smallest bearable width by height
 * @returns {Size}
 */
function within({ width, height }, tallest) {
  return { width: Math.min(width, height * FLATTEST), height: Math.min(height, width / tallest) };
}

/** Keeps the tiles of `grid` sized while it or their number changes. @param {HTMLElement} grid */
export function watchGrid(grid) {
  const layout = () => {
    const gap = Number.parseFloat(getComputedStyle(grid).columnGap) || 0;
    const space = { width: grid.clientWidth, height: grid.clientHeight };
    const { width, height } = tileSize(Math.max(1, grid.childElementCount), space, gap);
    grid.style.setProperty("--tile-width", `${Math.floor(width)}px`);
    grid.style.setProperty("--tile-height", `${Math.floor(height)}px`);
  };
  new ResizeObserver(layout).observe(grid);
  new MutationObserver(layout).observe(grid, { childList: true });
}
