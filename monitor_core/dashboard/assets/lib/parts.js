// What several pages show: header, live pill, segmented control, tags, incident card, states.

import { post } from "./api.js";
import { h, setText, show, svg } from "./dom.js";
import { absolute, clock, lasted, moment, percent, THIN } from "./format.js";
import { banded } from "./spark.js";
import { colour, METRIC_COLOUR } from "./theme.js";

export const RANGES = {
  "15m": [`15${THIN}m`, 900_000], "1h": [`1${THIN}h`, 3_600_000], "6h": [`6${THIN}h`, 21_600_000],
  "24h": [`24${THIN}h`, 86_400_000], "7d": [`7${THIN}d`, 604_800_000], "30d": [`30${THIN}d`, 2_592_000_000],
};

/** A page's first lines; `tone` of the dot: ok, warning, critical, muted or none. */
export function header(...controls) {
  const dot = h("span", { class: "sim-dot", hidden: true });
  const title = h("h1", { "aria-live": "polite" });
  const tags = h("span", { class: "sim-tags" });
  const second = h("p", { class: "sim-second" });
  const node = h("header", { class: "sim-head" },
    h("div", { class: "sim-head-words" }, h("div", { class: "sim-title" }, dot, title, tags), second),
    h("div", { class: "sim-controls" }, controls));
  const say = (tone, sentence, ...more) => {
    dot.hidden = !tone;
    dot.dataset.tone = tone ?? "";
    if (typeof sentence === "string") setText(title, sentence);
    else title.replaceChildren(...sentence);
    second.replaceChildren(...more.filter((part) => part !== null));
  };
  const gone = (at) => setText(second, `The service does not answer, no news for ${lasted(Date.now() - at)}; trying again every second.`);
  return { node, say, gone, tags };
}

/** What an operator should know on every page; none most of the time. */
export function noticeBar() {
  const node = h("div", { class: "sim-notices", role: "status" });
  const say = (sentences) => show(node, sentences, () => sentences.map((text) => h("p", { class: "sim-notice" }, text)));
  return { node, say };
}

/** The pill that says how fresh the page is. */
export function livePill() {
  const text = h("span", {}, "Connecting …");
  const node = h("span", { class: "sim-pill", role: "status", "data-state": "connecting" }, h("i", {}), text);
  const say = (state, behind) => {
    node.dataset.state = state;
    const words = {
      live: behind === null || behind === undefined ? "Live" : `Live · ${behind}${THIN}s behind`,
      stale: "Stale", gone: "Reconnecting …", paused: "Paused", connecting: "Connecting …",
    };
    setText(text, words[state]);
  };
  return { node, say };
}

/** One choice among a few; `options` {key: label}. */
export function segmented(label, options, chosen, onchange) {
  const buttons = Object.entries(options).map(([key, text]) =>
    h("button", { type: "button", "data-key": key, "aria-pressed": String(key === chosen), onclick: () => choose(key) }, text));
  const choose = (key) => {
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.key === key)));
    onchange(key);
  };
  return h("div", { class: "sim-segmented", role: "group", "aria-label": label }, buttons);
}

export const rangePicker = (keys, chosen, onchange) =>
  segmented("Time range", Object.fromEntries(keys.map((key) => [key, RANGES[key][0]])), chosen, onchange);

export const button = (text, onclick, more = {}) => h("button", { type: "button", class: "sim-button", onclick, ...more }, text);

/** A button that asks once more; it stops asking when somebody turns to something else, or with Escape. */
export function sureButton(text, question, act, more = {}) {
  const turn = (own, sure) => {
    own.toggleAttribute("data-sure", sure);
    setText(own, sure ? question : text);
  };
  const click = ({ currentTarget: own }) => (own.hasAttribute("data-sure") ? act(own) : turn(own, true));
  const leave = ({ currentTarget: own }) => own.disabled || turn(own, false);
  return button(text, click, { "aria-live": "polite", onblur: leave, onkeydown: (event) => event.key === "Escape" && leave(event), ...more });
}

export const tag = (text, tone = "plain") => h("span", { class: "sim-tag", "data-tone": tone }, text);

export const simulatedTag = (simulated) => (simulated ? tag("simulated") : null);

/** Where a page is; `params` that are null are left out. */
export function address(page, params) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== null && value !== undefined));
  const path = page === "overview" ? "/" : `/${page}`;
  return query.size ? `${path}?${query}` : path;
}

/** A link inside the product: no reload when clicked, a real address for a new tab. */
export function link(app, page, params, ...children) {
  const follow = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    app.go(page, params);
  };
  return h("a", { href: address(page, params), onclick: follow }, children);
}

export const card = (title, aside, ...children) =>
  h("section", { class: "sim-card" },
    title && h("div", { class: "sim-card-head" }, h("h2", {}, title), aside && h("span", { class: "sim-aside" }, aside)),
    children);

/** A sentence where the data would be. */
export const nothing = (sentence, more) =>
  h("div", { class: "sim-nothing" }, h("strong", {}, sentence), more && h("p", {}, more));

/** What there is to do before the first sample. */
export function howToSend() {
  const line = `curl -X POST ${location.origin}/ingest -H 'Content-Type: application/json' -d '{"host": "web-1", "cpu": 42, "memory": 61, "disk": 70}'`;
  return [h("p", {}, h("b", {}, "Nothing has arrived yet. "), "A host is known from its first sample on:"), h("code", { class: "sim-code" }, line)];
}

export const since = (ms, now) => h("time", { datetime: new Date(ms).toISOString(), title: absolute(ms) }, moment(ms, now));

export const stateTone = (incident) =>
  incident.state === "resolved" ? "plain" : incident.severity === "critical" ? "critical" : "warning";

export const stateWord = (incident) =>
  incident.state === "resolved" ? "resolved" : `${incident.state} · ${incident.severity}`;

const DETECTORS = {
  limits: "over its limit", robust_z: "far from the last hour", isolation_forest: "odd combination", trend: "climbing", stuck: "stuck",
  neighbours: "unlike its own past",
};

/** Since when it has been unusual, for how long, and which detector said so. */
export const began = (incident, now) => {
  const start = incident.since ?? incident.opened_at;
  const detector = DETECTORS[incident.detector];
  return h("span", {}, "since ", since(start, now), ` · ${lasted((incident.resolved_at ?? now) - start)}`, detector && ` · ${detector}`);
};

/** With what values it would be normal; nothing where nobody knows. */
export const counterfactual = (incident) =>
  incident.counterfactual && h("p", { class: "sim-counterfactual", title: "If the mean of its last three samples were that, it would not count on this host: nothing unusual for it, no climb, no limit exceeded" }, incident.counterfactual.sentence);

/** What an open incident says of itself. `series` (may come later) fills the sparkline. */
export function incidentCard(app, incident, { now, channels, compact = false, labels = [], changed = () => {} }) {
  const told = incident.told ? `${channels[0] === "slack" ? "Slack" : "Console"} told ${clock(incident.opened_at)}` : "not told";
  const spark = h("div", { class: "sim-incident-spark" });
  const node = h("section", { class: "sim-card sim-incident", "data-tone": stateTone(incident) },
    h("div", { class: "sim-incident-words" },
      h("p", { class: "sim-small" },
        compact ? null : h("b", {}, link(app, "host", { host: incident.host }, incident.host)),
        tag(incident.severity, stateTone(incident)), simulatedTag(incident.simulated), labels,
        began(incident, now)),
      h("h3", {}, incident.title),
      h("p", { class: "sim-muted" }, incident.detail),
      counterfactual(incident),
      h("div", { class: "sim-actions" },
        acknowledgeButton(incident, changed),
        compact ? null : h("span", { class: "sim-button" }, link(app, "host", { host: incident.host, range: "1h" }, "Open")),
        h("span", { class: "sim-small" }, told))),
    spark);
  return { node, draw: (series) => spark.replaceChildren(incidentSpark(app, incident, series)) };
}

function acknowledgeButton(incident, changed) {
  if (incident.state === "acknowledged") return h("span", { class: "sim-small" }, `Acknowledged ${clock(incident.acknowledged_at)}`);
  const act = async (event) => {
    const own = event.currentTarget;
    own.disabled = true;
    try {
      changed(await post(`/api/v1/incidents/${incident.id}/acknowledge`, { note: null }));
      own.textContent = "Acknowledged";
    } catch (error) {
      own.disabled = false;
      own.title = error.message;
      own.textContent = "Try again";
    }
  };
  return button("Acknowledge", act);
}

function incidentSpark(app, incident, series) {
  const { metric, limit } = incident.evidence[0] ?? { metric: "cpu", limit: null };
  const own = series.metrics[metric];
  return banded(series.time, own.mean, own.expected_low, own.expected_high, limit,
    colour(app.root, METRIC_COLOUR[metric]), colour(app.root, "critical"), colour(app.root, "band"));
}

/** What each metric had to do with it. */
export function evidenceBars(app, incident, labels) {
  return incident.evidence.map((item) => {
    const range = item.expected_low === null ? "" : `, expected ${Math.round(item.expected_low)}–${Math.round(item.expected_high)}`;
    const red = item.contribution >= 0.2;
    const bar = { width: `${Math.max(1, item.contribution * 100)}%`, background: red ? "var(--sim-critical)" : `var(--sim-${METRIC_COLOUR[item.metric]})` };
    return h("div", { class: "sim-bar-row" },
      h("div", {}, h("span", {}, labels[item.metric] ?? item.metric), h("span", { class: "sim-muted" }, `${percent(item.value)}${range}`)),
      h("div", { class: "sim-bar" }, h("i", { style: bar })));
  });
}

export const bar = (share, tone = "accent") =>
  h("div", { class: "sim-bar" }, h("i", { style: { width: `${Math.round(share * 100)}%`, background: `var(--sim-${tone})` } }));

export const cross = () =>
  svg("svg", { viewBox: "0 0 10 10", class: "sim-glyph", "aria-hidden": true }, svg("path", { d: "M2.5 2.5L7.5 7.5M7.5 2.5L2.5 7.5" }));

/** Who watches a host, one short bar each: how much of its full say each has. */
export function watchers(parts) {
  const title = (part) => [part.share === 1 ? `${part.name}: all of it` : `${part.name}: ${percent(part.share * 100)}`, part.next].filter(Boolean).join(", ");
  return h("span", { class: "sim-learning-parts", role: "img", "aria-label": parts.map(title).join("; ") }, parts.map((part) => h("span", { title: title(part) }, bar(part.share))));
}
