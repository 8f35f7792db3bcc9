// Small charts as SVG: cheap enough for every card, and never thicker than a line.

import { svg } from "./dom.js";

const W = 200;
const H = 50;

/** Points [[x, y|null]…] scaled into the box; a gap stays a gap. */
function path(points, box) {
  let out = "";
  let pen = false;
  for (const [x, y] of points) {
    if (y === null || Number.isNaN(y)) {
      pen = false;
      continue;
    }
    out += `${pen ? "L" : "M"}${box.x(x).toFixed(1)} ${box.y(y).toFixed(1)}`;
    pen = true;
  }
  return out;
}

function boxOf(xs, ys, least) {
  const low = Math.min(...ys);
  const high = Math.max(...ys);
  const pad = Math.max((least - (high - low)) / 2, (high - low) * 0.12, 0.5);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const span = high - low + 2 * pad;
  return { x: (v) => ((v - x0) / (x1 - x0 || 1)) * W, y: (v) => H - ((v - low + pad) / span) * H };
}

/** From zero, one line above the ground, to a little above the highest: nothing lies at the bottom. */
function groundBox(xs, ys, least) {
  const high = Math.max(...ys, least) * 1.12;
  return { x: boxOf(xs, ys, least).x, y: (v) => H - 1.5 - (v / high) * (H - 1.5) };
}

/** A filled line over the whole width of a tile. `least`: smallest height of the scale, in units; `ground`: stands on zero. */
export function area(xs, ys, colour, least = 12, ground = false) {
  const there = ys.filter((y) => y !== null);
  const view = svg("svg", { class: "sim-spark", viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", "aria-hidden": true });
  if (there.length < 2) return view;
  const box = ground ? groundBox(xs, there, least) : boxOf(xs, there, least);
  const line = path(xs.map((x, i) => [x, ys[i]]), box);
  const first = box.x(xs[ys.findIndex((y) => y !== null)]);
  view.append(
    svg("path", { d: `${line}L${W} ${H}L${first.toFixed(1)} ${H}Z`, fill: colour, opacity: 0.13 }),
    svg("path", { d: line, fill: "none", stroke: colour, "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" }),
  );
  return view;
}

/** A line with its expected band; where it leaves the band, or is over its `limit`, it is red. */
export function banded(xs, ys, low, high, limit, colour, alarm, band) {
  const all = [...ys, ...low, ...high].filter((y) => y !== null && y !== undefined);
  const view = svg("svg", { class: "sim-spark", viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", "aria-hidden": true });
  if (all.length < 2) return view;
  const box = boxOf(xs, all, 12);
  const known = xs.map((x, i) => [x, low[i], high[i]]).filter(([, a]) => a !== null && a !== undefined);
  if (known.length > 1) {
    const top = known.map(([x, , b]) => `${box.x(x).toFixed(1)} ${box.y(b).toFixed(1)}`).join("L");
    const bottom = known.reverse().map(([x, a]) => `${box.x(x).toFixed(1)} ${box.y(a).toFixed(1)}`).join("L");
    view.append(svg("path", { d: `M${top}L${bottom}Z`, fill: band }));
  }
  const outside = ys.map((y, i) => y !== null && ((low[i] !== null && (y > high[i] || y < low[i])) || y > (limit ?? Infinity)));
  const red = xs.map((x, i) => [x, outside[i] || outside[i + 1] || outside[i - 1] ? ys[i] : null]);
  view.append(stroke(path(xs.map((x, i) => [x, ys[i]]), box), colour), stroke(path(red, box), alarm));
  return view;
}

const stroke = (d, colour) =>
  svg("path", { d, fill: "none", stroke: colour, "stroke-width": 1.75, "vector-effect": "non-scaling-stroke" });
