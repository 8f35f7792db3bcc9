// All hosts in one chart: the middle 90 % as a band, the median, up to three unusual hosts with their names at the end,
// grey until their incident opened and red since.

import { get } from "./api.js";
import { h, setText } from "./dom.js";
import { RANGES } from "./parts.js";
import { bandOf, CONFIG, layout, local, plotly, tickformat, watchHand, withGaps } from "./plot.js";
import { colour, METRIC_COLOUR } from "./theme.js";

const POINTS = 600;
const MOST_POINTS = 4000;
const LABEL_PX = 13;
const LABEL_CHARS = 14;

export class FleetChart {
  constructor(app, hosts) {
    Object.assign(this, { app, hosts, unusual: [], lines: new Map(), zoomed: false });
    this.title = h("h2");
    this.plot = h("div", { class: "sim-plot sim-plot-fleet" });
    const legend = h("span", { class: "sim-legend" },
      h("i", { class: "sim-key-band" }), "middle 90 % of hosts", h("i", { class: "sim-key-median" }), "median",
      h("i", { class: "sim-key-unusual" }), "unusual");
    this.hand = watchHand(this.plot);
    this.node = h("section", { class: "sim-card sim-fleet" }, h("div", { class: "sim-card-head" }, this.title, legend), this.plot);
  }

  /** `unusual`: [{name, since}], since when in ms. */
  async draw(fleet, metric, range, unusual) {
    if (!fleet) return;
    Object.assign(this, { fleet, metric, unusual, zoomed: this.zoomed && range === this.range, range });
    const label = this.app.state.metrics.find(({ key }) => key === metric)?.label ?? metric;
    setText(this.title, `${label}, all hosts`);
    this.node.style.setProperty("--sim-median", `var(--sim-${METRIC_COLOUR[metric]})`);
    await this.loadLines();
    await this.react();
  }

  async highlight(unusual) {
    if (!this.fleet || JSON.stringify(unusual) === JSON.stringify(this.unusual)) return;
    this.unusual = unusual;
    await this.loadLines();
    await this.react();
  }

  async loadLines() {
    const from = Date.now() - RANGES[this.range][1];
    const found = await Promise.all(this.unusual.map(async ({ name }) => {
      const query = `host=${encodeURIComponent(name)}&start=${from}&max_points=${POINTS}`;
      return [name, await get(`/api/v1/series?${query}`).catch(() => null)];
    }));
    this.lines = new Map(found.filter(([, series]) => series).map(([name, series]) => [name, series]));
  }

  traces() {
    const { root } = this.app;
    const own = this.fleet[this.metric];
    const { times, columns: [median] } = withGaps(this.fleet.time, [own.median]);
    const band = bandOf(this.fleet.time, own.low, own.high);
    const edge = { type: "scatter", mode: "lines", x: band.times.map(local), line: { width: 0 }, hoverinfo: "skip" };
    return [
      { ...edge, y: band.low, name: "low" },
      { ...edge, y: band.high, name: "high", fill: "tonexty", fillcolor: colour(root, "band") },
      { ...edge, x: times.map(local), y: median, name: "median", hoverinfo: "all", hovertemplate: "%{y:.0f} %", line: { width: 2, color: colour(root, METRIC_COLOUR[this.metric]) } },
      ...this.unusual.flatMap((one) => this.line(one)),
    ];
  }

  /** Two traces: until the incident, and since; the second one grows. */
  line({ name, since }) {
    const series = this.lines.get(name);
    const { times, columns } = series ? withGaps(series.time, [series.metrics[this.metric].mean]) : { times: [], columns: [[]] };
    const opened = times.findIndex((time) => time >= since);
    const turn = opened < 0 ? times.length : opened;
    const part = (from, to, width, hue) => ({
      type: "scatter", mode: "lines", x: times.slice(from, to).map(local), y: columns[0].slice(from, to), name,
      hovertemplate: "%{y:.0f} %", line: { width, color: colour(this.app.root, hue) },
    });
    // the red part begins at the last grey point, so that there is no gap between them
    return [part(0, turn, 1, "muted"), part(Math.max(0, turn - 1), times.length, 2, "critical")];
  }

  view() {
    const span = RANGES[this.range][1];
    const now = Math.max(this.fleet.time.at(-1) ?? 0, Date.now() - 10_000);
    return [local(now - span), local(now + span * 0.06)];
  }

  layout() {
    const labels = this.labels();
    const longest = Math.max(0, ...labels.map(({ text }) => text.length));
    return layout(this.app.root, {
      xaxis: { range: this.zoomed ? this.plot.layout.xaxis.range : this.view(), tickformat: tickformat(RANGES[this.range][1]), nticks: this.plot.clientWidth < 480 ? 5 : 8 },
      yaxis: { rangemode: "tozero" },
      annotations: labels,
      margin: { l: 40, r: longest ? 20 + 6.5 * longest : 12, t: 8, b: 24 },
    });
  }

  /** Names at the ends of the lines; those that would lie on each other are moved apart. */
  labels() {
    const axis = this.plot._fullLayout?.yaxis;
    const font = { color: colour(this.app.root, "critical"), size: 11 };
    let above = -Infinity;
    return this.unusual.map(({ name }) => ({ name, last: this.lastOf(name) })).filter(({ last }) => last && last[1] !== null)
      .sort((a, b) => b.last[1] - a.last[1])
      .map(({ name, last }) => {
        const at = axis ? axis.d2p(last[1]) : 0;
        const shown = axis ? Math.max(at, above + LABEL_PX) : 0;
        above = shown;
        return { x: last[0], y: last[1], text: name.length > LABEL_CHARS ? `${name.slice(0, LABEL_CHARS - 1)}…` : name, xanchor: "left", showarrow: false, xshift: 4, yshift: at - shown, font };
      });
  }

  lastOf(name) {
    const own = this.lines.get(name);
    if (!own?.time.length) return null;
    return [local(own.time.at(-1)), own.metrics[this.metric].mean.at(-1)];
  }

  async react() {
    const Plotly = await plotly();
    await Plotly.react(this.plot, this.traces(), this.layout(), CONFIG);
    // where the names are in each other's way is known only now
    if (this.unusual.length > 1) await Plotly.relayout(this.plot, { annotations: this.labels() });
    if (this.listening) return;
    this.listening = true;
    this.plot.on("plotly_relayout", (event) => {
      // a person's zoom comes in two halves, our own moves as one
      if (event["xaxis.range[0]"] !== undefined) this.zoomed = true;
    });
    this.plot.on("plotly_doubleclick", () => {
      this.zoomed = false;
      this.move();
    });
  }

  /** One more point of the spread and of each unusual host. */
  async extend(time, fleet, hosts) {
    if (!this.listening || this.hand.held || (this.lastTime && time - this.lastTime < this.app.state.interval_ms * 0.8)) return;
    this.lastTime = time;
    const [low, median, high] = fleet[this.metric];
    const m = this.app.state.metrics.findIndex(({ key }) => key === this.metric);
    const at = [local(time)];
    const known = low === null ? [] : at;
    const x = [known, known, at];
    const y = [known.map(() => low), known.map(() => high), [median]];
    const traces = [0, 1, 2];
    this.unusual.forEach(({ name }, i) => {
      traces.push(4 + 2 * i);
      const host = hosts.get(name);
      const value = host?.values[m] ?? null;
      x.push([local(host?.last ?? time)]);
      y.push([value]);
      const own = this.lines.get(name);
      own?.time.push(host?.last ?? time);
      own?.metrics[this.metric].mean.push(value);
    });
    const Plotly = await plotly();
    // an incident may just be adding its line: then it brings this point itself
    if (this.plot.data.length !== 3 + 2 * this.unusual.length) return;
    await Plotly.extendTraces(this.plot, { x, y }, traces, MOST_POINTS);
    await this.move();
    this.plot.dataset.points = this.plot.data[0].x.length;
  }

  /** Follow the clock, unless somebody zoomed in. */
  async move() {
    if (this.zoomed) return;
    const Plotly = await plotly();
    await Plotly.relayout(this.plot, { "xaxis.range": this.view(), annotations: this.labels() });
  }

  recolour() {
    if (this.listening) this.react();
  }

  close() {
    if (window.Plotly && this.listening) window.Plotly.purge(this.plot);
  }
}
