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
    // the line under the mouse is outlined in this; without one the outline is white
    plot_bgcolor: colour(root, "card"),
    margin: { l: 44, r: 12, t: 8, b: 24 },
    showlegend: false,
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour(root, "card"), bordercolor: grid, font: { ...font, color: colour(root, "text") } },
    dragmode: "zoom",
    xaxis: {
      type: "date", showgrid: false, zeroline: false, linecolor: grid, ticks: "", fixedrange: false,
      spikecolor: colour(root, "muted"), spikethickness: 1, spikedash: "solid",
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

/** The median time between two samples, ms. */
export function usualStep(times) {
  const steps = times.slice(1).map((t, i) => t - times[i]).sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] ?? 0;
}

/** More than this between two samples (ms) is a gap. */
export const gapOf = (times) => (times.length < 3 ? Infinity : 3.5 * usualStep(times));

/** Insert a null where samples are missing, so that a gap is drawn as a gap. */
export function withGaps(times, columns) {
  const most = gapOf(times);
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

/**
 * The edges of a band, without any null: Plotly fills between two lines rightly only when neither is interrupted, else
 * it fills what is left and right of the gap from each line to its own chord. Where a band is not known it has no height.
 */
export function bandOf(times, low, high) {
  const band = { times: [], low: [], high: [] };
  const most = gapOf(times);
  const add = (t, a, b) => (band.times.push(t), band.low.push(a), band.high.push(b));
  let last = null;
  times.forEach((t, i) => {
    if (low[i] === null || high[i] === null) return;
    // its last point before the hole, and the first one after it, with no height
    if (last !== null && (last < i - 1 || t - times[last] > most)) {
      add(times[last] + 1, low[last], low[last]);
      add(t - 1, low[i], low[i]);
    }
    add(t, low[i], high[i]);
    last = i;
  });
  return band;
}

/** What to add to a band's edges for one more sample; the hole before it, if there is one, has no height. */
export function bandStep(before, t, low, high, most) {
  if (low === null || high === null) return { times: [], low: [], high: [] };
  const hole = before && t - before.t > most ? [[before.t + 1, before.low, before.low], [t - 1, low, low]] : [];
  const points = [...hole, [t, low, high]];
  return { times: points.map(([at]) => at), low: points.map(([, a]) => a), high: points.map(([, , b]) => b) };
}
