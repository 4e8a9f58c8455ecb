/** Draws lanes: a member above the other, time from left to right. @typedef {import("./lanes.js").Lane} Lane */

const SVG = "http://www.w3.org/2000/svg";
const LANE = 48;
const BAR = 14;
const MARKS = Object.freeze({ good: "●", bad: "✕", other: "◆" });

/**
 * @param {{from: number, to: number, lanes: Lane[]}} timeline
 * @param {number} width of the picture in pixels, so that its text is never scaled
 */
export function picture({ from, to, lanes }, width) {
  const height = lanes.length * LANE + 24;
  const x = (/** @type {number} */ at) => Math.round(8 + ((at - from) / (to - from)) * (width - 16));
  const label = `Timeline of ${lanes.length} members from ${time(from)} to ${time(to)}; the same is below as text`;
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  lanes.forEach((lane, index) => svg.append(...drawn(lane, index * LANE, width, x)));
  const ends = [[8, "start", from], [width - 8, "end", to]];
  for (const [at, anchor, moment] of ends) svg.append(node("text", { class: "tick", x: at, y: height - 6, "text-anchor": anchor }, time(Number(moment))));
  return svg;
}

/** @param {Lane} lane @param {number} top @param {number} width @param {(at: number) => number} x */
function drawn({ name, spans, marks }, top, width, x) {
  const y = top + 22;
  return [
    node("text", { x: 8, y: top + 15 }, name),
    node("rect", { class: "lane", x: 8, y, width: width - 16, height: BAR, rx: 4 }),
    ...spans.map(({ from, to, state }) => node("rect", { class: state, x: x(from), y, width: Math.max(2, x(to) - x(from)), height: BAR, rx: 3 })),
    ...marks.map(({ at, kind, text }) => {
      const mark = node("text", { class: `mark ${kind}`, x: x(at), y: y + BAR + 12 }, MARKS[kind]);
      mark.append(node("title", {}, text));
      return mark;
    }),
  ];
}

/** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] */
function node(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/** @param {number} at milliseconds since 1970 */
export function time(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
