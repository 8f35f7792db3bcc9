// Four charts on one time axis: expected band, limit, ribbon of scores, incidents shaded, a line that is red while it is
// anomalous and has an × where that began.

import { h, setText } from "./dom.js";
import { nothing, RANGES } from "./parts.js";
import { bandOf, bandStep, CONFIG, fromLocal, gapOf, layout, local, plotly, tickformat, watchHand, withGaps } from "./plot.js";
import { colour, METRIC_COLOUR } from "./theme.js";
import { THIN } from "./format.js";

const MOST_POINTS = 4000;
const RIBBON_WIDTH = 600;
const LINE = 4;
const RED = 5;
const MARKS = 6;

export class HostCharts {
  constructor(app, name) {
    Object.assign(this, { app, name, past: [], zoomed: false });
    this.metrics = app.state.metrics.map((metric, index) => this.room(metric, index));
    this.said = h("div", {});
    this.node = h("section", { class: "sim-card" }, this.said, this.metrics.map((room) => room.node));
    this.hand = watchHand(this.node);
  }

  room(metric, index) {
    const [number, unit] = [h("span"), h("span", { class: "sim-unit" })];
    const ribbon = h("canvas", { class: "sim-ribbon", width: RIBBON_WIDTH, height: 1, "aria-hidden": true });
    const plot = h("div", { class: "sim-plot sim-plot-metric", role: "img", "aria-label": `${metric.label} over time` });
    const square = h("i", { style: { background: `var(--sim-${METRIC_COLOUR[metric.key]})` } });
    const node = h("div", { class: "sim-metric" },
      h("div", { class: "sim-metric-head" }, square, h("span", {}, metric.label), h("span", {}, number, unit)), ribbon, plot);
    return { metric, index, number, unit, ribbon, plot, node };
  }

  async draw(series, range, past, quietly) {
    Object.assign(this, { series, range, past, most: gapOf(series.time) });
    if (!quietly) this.zoomed = false;
    this.said.replaceChildren(series.time.length ? "" : nothing("No samples in this range.", this.app.known ? "A longer range may have some." : "They appear here as soon as the first one arrives."));
    const Plotly = await plotly();
    for (const room of this.metrics) {
      room.node.hidden = !series.time.length;
      if (series.time.length) await this.drawRoom(Plotly, room);
    }
    this.now(this.metrics.map(({ metric }) => series.metrics[metric.key].mean.at(-1) ?? null));
  }

  fail(sentence) {
    this.said.replaceChildren(nothing(sentence, "What came last stays below."));
  }

  async drawRoom(Plotly, room) {
    await Plotly.react(room.plot, this.traces(room), this.layout(room), CONFIG);
    this.drawRibbon(room);
    if (room.listening) return;
    room.listening = true;
    room.plot.on("plotly_relayout", (event) => this.follow(room, event));
    room.plot.on("plotly_doubleclick", () => this.reset());
    room.plot.on("plotly_hover", (event) => this.hover(room, event.points[0]?.x));
    room.plot.on("plotly_unhover", () => this.others(room).forEach((other) => Plotly.Fx.unhover(other.plot)));
  }

  traces(room) {
    const { root } = this.app;
    const own = this.series.metrics[room.metric.key];
    const bucketed = this.series.bucket_ms > 0;
    const { times, columns } = withGaps(this.series.time, [own.mean, bucketed ? own.max : own.mean, own.anomalies]);
    const [mean, top, anomalies] = columns;
    const x = times.map(local);
    const hue = colour(root, METRIC_COLOUR[room.metric.key]);
    const expected = bandOf(this.series.time, own.expected_low, own.expected_high);
    const spread = bucketed ? bandOf(this.series.time, own.min, own.max) : bandOf([], [], []);
    const red = mean.map((value, i) => (anomalies[i] ? value : null));
    const marks = top.map((value, i) => (anomalies[i] && !anomalies[i - 1] ? value : null));
    room.red = Boolean(anomalies.at(-1));
    room.edge = expected.times.length ? { t: expected.times.at(-1), low: expected.low.at(-1) } : null;
    return [
      ...this.band(expected, colour(root, "band")), ...this.band(spread, `${hue}33`),
      { type: "scatter", mode: "lines", x, y: mean, line: { width: 1.75, color: hue }, hovertemplate: `%{y:.1f}${THIN}%<extra></extra>` },
      { type: "scatter", mode: "lines", x, y: red, hoverinfo: "skip", line: { width: 2, color: colour(root, "critical") } },
      { type: "scatter", mode: "markers", x, y: marks, hoverinfo: "skip", marker: { symbol: "x", size: 6, color: colour(root, "critical") } },
    ];
  }

  band({ times, low, high }, fillcolor) {
    const edge = { type: "scatter", mode: "lines", x: times.map(local), line: { width: 0 }, hoverinfo: "skip" };
    return [{ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor }];
  }

  layout(room) {
    const last = room.index === this.metrics.length - 1;
    const { limit } = room.metric;
    const shapes = this.past.filter((incident) => incident.kind === "abnormal").map((incident) => ({
      type: "rect", xref: "x", yref: "paper", y0: 0, y1: 1, line: { width: 0 }, layer: "below",
      x0: local(incident.opened_at), x1: local(incident.resolved_at ?? Date.now()),
      fillcolor: colour(this.app.root, "critical"), opacity: 0.07,
    }));
    const near = limit !== null && this.top(room) > limit - 25;
    if (near) shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: limit, y1: limit, line: { width: 1, dash: "dot", color: colour(this.app.root, "muted") } });
    const label = near ? [{ xref: "paper", x: 0.005, y: limit, yanchor: "bottom", text: `limit ${limit} %`, showarrow: false, font: { size: 10, color: colour(this.app.root, "muted") } }] : [];
    return layout(this.app.root, {
      xaxis: { range: this.zoomed ? this.view : this.window(), showticklabels: last, tickformat: tickformat(RANGES[this.range][1]), nticks: room.plot.clientWidth < 480 ? 5 : 8 },
      yaxis: { nticks: 4, range: this.scale(room) },
      shapes, annotations: label,
      margin: { l: 44, r: 12, t: 6, b: last ? 24 : 6 },
    });
  }

  top(room) {
    const own = this.series.metrics[room.metric.key];
    return Math.max(0, ...own.max.filter((value) => value !== null), ...own.expected_high.filter((value) => value !== null));
  }

  /** From a little below to a little above all that is shown, at least 20 points high. */
  scale(room) {
    const own = this.series.metrics[room.metric.key];
    const all = [...own.min, ...own.max, ...own.expected_low, ...own.expected_high].filter((value) => value !== null);
    if (!all.length) return [0, 100];
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const pad = Math.max(3, (20 - (high - low)) / 2);
    return [Math.max(-1, low - pad), Math.min(102, high + pad)];
  }

  window() {
    const span = RANGES[this.range][1];
    const now = Math.max(this.series.time.at(-1) ?? 0, Date.now());
    return [local(now - span), local(now + span * 0.01)];
  }

  drawRibbon(room) {
    const bit = this.series.metrics[room.metric.key].anomalies;
    const pen = room.ribbon.getContext("2d");
    const [from, to] = this.zoomed ? this.view : this.window();
    pen.clearRect(0, 0, RIBBON_WIDTH, 1);
    pen.fillStyle = colour(this.app.root, "critical");
    this.series.time.forEach((time, i) => {
      if (!bit[i]) return;
      pen.globalAlpha = Math.max(0.25, this.series.score[i]);
      const at = ((local(time) - from) / (to - from)) * RIBBON_WIDTH;
      pen.fillRect(Math.floor(at) - 1, 0, 3, 1);
    });
  }

  now(values) {
    values.forEach((value, index) => {
      const { number, unit } = this.metrics[index];
      const there = value !== null && value !== undefined;
      setText(number, there ? String(Math.round(value)) : "—");
      setText(unit, `${there ? `${THIN}%` : " no value"} ${this.away ? "last" : "now"}`);
    });
  }

  /** While no news comes, what stands there is the last that was heard. */
  sayAway(away) {
    if (this.away === away) return;
    this.away = away;
    for (const { unit } of this.metrics) setText(unit, unit.textContent.replace(away ? "now" : "last", away ? "last" : "now"));
  }

  /** One more sample on all four charts; nothing else is drawn again. */
  async extend(sample) {
    if (!this.series) return;
    this.now(sample.v);
    const before = this.series.time.at(-1) ?? 0;
    if (sample.t <= before) return;
    this.keep(sample);
    const Plotly = await plotly();
    for (const room of this.metrics) {
      if (!room.listening || this.hand.held || this.behind) continue;
      const { x, y } = this.step(room, sample, before);
      await Plotly.extendTraces(room.plot, { x, y }, [0, 1, LINE, RED, MARKS], MOST_POINTS);
      if (!this.zoomed) await this.relayout(Plotly, room, { "xaxis.range": this.window(), "yaxis.range": this.scale(room) });
      this.drawRibbon(room);
      room.plot.dataset.points = room.plot.data[LINE].x.length;
    }
    await this.catchUp(Plotly);
  }

  /** Into the series, out of which goes what has left the window: a page may stay open for weeks. */
  keep(sample) {
    const { series } = this;
    const own = this.metrics.map(({ metric }) => series.metrics[metric.key]);
    series.time.push(sample.t);
    series.score.push(sample.score);
    own.forEach((columns, i) => {
      for (const name of ["mean", "min", "max"]) columns[name].push(sample.v[i]);
      columns.anomalies.push((sample.anomaly >> i) & 1);
      columns.expected_low.push(sample.low[i]), columns.expected_high.push(sample.high[i]);
    });
    const from = sample.t - 1.05 * RANGES[this.range][1];
    while (series.time[0] < from) for (const column of [series.time, series.score, ...own.flatMap(Object.values)]) column.shift();
  }

  /** What a sample adds to the traces that grow: two edges of the band, line, red line, marks. */
  step(room, sample, before) {
    const [value, low, high] = [sample.v[room.index], sample.low[room.index], sample.high[room.index]];
    const red = (sample.anomaly >> room.index) & 1 ? value : null;
    const mark = room.red ? null : red;
    room.red = red !== null;
    const hole = sample.t - before > this.most;
    const band = bandStep(room.edge, sample.t, low, high, this.most);
    if (band.times.length) room.edge = { t: sample.t, low };
    const edge = band.times.map(local);
    const x = hole ? [local(before + 1), local(sample.t)] : [local(sample.t)];
    const after = (one) => (hole ? [null, one] : [one]);
    return { x: [edge, edge, x, x, x], y: [band.low, band.high, after(value), after(red), after(mark)] };
  }

  /** Draw what arrived while somebody was dragging. */
  async catchUp(Plotly) {
    if (this.hand.held) {
      this.behind = true;
    } else if (this.behind) {
      this.behind = false;
      for (const room of this.metrics) if (room.listening) await this.drawRoom(Plotly, room);
    }
  }

  async shade(past) {
    this.past = past;
    if (!this.series?.time.length) return;
    const Plotly = await plotly();
    for (const room of this.metrics) if (room.listening) await this.relayout(Plotly, room, { shapes: this.layout(room).shapes });
  }

  async relayout(Plotly, room, change) {
    await Plotly.relayout(room.plot, change);
  }

  others(room) {
    return this.metrics.filter((other) => other !== room && other.listening);
  }

  async follow(room, event) {
    // a person's zoom comes in two halves, our own moves as one
    if (event["xaxis.range[0]"] === undefined) return;
    this.zoomed = true;
    this.view = [event["xaxis.range[0]"], event["xaxis.range[1]"]].map((at) => (typeof at === "number" ? at : Date.parse(`${at.replace(" ", "T")}Z`)));
    const Plotly = await plotly();
    for (const other of this.others(room)) await this.relayout(Plotly, other, { "xaxis.range": this.view });
    this.metrics.forEach((each) => this.drawRibbon(each));
    this.app.remember({ zoom: this.view.map((at) => Math.round(fromLocal(at))).join("-"), from: null, to: null });
  }

  /** Show [from, to], ms, with as much before and behind it, at least five minutes. */
  async look(from, to) {
    const pad = Math.max(300_000, to - from);
    await this.zoom(from - pad, to + pad);
  }

  /** Show exactly that, ms. */
  async zoom(from, to) {
    this.zoomed = true;
    this.view = [local(from), local(to)];
    const Plotly = await plotly();
    for (const room of this.metrics) if (room.listening) await this.relayout(Plotly, room, { "xaxis.range": this.view });
    this.metrics.forEach((each) => this.series && this.drawRibbon(each));
  }

  async reset() {
    this.zoomed = false;
    this.app.remember({ zoom: null, from: null, to: null });
    const Plotly = await plotly();
    for (const room of this.metrics) await this.relayout(Plotly, room, { "xaxis.range": this.window() });
    this.metrics.forEach((each) => this.drawRibbon(each));
  }

  hover(room, x) {
    if (x === undefined) return;
    this.others(room).forEach((other) => window.Plotly.Fx.hover(other.plot, { xval: Date.parse(`${String(x).replace(" ", "T")}Z`) }));
  }

  async recolour() {
    if (!this.series?.time.length) return;
    const Plotly = await plotly();
    for (const room of this.metrics) await this.drawRoom(Plotly, room);
  }

  close() {
    this.metrics.forEach((room) => room.listening && window.Plotly.purge(room.plot));
  }
}
