// Light or dark, as Streamlit's own page is; Plotly gets its colours from the same custom properties as the CSS.

/** Mark `root` and call `changed` whenever the page turns from light to dark or back. Returns a stop function. */
export function followTheme(root, changed) {
  let now = null;
  const look = () => {
    const next = isDark() ? "dark" : "light";
    if (next === now) return;
    now = next;
    root.dataset.theme = next;
    changed(next);
  };
  look();
  const timer = setInterval(look, 1000);
  return () => clearInterval(timer);
}

function isDark() {
  const app = document.querySelector(".stApp") ?? document.body;
  const parts = getComputedStyle(app).backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255];
  return 0.3 * parts[0] + 0.59 * parts[1] + 0.11 * parts[2] < 128;
}

/** The value of a custom property on root, e.g. colour(root, "cpu"). */
export const colour = (root, name) => getComputedStyle(root).getPropertyValue(`--sim-${name}`).trim();

export const METRIC_COLOUR = { cpu: "cpu", memory: "memory", disk: "disk", disk_io: "io" };
