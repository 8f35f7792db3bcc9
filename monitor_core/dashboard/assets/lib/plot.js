// Plotly, loaded once from our own origin, with the look of the pages.

import { colour } from "./theme.js";

let loading = null;

export function plotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "/assets/plotly.min.js";
    script.onload = () => done(window.Plotly);
    script.onerror = () => {
      loading = null;
      failed(new Error("The chart library did not load."));
    };
    document.head.append(script);
  });
  return loading;
}

export const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false, showTips: false };

/** Layout that all charts share; times are ms, local time. */
export function layout(root, more = {}) {
  const grid = colour(root, "border");
  const font = { family: "Inter, system-ui, sans-serif", size: 11, color: colour(root, "muted") };
  const { xaxis, yaxis, ...rest } = more;
  return {
    font,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 44, r: 12, t: 8, b: 24 },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour(root, "card"), bordercolor: grid, font: { ...font, color: colour(root, "text") } },
    dragmode: "zoom",
    xaxis: {
      type: "date", showgrid: false, zeroline: false, linecolor: grid, ticks: "", fixedrange: false,
      tickfont: font, hoverformat: "%-d %b %H:%M:%S", ...xaxis,
    },
    yaxis: {
      gridcolor: grid, zeroline: false, ticksuffix: "\u202f%", fixedrange: true, tickfont: font, nticks: 6, ...yaxis,
    },
    ...rest,
  };
}

/** Is somebody dragging on `node`? A chart that is drawn again meanwhile would take the drag out of their hand. */
export function watchHand(node) {
  const hand = { held: false };
  node.addEventListener("pointerdown", () => (hand.held = true), true);
  for (const end of ["pointerup", "pointercancel"])
    window.addEventListener(end, () => setTimeout(() => (hand.held = false), 100), true);
  return hand;
}

/** Tick labels without a date inside a day, without a time beyond a week. */
export function tickformat(span) {
  if (span <= 86_400_000) return "%H:%M";
  return span <= 7 * 86_400_000 ? "%a %H:%M" : "%-d %b";
}

/** Plotly reads numbers on a date axis as UTC; shifted by the zone they read as local time. */
export const local = (ms) => ms - new Date(ms).getTimezoneOffset() * 60_000;

export const fromLocal = (shown) => {
  const ms = typeof shown === "number" ? shown : Date.parse(`${String(shown).replace(" ", "T")}Z`);
  return ms + new Date(ms).getTimezoneOffset() * 60_000;
};

/** Insert a null where samples are missing for more than three steps, so that a gap is drawn as a gap. */
export function withGaps(times, columns) {
  if (times.length < 3) return { times, columns };
  const steps = times.slice(1).map((t, i) => t - times[i]).sort((a, b) => a - b);
  const most = 3.5 * steps[Math.floor(steps.length / 2)];
  const outTimes = [];
  const out = columns.map(() => []);
  times.forEach((t, i) => {
    if (i && t - times[i - 1] > most) {
      outTimes.push(times[i - 1] + 1);
      out.forEach((column) => column.push(null));
    }
    outTimes.push(t);
    out.forEach((column, c) => column.push(columns[c][i]));
  });
  return { times: outTimes, columns: out };
}
