// Incidents: who and when at a glance, the log, one incident's timeline.

import { get, post } from "./lib/api.js";
import { h, show } from "./lib/dom.js";
import { clock, day, lasted, plural } from "./lib/format.js";
import { labelCard, labelOptions, labelTags, tallyCard } from "./lib/labels.js";
import { address, began, button, card, counterfactual, header, link, livePill, nothing, rangePicker, RANGES, simulatedTag, since, stateTone, stateWord, tag } from "./lib/parts.js";
import { Stream } from "./lib/stream.js";

const LANES = 12;

export async function draw(app) {
  const page = new Incidents(app);
  app.onStop(() => page.stream.close());
  await page.load();
}

/** What weighs more is drawn later, over the rest. */
const byWeight = (a, b) => (a.severity === "critical") - (b.severity === "critical") || a.opened_at - b.opened_at;

/** Full hours or midnights, a few of them, none so near to the right that it meets "now". */
function roundTimes(start, now, range) {
  const step = { "24h": 4, "7d": 24, "30d": 120 }[range];
  const at = new Date(start);
  at.setHours(range === "24h" ? Math.ceil((at.getHours() + 1) / step) * step : 24, 0, 0, 0);
  const found = [];
  for (; +at < now - 0.07 * (now - start); at.setHours(at.getHours() + step)) found.push(+at);
  return found;
}

class Incidents {
  constructor(app) {
    this.app = app;
    this.range = ["24h", "7d", "30d"].includes(app.query.get("range")) ? app.query.get("range") : "24h";
    this.state = app.query.get("state") ?? "";
    this.host = app.query.get("host") ?? "";
    this.label = labelOptions[app.query.get("label")] ? app.query.get("label") : "";
    this.chosen = Number(app.query.get("incident")) || null;
    this.pill = livePill();
    const picker = rangePicker(["24h", "7d", "30d"], this.range, (range) => this.choose({ range }));
    this.csv = h("a", { class: "sim-button", download: "incidents.csv" }, "CSV");
    this.anomalies = h("a", { class: "sim-button", download: "anomalies.csv", title: "Every sample that counted toward an incident" }, "Anomaly log");
    this.head = header(this.pill.node, picker, this.select("state", { "": "Any state", open: "Open", resolved: "Resolved" }),
      this.select("host", Object.fromEntries([["", "Any host"], ...app.state.hosts.map(({ name }) => [name, name])])), this.select("label", labelOptions), this.csv, this.anomalies);
    [this.lanes, this.log, this.detail, this.tally] = [h("div"), h("div", { class: "sim-beside" }), h("div", { class: "sim-side" }), h("div")];
    app.root.append(this.head.node, this.lanes, h("div", { class: "sim-columns" }, this.log, this.detail, this.tally));
    this.stream = new Stream("topic=incidents", { incidents: () => this.load(), notices: (data) => this.app.notices.say(data.notices) }, (word, at) => this.sayState(word, at), () => this.load().then(this.app.catchUp));
  }

  select(name, options) {
    const items = Object.entries(options).map(([value, text]) => h("option", { value, selected: value === this[name] }, text));
    return h("select", { "aria-label": name, onchange: (event) => this.choose({ [name]: event.target.value }) }, items);
  }

  sayState(word, at) {
    // incidents are rare: no news for a while is not stale
    this.pill.say(word === "stale" ? "live" : word, null);
    if (word === "gone") this.head.gone(at);
  }

  async choose(choice) {
    Object.assign(this, choice);
    this.app.remember(Object.fromEntries(Object.entries(choice).map(([key, value]) => [key, value || null])));
    await this.load(true);
  }

  /** `anew`: something else was asked for, so that an incident which is not among it goes. */
  async load(anew = false) {
    const start = Math.round(this.stream.now() - RANGES[this.range][1]);
    const query = new URLSearchParams({ since: start, limit: 500 });
    if (this.state) query.set("state", this.state);
    if (this.host) query.set("host", this.host);
    if (this.label) query.set("label", this.label);
    const asked = this.filters();
    this.csv.href = `/api/v1/incidents.csv?${query}`;
    this.anomalies.href = `/anomalies?format=csv&since=${start}${this.host ? `&host=${encodeURIComponent(this.host)}` : ""}`;
    try {
      const [found, labels] = await Promise.all([get(`/api/v1/incidents?${query}`), get("/api/v1/labels")]);
      if (asked !== this.filters()) return; // the answer to what was chosen since is on its way
      [this.rows, this.labels] = [found.incidents, labels];
    } catch (error) {
      if (!this.rows) this.log.replaceChildren(nothing(error.message));
      return;
    }
    if (anew && !this.rows.some((incident) => incident.id === this.chosen)) {
      this.chosen = null;
      this.app.remember({ incident: null });
    }
    this.chosen ??= (this.rows.find((incident) => incident.state !== "resolved") ?? this.rows[0])?.id ?? null;
    this.say();
    this.drawLanes(start);
    this.drawLog();
    this.drawTally();
    await this.drawDetail();
  }

  filters() {
    return [this.range, this.state, this.host, this.label].join(" ");
  }

  drawTally() {
    const { labels } = this.labels;
    const select = this.head.node.querySelector("[aria-label='label']");
    const choose = (label) => {
      select.value = label;
      return this.choose({ label });
    };
    show(this.tally, [labels, this.label], () => (labels.length ? tallyCard(this.app, this.labels, this.label, choose, () => this.load()) : []));
  }

  say() {
    const open = this.rows.filter((incident) => incident.state !== "resolved").length;
    const over = this.rows.filter((incident) => incident.resolved_at).map((i) => i.resolved_at - i.opened_at).sort((a, b) => a - b);
    const half = over.length ? ` · half of them shorter than ${lasted(over[Math.floor(over.length / 2)])}` : "";
    this.head.say(null, "Incidents", `${open} open · ${plural(this.rows.length, "incident")} in ${RANGES[this.range][0]}${half}`);
  }

  drawLanes(start) {
    const now = this.stream.now();
    const span = now - start;
    const hosts = [...new Set(this.rows.map((incident) => incident.host))].slice(0, LANES);
    const left = (at) => `${Math.max(0, ((at - start) / span) * 100)}%`;
    // not even the narrowest bar sticks out on the right
    const within = (at) => `min(${left(at)}, calc(100% - 6px))`;
    const mark = (incident) => {
      const until = incident.resolved_at ?? now;
      const width = `${((Math.min(until, now) - Math.max(incident.opened_at, start)) / span) * 100}%`;
      return h("button", {
        type: "button", style: { left: within(incident.opened_at), width }, "data-tone": incident.severity, "data-quiet": !incident.told,
        title: `${incident.title} · ${lasted(until - incident.opened_at)}`, "aria-label": `${incident.host}: ${incident.title}`, onclick: () => this.pick(incident.id),
      });
    };
    const ticks = roundTimes(start, now, this.range).map((at) => h("span", { style: { left: left(at) } }, this.range === "24h" ? clock(at) : day(at)));
    const others = new Set(this.rows.map((incident) => incident.host)).size - hosts.length;
    show(this.lanes, [this.range, this.rows.map((i) => [i.id, i.state]), Math.round(now / 30_000)], () =>
      card("Who and when", hosts.length ? "a bar is an incident; striped ones were told to nobody" : null,
        hosts.length ? [hosts.map((host) => h("div", { class: "sim-lane" }, h("span", { title: host }, host), h("div", { class: "sim-lane-track" }, this.rows.filter((i) => i.host === host).sort(byWeight).map(mark)))),
          h("div", { class: "sim-axis" }, ticks, h("span", {}, "now")), others > 0 && h("p", { class: "sim-small" }, `and ${plural(others, "host")} more in the log below`)] : nothing("No incident in this range.", this.whyNone())));
  }

  whyNone() {
    if (!this.app.state.hosts.length) return "Nothing has been measured yet: a host appears with its first sample.";
    return this.label || this.state || this.host ? "None that fits what was chosen above." : "Everything that is measured was as expected.";
  }

  drawLog() {
    const now = this.stream.now();
    show(this.log, [this.rows.map((i) => [i.id, i.state, i.severity, i.title, i.label]), this.chosen, Math.round(now / 10_000)], () => {
      if (!this.rows.length) return [];
      const head = h("tr", {}, ["No.", "State", "Host", "What"].map((text) => h("th", {}, text)),
        h("th", { class: "sim-right sim-wide", title: "The highest of its samples" }, "Score"), h("th", { class: "sim-wide" }, "Since"), h("th", { class: "sim-right" }, "Lasted"));
      return h("section", { class: "sim-card sim-scroll sim-flush" }, h("table", { class: "sim-table sim-log" }, h("thead", {}, head), h("tbody", {}, this.rows.map((incident) => this.row(incident, now)))));
    });
  }

  row(incident, now) {
    return h("tr", { "data-link": true, "aria-selected": String(incident.id === this.chosen), onclick: (event) => event.target.closest("a") || this.pick(incident.id) },
      h("td", { class: "sim-muted" }, String(incident.id)), h("td", {}, tag(stateWord(incident), stateTone(incident))),
      h("td", {}, h("b", {}, link(this.app, "host", { host: incident.host }, incident.host))),
      h("td", {}, this.title(incident), " ", simulatedTag(incident.simulated), labelTags(incident), incident.note ? h("div", { class: "sim-small" }, incident.note) : null),
      h("td", { class: "sim-right sim-wide" }, incident.kind === "silent" ? "—" : incident.peak_score.toFixed(2)),
      h("td", { class: "sim-wide sim-muted" }, since(incident.opened_at, now)),
      h("td", { class: "sim-right sim-muted" }, lasted((incident.resolved_at ?? now) - incident.opened_at)));
  }

  /** The row is for the mouse; the title is for the keyboard too, and for a new tab. */
  title(incident) {
    const follow = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
      event.preventDefault();
      this.pick(incident.id);
    };
    return h("a", { href: address("incidents", { incident: incident.id, range: this.range }), onclick: follow }, incident.title);
  }

  async pick(id) {
    this.chosen = id;
    this.app.remember({ incident: String(id) });
    this.drawLog();
    await this.drawDetail();
    const { top, bottom } = this.detail.getBoundingClientRect();
    // on a phone it stands above the log that was tapped, and is read from its top
    const above = bottom <= this.log.getBoundingClientRect().top;
    if (bottom < 100 || (above && top < 0) || top > window.innerHeight - 100) this.detail.scrollIntoView({ block: "start" });
  }

  async drawDetail() {
    if (!this.chosen) return show(this.detail, null, () => []);
    const asked = this.chosen;
    let incident;
    try {
      incident = await get(`/api/v1/incidents/${asked}`);
      if (asked !== this.chosen) return null; // another one was chosen since, or none
    } catch (error) {
      return show(this.detail, error.message, () => card(null, null, nothing(error.message, link(this.app, "incidents", {}, "All incidents"))));
    }
    const key = [incident.id, incident.timeline.length, incident.state, incident.note, incident.labelled];
    return show(this.detail, key, () => [this.detailCard(incident), labelCard(this.app, incident, incident.labelled, this.stream.now(), () => this.load())]);
  }

  detailCard(incident) {
    const lines = incident.timeline.map((line) => h("li", {}, h("span", { class: "sim-muted" }, clock(line.at, true)), h("i", {}), h("span", {}, line.what), h("span", { class: "sim-muted" }, line.detail)));
    return h("section", { class: "sim-card sim-incident", "data-tone": stateTone(incident) }, h("div", { class: "sim-incident-words" },
      h("p", { class: "sim-small" }, `incident ${incident.id} · ${incident.host}`, simulatedTag(incident.simulated), incident.from_history ? tag("from history") : null, labelTags(incident)),
      h("p", { class: "sim-small" }, began(incident, this.stream.now())),
      h("h3", {}, incident.title), h("p", { class: "sim-muted" }, incident.detail), counterfactual(incident),
      h("ul", { class: "sim-timeline" }, lines), incident.state === "resolved" ? null : this.noteForm(incident)));
  }

  noteForm(incident) {
    const input = h("input", { type: "text", placeholder: "A note for the others", value: incident.note ?? "", "aria-label": "Note", maxlength: 2000 });
    const send = async (event) => {
      event.currentTarget.disabled = true;
      await post(`/api/v1/incidents/${incident.id}/acknowledge`, { note: input.value || null }).catch((error) => (input.placeholder = error.message));
      await this.load();
    };
    return h("div", { class: "sim-note" }, input, button(incident.state === "acknowledged" ? "Keep note" : "Acknowledge", send));
  }
}
