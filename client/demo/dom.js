/**
 * Returns the element with an id; the page is ours, so it is there.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  return /** @type {T} */ (document.getElementById(id));
}

/**
 * Makes an element with a class and children; text is text, never markup.
 * @param {string} tag
 * @param {string} className
 * @param {...(Node | string)} children
 */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Makes one of the icons that index.html defines. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/**
 * Changes icon, label and tooltip of a tool button.
 * @param {HTMLElement} button
 * @param {{icon: string, label: string, title?: string}} look
 */
export function relabel(button, { icon: name, label, title = label }) {
  button.querySelector("use")?.setAttribute("href", `#i-${name}`);
  const text = button.querySelector("span");
  if (text) text.textContent = label;
  button.title = title;
}

/** Tells those who do not see the page. @param {string} text */
export function announce(text) {
  byId("said").textContent = text;
}
