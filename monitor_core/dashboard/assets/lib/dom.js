// Elements without innerHTML: whatever a host is called, it stays text.

const SVG = "http://www.w3.org/2000/svg";

/** h("p", {class: "muted", onclick}, "text", child, …); null and false children are left out. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Put other children into a node, only when `key` (what they show) has changed. */
export function show(node, key, build) {
  const now = JSON.stringify(key);
  if (node.dataset.shows === now) return;
  node.dataset.shows = now;
  const back = node.contains(document.activeElement) ? placeIn(node, document.activeElement) : null;
  node.replaceChildren(...[build()].flat(3).filter(Boolean));
  back?.();
}

/** Whoever works with the keyboard goes on where they were, and what they were typing is still there. */
function placeIn(node, held) {
  const nameOf = (one) => `${one.tagName} ${one.getAttribute("href") ?? one.getAttribute("aria-label") ?? one.textContent}`;
  const alike = () => [...node.querySelectorAll(held.tagName)].filter((one) => nameOf(one) === name);
  const name = nameOf(held);
  const nth = alike().indexOf(held);
  return () => {
    const next = alike()[nth];
    next?.focus({ preventScroll: true });
    if (next?.type === "text") next.value = held.value;
  };
}

/** Set text only when it differs, so that screen readers and selections are left alone. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
