// A host's alert budget: what is left of it, and how many alerts each threshold would have sent.

import { h } from "./dom.js";
import { lasted, number, plural, scoreText } from "./format.js";
import { card } from "./parts.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEAST, MOST] = [280, 64, 0.02, 200];

const node = (name, attributes) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

const across = (score) => ((score - 0.3) / 0.7) * WIDTH;
const down = (rate) => HEIGHT - 2 - (Math.log(Math.min(Math.max(rate, LEAST), MOST) / LEAST) / Math.log(MOST / LEAST)) * (HEIGHT - 6);

/** Alerts a week over the threshold, the scale of the alerts logarithmic; a line at what is allowed and one in use. */
function curve(budget) {
  const text = `At a threshold of ${scoreText(budget.threshold)} and above this host stays within ${number(budget.per_week)} a week, as alerts count.`;
  const drawn = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "sim-budget", role: "img", "aria-label": text });
  const points = budget.curve.filter((point) => point.score >= 0.3).map((point) => `${across(point.score).toFixed(1)},${down(point.per_week).toFixed(1)}`);
  drawn.append(
    node("line", { class: "sim-budget-allowed", x1: 0, x2: WIDTH, y1: down(budget.per_week), y2: down(budget.per_week) }),
    node("polyline", { points: points.join(" ") }),
    node("line", { class: "sim-budget-used", x1: across(budget.threshold), x2: across(budget.threshold), y1: 0, y2: HEIGHT }),
  );
  return drawn;
}

/** Score under the curve; the one in use only where it does not lie on an end. */
function axis(threshold) {
  const at = across(threshold) / WIDTH;
  const used = at > 0.2 && at < 0.9 ? h("span", { style: { left: `${at * 100}%` } }, `from ${threshold.toFixed(2)}`) : null;
  return h("div", { class: "sim-budget-axis", "aria-hidden": true }, h("span", {}, "score 0.3"), used, h("span", {}, "1"));
}

/** null for a host without a budget. */
export function budgetCard(budget, now) {
  if (!budget?.limited || !budget.curve.length) return null;
  const allowed = `${plural(budget.per_week, "alert")} a week`;
  const less = budget.spent - budget.counted >= 0.1 ? `, counted as ${budget.counted.toFixed(1)} because ${budget.spent === 1 ? "it" : "some"} went far` : "";
  const used = `${plural(budget.spent, "alert")} in the last 7 days${less}; ${budget.left > 0 ? number(budget.left) : "none"} left.`;
  const said = budget.knows
    ? `An incident opens now from a score of ${scoreText(budget.unusual_from)} on: ${budget.unusual_from > budget.threshold ? "more than usual, because the last hour was restless" : "the lowest that keeps within the budget"}.`
    : `An incident opens from a score of ${scoreText(budget.unusual_from)} on; the host's own threshold follows in ${lasted(Math.max(0, budget.knows_from - now))}.`;
  return card("Alert budget", allowed, h("p", {}, used, " ", h("span", { class: "sim-muted" }, said)), curve(budget), axis(budget.threshold),
    h("p", { class: "sim-small" }, "How many alerts a week each score would have sent, on a logarithmic scale; dashed is the budget. What goes far beyond all that the host ever did counts less, two fifths at the least. Limits, silence, climbs and what you marked as real are outside the budget."));
}
