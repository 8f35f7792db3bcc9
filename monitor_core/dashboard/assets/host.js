// Host: four metrics on one time axis with what was expected; without a host, the table of all.

import { get, post } from "./lib/api.js";
import { budgetCard } from "./lib/budget.js";
import { h, setText, show } from "./lib/dom.js";
import { lasted, scoreText, words } from "./lib/format.js";
import { HostCharts } from "./lib/host_charts.js";
import { keptQuiet, labelCard, labelTags } from "./lib/labels.js";
import {
  card, evidenceBars, header, incidentCard, link, livePill, nothing, rangePicker, RANGES, simulatedTag, since, sureButton, tag, watchers,
} from "./lib/parts.js";
import { Stream } from "./lib/stream.js";
import { drawTable } from "./hosts.js";

const POINTS = 1200;
const RAW_RANGES = new Set(["15m", "1h"]);
const REFETCH_MS = { "6h": 20_000, "24h": 60_000, "7d": 300_000, "30d": 300_000 };
const GONE_AFTER_MS = 60_000;
const STAGE_MS = 15_000;
const HOST = /^[A-Za-z0-9._:-]{1,253}$/;

export async function draw(app) {
  const name = app.query.get("host");
  if (!name) return drawTable(app);
  if (!HOST.test(name)) return app.root.append(h("div", { class: "sim-head" }, h("h1", {}, "No host has such a name")), nothing("A name has letters, digits and . _ : -, up to 253 of them.", link(app, "host", {}, "All hosts")));
  const page = new Host(app, name);
  app.onStop(() => page.close());
  return page.load();
}

/** The shortest range that begins before `from` (ms), an hour when nothing was asked for. */
const rangeBackTo = (from) => (from ? Object.keys(RANGES).find((key) => RANGES[key][1] > 1.1 * (Date.now() - from)) ?? "30d" : "1h");

class Host {
  constructor(app, name) {
    Object.assign(this, { app, name, host: app.state.hosts.find((host) => host.name === name) });
    app.known = Boolean(this.host);
    this.range = RANGES[app.query.get("range")] ? app.query.get("range") : rangeBackTo(Number(app.query.get("from")));
    this.incidents = app.state.incidents.filter((incident) => incident.host === name);
    this.labels = Object.fromEntries(app.state.metrics.map((metric) => [metric.key, metric.label]));
    this.pill = livePill();
    const picker = rangePicker(Object.keys(RANGES), this.range, (range) => this.choose(range));
    this.csv = h("a", { class: "sim-button", download: `${name}.csv` }, "CSV");
    this.head = header(this.pill.node, picker, this.csv);
    this.charts = new HostCharts(app, name);
    [this.side, this.later] = [h("div", { class: "sim-side" }), h("div", { class: "sim-later" })];
    this.charts.node.classList.add("sim-beside");
    this.learning = h("div");
    app.root.append(this.head.node, this.learning, h("div", { class: "sim-columns" }, this.charts.node, this.side, this.later));
    this.stream = new Stream(`host=${encodeURIComponent(name)}`, {
      sample: (sample) => this.take(sample),
      incidents: (data) => this.takeIncidents(data.open),
      notices: (data) => {
        this.app.notices.say(data.notices);
        this.loadSeries(true);
      },
    }, (word, at) => this.sayState(word, at), () => this.catchUp());
    app.onTheme = () => this.charts.recolour();
    this.schedule();
    if (this.host?.next !== null) this.stages = setInterval(() => this.learnMore().catch(() => {}), STAGE_MS);
  }

  async load() {
    this.say();
    this.drawSide();
    await this.loadSeries();
    const [from, to] = ["from", "to"].map((key) => Number(this.app.query.get(key)));
    const [left, right] = (this.app.query.get("zoom") ?? "").split("-").map(Number);
    if (left && right > left) await this.charts.zoom(left, right);
    else if (from && to >= from) await this.charts.look(from, to);
  }

  async catchUp() {
    const state = await this.app.catchUp();
    if (state) this.incidents = state.incidents.filter((incident) => incident.host === this.name);
    await this.loadSeries(true);
  }

  async choose(range) {
    this.range = range;
    this.app.remember({ range, zoom: null, from: null, to: null });
    this.schedule();
    await this.loadSeries();
  }

  schedule() {
    clearInterval(this.timer);
    if (REFETCH_MS[this.range]) this.timer = setInterval(() => this.loadSeries(true), REFETCH_MS[this.range]);
  }

  async loadSeries(quietly = false) {
    const span = RANGES[this.range][1];
    const start = this.stream.now() - span;
    const points = RAW_RANGES.has(this.range) ? 2 * POINTS : POINTS;
    const query = `host=${encodeURIComponent(this.name)}&start=${Math.round(start)}&max_points=${points}`;
    this.csv.href = `/api/v1/series.csv?${query}`;
    try {
      const [series, past] = await Promise.all([get(`/api/v1/series?${query}`), this.past(start), this.loadLabels()]);
      await this.charts.draw(series, this.range, past, quietly);
      this.drawSide();
      this.app.root.dataset.tier = series.tier;
    } catch (error) {
      if (!quietly) this.charts.fail(error.message);
    }
  }

  async past(start) {
    const query = `host=${encodeURIComponent(this.name)}&since=${Math.round(start)}`;
    this.log = (await get(`/api/v1/incidents?${query}`)).incidents;
    return this.log;
  }

  async loadLabels() {
    const name = encodeURIComponent(this.name);
    const budget = get(`/api/v1/hosts/${name}/budget`).catch(() => null);
    this.labelled = (await get(`/api/v1/labels?host=${name}`)).labels;
    this.budget = await budget;
  }

  take(sample) {
    if (this.host) Object.assign(this.host, { last: sample.t, values: sample.v, score: sample.score, state: sample.state });
    if (RAW_RANGES.has(this.range)) this.charts.extend(sample);
    else this.charts.now(sample.v);
    this.say();
    this.app.root.dataset.lastSample = sample.t;
  }

  takeIncidents(open) {
    this.incidents = open.filter((incident) => incident.host === this.name);
    const past = this.past(this.stream.now() - RANGES[this.range][1]);
    Promise.all([past, this.loadLabels()]).then(([found]) => this.charts.shade(found)).then(() => this.drawSide()).catch(() => {});
    this.drawSide();
    this.say();
  }

  say() {
    const title = [h("span", { class: "sim-muted" }, link(this.app, "host", {}, "Hosts"), " / "), this.name];
    if (!this.host) {
      this.head.say(null, title, "Nothing has arrived from a host of this name.");
      return;
    }
    const { host } = this;
    const now = this.stream?.now() ?? this.app.state.now;
    const every = host.gap_ms ? `a sample every ${lasted(Math.max(1000, host.gap_ms))}` : "first samples";
    const known = `knows ${lasted(host.history_ms)} of its history`;
    const second = `${every}, last ${lasted(now - host.last)} ago · ${known}`;
    show(this.head.tags, [host.state, host.simulated], () => [
      host.state === "normal" ? null : tag(words(host.state), host.state === "critical" ? "critical" : "warning"),
      simulatedTag(host.simulated),
    ]);
    this.saySofar();
    if (this.word === "gone") return;
    if (this.titled) setText(this.head.node.querySelector(".sim-second"), second);
    else this.head.say(null, title, second);
    this.titled = true;
  }

  /** One quiet line as long as there is something left to learn. */
  saySofar() {
    const { next, stage, learned, watched_by: parts } = this.host;
    show(this.learning, [learned, parts], () => next && h("div", { class: "sim-learning", "data-stage": stage },
      h("span", {}, learned), watchers(parts)));
  }

  async learnMore() {
    const found = (await get("/api/v1/hosts")).hosts.find((host) => host.name === this.name);
    if (!found) return;
    this.host = Object.assign(this.host ?? {}, found);
    this.say();
    if (!found.next) clearInterval(this.stages);
  }

  sayState(word, at) {
    this.word = word;
    const behind = this.host?.last ? Math.max(0, (this.stream.now() - this.host.last) / 1000).toFixed(1) : null;
    const quiet = this.host?.last && this.stream.now() - this.host.last > Math.max(15_000, 5 * (this.host.gap_ms ?? 0));
    this.charts.sayAway(word === "gone" || Boolean(quiet));
    this.pill.say(word === "live" && quiet ? "stale" : word, word === "live" ? behind : null);
    if (word === "gone") this.head.gone(at);
    else this.say();
  }

  drawSide() {
    const key = [this.incidents.map((i) => [i.id, i.state, i.severity, i.title, i.label]), this.log?.map((i) => [i.id, i.state, i.label]), this.labelled, this.budget && [this.budget.threshold, this.budget.spent, this.budget.knows]];
    show(this.side, key, () => this.incidents.map((incident) => this.openIncident(incident)));
    show(this.later, key, () => [
      this.quietCard(),
      this.host ? this.earlier() : null,
      budgetCard(this.budget, this.stream.now()),
      this.forgetCard(),
    ]);
  }

  openIncident(incident) {
    const made = incidentCard(this.app, incident, { now: this.stream.now(), channels: this.app.state.channels, compact: true, labels: labelTags(incident) });
    const record = this.labelled?.find((own) => own.incident === incident.id) ?? null;
    const score = `score ${scoreText(incident.score)}${incident.unusual_from ? `, counted from ${scoreText(incident.unusual_from)} on` : ""}`;
    return [made.node, incident.evidence.length ? card("What made it unusual", score, evidenceBars(this.app, incident, this.labels)) : null,
      labelCard(this.app, incident, record, this.stream.now(), () => this.loadLabels().then(() => this.drawSide()))];
  }

  quietCard() {
    const rules = keptQuiet(this.app, this.labelled ?? [], () => this.loadLabels().then(() => this.drawSide()));
    return rules.length ? card("Kept quiet here", null, rules) : null;
  }

  earlier() {
    const past = (this.log ?? []).filter((incident) => incident.state === "resolved");
    if (!past.length) return card("Earlier", null, nothing("No incident in this range.", "What was unusual on this host is listed here."));
    const rows = past.slice(0, 8).map((incident) => h("div", { class: "sim-bar-row" },
      h("div", {}, h("span", {}, link(this.app, "incidents", { incident: incident.id }, incident.title), " ", labelTags(incident)), h("span", { class: "sim-muted" }, since(incident.opened_at, this.stream.now())))));
    return card("Earlier", null, rows);
  }

  forgetCard() {
    if (!this.host || this.stream.now() - (this.host.last ?? 0) < GONE_AFTER_MS) return null;
    const act = async () => {
      await post(`/api/v1/hosts/${encodeURIComponent(this.name)}/forget`);
      this.app.go("host", {});
    };
    return card("Is it gone for good?", null, h("p", { class: "sim-muted" }, "Forgetting a host ends its incidents and removes what is kept of it."), h("div", { class: "sim-actions" }, sureButton("Forget host", "Really forget everything about it?", act)));
  }

  close() {
    clearInterval(this.timer);
    clearInterval(this.stages);
    this.stream.close();
    this.charts.close();
  }
}
