// Overview: is anything wrong, and where?

import { get } from "./lib/api.js";
import { h, setText, show } from "./lib/dom.js";
import { lasted, number, percent, plural, THIN } from "./lib/format.js";
import { FleetChart } from "./lib/fleet_chart.js";
import { HostMap } from "./lib/host_map.js";
import { labelTags } from "./lib/labels.js";
import {
  button, card, header, howToSend, incidentCard, link, livePill, nothing, rangePicker, RANGES, simulatedTag, since, tag,
} from "./lib/parts.js";
import { area } from "./lib/spark.js";
import { Stream } from "./lib/stream.js";
import { usualStep } from "./lib/plot.js";
import { colour, METRIC_COLOUR } from "./lib/theme.js";

const REFETCH_MS = 60_000;
const SPARK_POINTS = 240;
const PART_OF_IT = 0.2;

export async function draw(app) {
  const page = new Overview(app);
  app.onStop(() => page.close());
  await page.load();
}

class Overview {
  constructor(app) {
    this.app = app;
    this.state = app.state;
    this.range = RANGES[app.query.get("range")] ? app.query.get("range") : "1h";
    this.hosts = new Map();
    this.pill = livePill();
    this.build();
    this.takeState(this.state);
    this.metric = this.firstMetric();
    this.drawTiles();
    this.stream = new Stream("topic=overview", {
      fleet: (delta) => this.takeDelta(delta),
      incidents: (data) => this.takeIncidents(data.open),
      notices: (data) => this.app.notices.say(data.notices),
    }, (word, at) => this.sayState(word, at), () => this.refetch());
    this.timer = setInterval(() => this.refetch(), REFETCH_MS);
    app.onTheme = () => this.redraw();
  }

  build() {
    const pause = button("Pause", () => {
      this.stream.pause(!this.stream.paused);
      setText(pause, this.stream.paused ? "Go on" : "Pause");
    });
    const picker = rangePicker(["15m", "1h", "6h", "24h"], this.range, (key) => this.choose({ range: key }));
    this.head = header(this.pill.node, picker, pause);
    this.open = h("div", { class: "sim-incidents" });
    this.tiles = h("div", { class: "sim-tiles" });
    this.chart = new FleetChart(this.app, () => this.hosts);
    this.map = new HostMap(this.app);
    this.earlier = h("div", {});
    this.app.root.append(this.head.node, this.open, this.tiles,
      h("div", { class: "sim-main" }, this.chart.node, this.map.node), this.earlier);
  }

  async load() {
    await this.loadFleet();
    this.drawIncidents();
  }

  async choose(choice) {
    Object.assign(this, choice);
    this.app.remember(choice);
    await this.loadFleet();
  }

  async loadFleet() {
    this.fleet = await get(`/api/fleet?range=${this.range}`).catch(() => this.fleet);
    this.step = usualStep(this.fleet?.time ?? []);
    this.end = this.fleet && Object.fromEntries(this.state.metrics.map(({ key }) => [key, ["low", "median", "high"].map((name) => this.fleet[key][name].at(-1))]));
    this.drawTiles();
    await this.chart.draw(this.fleet, this.metric, this.range, this.unusual());
  }

  async refetch() {
    try {
      this.takeState(await get("/api/state"));
      await this.loadFleet();
    } catch {
      // the pill says that the service is gone; what came last stays
    }
  }

  takeState(state) {
    this.state = state;
    this.hosts = new Map(state.hosts.map((host) => [host.name, host]));
    this.app.root.toggleAttribute("data-empty", !state.hosts.length);
    this.map.draw(state.hosts);
    this.takeIncidents(state.incidents);
    this.drawEarlier();
    this.app.notices?.say(state.notices);
  }

  takeIncidents(open) {
    // what is over a limit or silent first, then the newest
    const rank = (incident) => (incident.severity === "critical" ? 0 : 1);
    this.state.incidents = [...open].sort((a, b) => rank(a) - rank(b) || b.opened_at - a.opened_at);
    this.drawIncidents();
    this.say();
    this.chart.highlight(this.unusual());
  }

  takeDelta(delta) {
    this.state.today = delta.today;
    for (const [name, last, values, score, state, warm, low, high] of delta.hosts) {
      const known = this.hosts.get(name);
      if (!known) return void this.refetch();
      Object.assign(known, { last, values, score, state, low, high, warm: Math.max(known.warm, warm) });
    }
    this.last = delta.t;
    const fleet = this.smooth(delta);
    this.extendFleet(delta.t, fleet);
    this.map.update(this.hosts);
    this.say();
    this.chart.extend(delta.t, fleet, this.hosts);
    this.app.root.dataset.lastSample = delta.t;
  }

  /** Means over one step of what is shown, so that live points go on as the stretch before them, which is means too. */
  smooth({ t, fleet }) {
    const step = this.step ?? 0;
    this.first ??= t;
    // until a whole step has been seen, the last mean that was fetched stands for the rest of it
    const seen = step ? Math.min(1, (t - this.first + this.state.interval_ms) / step) : 1;
    this.recent = [...(this.recent ?? []), { t, fleet }].filter((one) => one.t > t - step || one.t === t);
    const mean = (key, i) => {
      const there = this.recent.map((one) => one.fleet[key][i]).filter((value) => value !== null);
      if (!there.length) return null;
      const own = there.reduce((sum, value) => sum + value, 0) / there.length;
      return seen * own + (1 - seen) * (this.end?.[key][i] ?? own);
    };
    return this.fleet?.time.length ? Object.fromEntries(Object.keys(fleet).map((key) => [key, [0, 1, 2].map((i) => mean(key, i))])) : fleet;
  }

  extendFleet(t, fleet) {
    const times = this.fleet?.time;
    if (!times || (times.length && t - times.at(-1) < this.state.interval_ms * 0.8)) return;
    times.push(t);
    for (const { key } of this.state.metrics) {
      const [low, median, high] = fleet[key];
      const own = this.fleet[key];
      own.low.push(low), own.median.push(median), own.high.push(high);
    }
    while (times.length > 2 && times[0] < t - RANGES[this.range][1]) {
      times.shift();
      for (const { key } of this.state.metrics) Object.values(this.fleet[key]).forEach((column) => column.shift());
    }
    this.drawTiles();
  }

  /** Up to three hosts whose incident is about the metric that is shown. */
  unusual() {
    const own = this.state.incidents.filter((incident) => this.isAbout(incident, this.metric));
    return own.slice(0, 3).map((incident) => ({ name: incident.host, since: incident.opened_at }));
  }

  isAbout(incident, metric) {
    return incident.kind === "abnormal" && incident.evidence.some((item) => item.metric === metric && item.contribution >= PART_OF_IT);
  }

  /** What the address asks for, else what the newest incident is about. */
  firstMetric() {
    const about = this.state.incidents.find((incident) => incident.kind === "abnormal")?.evidence[0]?.metric;
    const known = new Set(this.state.metrics.map(({ key }) => key));
    return [this.app.query.get("metric"), about, "cpu"].find((key) => known.has(key));
  }

  say() {
    const { incidents, today, hosts } = this.state;
    const troubled = new Set(incidents.map((incident) => incident.host)).size;
    const warming = hosts.filter((host) => this.hosts.get(host.name)?.state === "warming").length;
    const invented = hosts.filter((host) => host.simulated).length;
    const lines = [`Watching for ${lasted(this.now() - this.state.watching_since)}`,
      `${plural(today.samples, "sample")} checked today`];
    const sent = today.messages_sent ? plural(today.messages_sent, "message") + " sent" : "no message sent";
    const more = [h("b", {}, sent), `, ${plural(today.kept_quiet, "oddity", "oddities")} kept quiet`,
      invented ? ` · ${invented === hosts.length ? "all" : `${invented} of the ${hosts.length}`} hosts are simulated` : null];
    if (this.word === "gone") return;
    if (!hosts.length) return this.head.say("muted", "No host yet", "A host appears with its first sample.");
    if (troubled) {
      const worst = incidents.some((incident) => incident.severity === "critical") ? "critical" : "warning";
      const verb = troubled === 1 ? "needs" : "need";
      this.head.say(worst, `${troubled} of ${plural(hosts.length, "host")} ${verb} attention`, `${lines.join(" · ")} · `, ...more);
    } else if (warming === hosts.length) {
      this.head.say("muted", "Warming up", "Limits are watched; what is usual here is known in a few minutes.");
    } else {
      this.head.say("ok", hosts.length === 1 ? "The host is well" : `All ${hosts.length} hosts are well`, `${lines.join(" · ")} · `, ...more);
    }
  }

  sayState(word, at) {
    const returned = this.word === "gone" && word !== "gone";
    this.word = word;
    const behind = this.last ? Math.max(0, (this.stream.now() - this.last) / 1000).toFixed(1) : null;
    this.pill.say(word, word === "live" ? behind : null);
    if (word === "gone") {
      const quiet = `No news for ${lasted(Date.now() - at)}`;
      const when = new Date(at).toLocaleTimeString("en-GB");
      this.head.say("muted", quiet, `The service does not answer; trying again every second. Below is what came last, at ${when}.`);
    } else if (returned) this.say();
  }

  drawIncidents() {
    const { incidents, channels, earlier } = this.state;
    const key = incidents.map((incident) => [incident.id, incident.state, incident.severity, incident.title, incident.label]);
    show(this.open, [key, earlier[0]?.id, !this.hosts.size], () => {
      if (!this.hosts.size) return h("section", { class: "sim-card sim-well" }, howToSend());
      if (!incidents.length) return this.well(earlier[0]);
      const now = this.now();
      this.cards = incidents.slice(0, 6).map((incident) => [incident, incidentCard(this.app, incident, { now, channels, labels: labelTags(incident) })]);
      this.drawSparks();
      const rest = incidents.length - 6;
      return [...this.cards.map(([, made]) => made.node),
        rest > 0 && h("p", { class: "sim-small" }, link(this.app, "incidents", { state: "open" }, `and ${rest} more`))];
    });
  }

  async drawSparks() {
    const now = this.now();
    await Promise.all(this.cards.filter(([incident]) => incident.kind === "abnormal").map(async ([incident, made]) => {
      const start = Math.min(incident.opened_at, now) - 1_200_000;
      const query = `host=${encodeURIComponent(incident.host)}&start=${start}&max_points=${SPARK_POINTS}`;
      const series = await get(`/api/v1/series?${query}`).catch(() => null);
      if (series?.time.length > 1) made.draw(series);
    }));
  }

  well(last) {
    if (!last) return h("section", { class: "sim-card sim-well" }, h("p", {}, h("b", {}, "Nothing unusual so far."), " You will read here what happens, and why."));
    const quiet = lasted(this.now() - last.resolved_at);
    return h("section", { class: "sim-card sim-well" },
      h("p", {}, h("b", {}, `Nothing unusual for ${quiet}. `), h("span", { class: "sim-muted" }, `Last: ${last.host}, ${last.title}, at `, since(last.opened_at, this.now()), ".")));
  }

  drawTiles() {
    const { metrics } = this.state;
    const names = { cpu: "CPU, median of hosts", memory: "Memory", disk: "Disk used", disk_io: "Disk I/O busy" };
    this.tileNodes ??= metrics.map(({ key }) => {
      const parts = { value: h("strong"), tail: h("span", { class: "sim-small", title: "95 % of the hosts are at this or below" }), spark: h("div", { class: "sim-tile-spark" }) };
      const node = h("button", { type: "button", class: "sim-card sim-tile", onclick: () => this.choose({ metric: key }) },
        h("span", { class: "sim-small" }, names[key] ?? key),
        h("span", { class: "sim-tile-number" }, parts.value, h("span", { class: "sim-unit" }, `${THIN}%`), parts.tail), parts.spark);
      return { key, node, ...parts };
    });
    if (!this.tiles.children.length) this.tiles.append(...this.tileNodes.map((tile) => tile.node));
    // their room is there before their figures are
    if (!this.fleet) return;
    for (const tile of this.tileNodes) {
      const own = this.fleet[tile.key];
      const now = own.median.findLast((value) => value !== null);
      const high = own.high.findLast((value) => value !== null);
      tile.node.setAttribute("aria-pressed", String(tile.key === this.metric));
      setText(tile.value, now === undefined ? "—" : String(Math.round(now)));
      setText(tile.tail, high === undefined ? "" : `p95 ${percent(high)}`);
      tile.spark.replaceChildren(area(this.fleet.time, own.median, colour(this.app.root, METRIC_COLOUR[tile.key])));
    }
  }

  drawEarlier() {
    const { earlier } = this.state;
    show(this.earlier, earlier.map((incident) => incident.id), () => {
      const all = link(this.app, "incidents", {}, "all incidents →");
      if (!earlier.length) return card("The last 24 hours", all, nothing("Nothing yet.", "Incidents that are over are listed here for a day."));
      return card("The last 24 hours", all, h("ul", { class: "sim-list" }, earlier.slice(0, 8).map((incident) => this.earlierRow(incident))));
    });
  }

  earlierRow(incident) {
    return h("li", {},
      h("span", { class: "sim-muted sim-when" }, since(incident.opened_at, this.now())),
      h("b", {}, link(this.app, "host", { host: incident.host }, incident.host)),
      link(this.app, "incidents", { incident: incident.id }, incident.title),
      h("span", {}, simulatedTag(incident.simulated), incident.from_history ? tag("from history") : null, labelTags(incident)),
      h("span", { class: "sim-muted sim-right" }, lasted(incident.resolved_at - incident.opened_at)));
  }

  now() {
    return this.stream ? this.stream.now() : this.state.now;
  }

  redraw() {
    this.tiles.replaceChildren();
    this.tileNodes = null;
    this.drawTiles();
    this.chart.recolour();
    this.drawSparks();
  }

  close() {
    clearInterval(this.timer);
    this.stream.close();
    this.chart.close();
  }
}
