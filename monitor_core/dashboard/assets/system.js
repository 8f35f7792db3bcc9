// System: one sample's way through the service, what is kept, which jobs run, what was refused, who was told.

import { get } from "./lib/api.js";
import { h, show } from "./lib/dom.js";
import { bytes, lasted, milliseconds, moment, number, percent, plural, THIN } from "./lib/format.js";
import { bar, card, header, livePill, nothing, tag } from "./lib/parts.js";
import { area } from "./lib/spark.js";
import { Stream } from "./lib/stream.js";
import { colour } from "./lib/theme.js";

const REFETCH_MS = 3000;

export async function draw(app) {
  const page = new System(app);
  app.onStop(() => page.close());
  await page.load();
}

class System {
  constructor(app) {
    this.app = app;
    this.pill = livePill();
    this.head = header(this.pill.node);
    this.said = h("div");
    this.way = h("div");
    this.body = h("div");
    app.root.append(this.head.node, this.said, this.way, this.body);
    this.stream = new Stream("topic=system", { incidents: () => {} }, (word, at) => this.sayState(word, at), () => this.load());
    this.timer = setInterval(() => this.load(), REFETCH_MS);
  }

  sayState(word, at) {
    this.pill.say(word === "stale" ? "live" : word, null);
    if (word === "gone") this.head.say("muted", `No news for ${lasted(Date.now() - at)}`, "The service does not answer; trying again every second. Below is what came last.");
  }

  async load() {
    try {
      this.system = await get("/api/v1/system");
    } catch {
      return; // the pill and the sentence say it
    }
    const { system } = this;
    const second = `Version ${system.version} · up ${lasted(system.now - system.started_at)} · one process, ${bytes(system.rss_bytes)}, ${percent(system.cpu_percent)} of a core · ${plural(Math.max(1, system.streams), "page")} open · SQLite ${system.sqlite}`;
    this.head.say(system.ok ? "ok" : "critical", system.sentence, second);
    const more = [...system.problems.filter((problem) => problem !== `${system.sentence}.`), ...system.notices];
    show(this.said, more, () => more.map((text) => h("p", { class: "sim-notice" }, text)));
    this.way.replaceChildren(card("One sample's way", "last minute", h("div", { class: "sim-stages" }, system.stages.map((stage) => this.stage(stage)))));
    this.drawBody(system);
  }

  stage(stage) {
    const spark = area(stage.history.map((_, i) => i), stage.history, colour(this.app.root, "muted"), 0.5, true);
    return h("div", { class: "sim-stage" }, h("span", { class: "sim-small" }, h("span", { class: "sim-dot", "data-tone": stage.ok ? "ok" : "critical" }), stage.label),
      h("strong", {}, stage.value), h("span", { class: "sim-small" }, stage.detail), h("div", {}, spark));
  }

  drawBody(system) {
    const { kept, jobs, refused, channels, store, refused_by_store: never, dead_letters: dead } = system;
    show(this.body, [kept, jobs, refused, channels, store, never, dead], () => [
      store.name.startsWith("SQLite") && store.reachable && !store.away_since ? null : this.database(store, system.now),
      h("div", { class: "sim-halves" }, this.kept(kept), this.jobs(jobs, system.now)),
      h("div", { class: "sim-halves" }, this.refused(refused, never), this.channels(channels, dead)),
    ]);
  }

  /** Is it there, what waits for it, how fast it takes it, what it said last. */
  database(store, now) {
    const away = store.away_since !== null;
    const state = away ? `away for ${lasted(now - store.away_since)}` : store.reachable ? "takes samples" : "does not answer";
    const waits = store.backlog_samples ? `${plural(store.backlog_samples, "sample")}, ${bytes(store.backlog_bytes)}` : "nothing";
    const fact = (label, value, tone) => h("div", { class: "sim-fact" }, h("span", { class: "sim-small" }, label), h("strong", { "data-tone": tone }, value));
    return card("Database", store.name,
      h("div", { class: "sim-facts" },
        fact("State", state, away || !store.reachable ? "critical" : "ok"),
        fact("Waits in the journal", waits),
        fact("Oldest of it", store.backlog_age_ms === null ? "—" : lasted(store.backlog_age_ms)),
        fact("Taken just now", `${store.stored_per_second}${THIN}/s`)),
      store.error && h("p", { class: "sim-muted" }, store.needs_operator ? `Somebody has to set this right: ${store.error}` : store.error));
  }

  kept(kept) {
    const total = kept.reduce((sum, line) => sum + (line.bytes ?? 0), 0);
    const rows = kept.reduce((sum, line) => sum + (line.rows ?? 0), 0);
    // a database that does not tell its bytes tells its rows
    const share = (line) => (total ? (line.bytes ?? 0) / total : rows ? (line.rows ?? 0) / rows : 0);
    const span = (days) => (days === null ? "for ever" : days % 365 === 0 ? plural(days / 365, "year") : `${Math.round(days * 10) / 10} days`);
    const head = [["What"], ["For"], [""], [total ? "Size" : "", "sim-right"], ["Rows", "sim-right sim-wide"]];
    return card("Kept", total ? bytes(total) : null, table(kept.map((line) => [line.name, muted(span(line.retention_days)), h("td", { style: { width: "34%", verticalAlign: "middle" } }, bar(share(line), "cpu")), right(total ? bytes(line.bytes) : ""), right(line.rows === null ? "—" : number(line.rows), true)]), head));
  }

  jobs(jobs, now) {
    const wait = (ms, at) => (ms > 90_000 ? moment(at, now) : ms < 500 ? "now" : `in ${lasted(ms)}`);
    const next = (job) => (job.next_at ? wait(job.next_at - now, job.next_at) : "—");
    const head = [["Job"], ["Every"], ["Late"], ["Took", "sim-right sim-wide"], ["Next", "sim-right"]];
    const every = (job) => (job.every_s ? `${job.every_s}${THIN}s` : "day");
    return card("Jobs", null, table(jobs.map((job) => [job.name, muted(every(job)),
      muted([number(job.late), job.skipped && `${job.skipped} skipped`, job.failed && `${job.failed} failed`].filter(Boolean).join(", ")),
      right(job.last_ms === null ? "—" : milliseconds(job.last_ms), true), right(next(job))]), head));
  }

  refused(refused, never) {
    const rows = refused.map((line) => [line.reason, muted(line.host), right(number(line.count))]);
    const kept = never.newest.map((line) => h("p", { class: "sim-small" }, `${moment(line.at)} the database will never take ${line.sample}: ${line.reason}`));
    const none = nothing("None.", "Samples that are refused are counted here with the reason.");
    return card("Refused samples", "since the start", rows.length ? table(rows) : kept.length ? null : none,
      never.count > kept.length ? h("p", { class: "sim-small" }, `${plural(never.count, "sample")} refused by the database, the newest are`) : null, kept);
  }

  channels(channels, dead) {
    const rows = channels.map((channel) => [channel.name, h("span", { class: channel.ok ? "sim-muted" : "" }, channel.detail), right(`${channel.sent_today} today`), right([`${channel.waiting} waiting `, channel.dead ? tag(`${channel.dead} given up`, "critical") : null])]);
    const letters = dead.map((letter) => h("p", { class: "sim-small" }, `${moment(letter.at)} ${letter.channel}, ${letter.host}, ${letter.what}: ${letter.error}`));
    return card("Channels", null, table(rows), letters);
  }

  close() {
    clearInterval(this.timer);
    this.stream.close();
  }
}

/** `head`: [text, class] of each column, where the figures do not say themselves what they are. */
const table = (rows, head = null) => h("table", { class: "sim-table" }, head && h("thead", {}, h("tr", {}, head.map(([text, name = ""]) => h("th", { class: name }, text)))), h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => (cell?.tagName === "TD" ? cell : h("td", { style: { verticalAlign: "middle" } }, cell)))))));
const right = (text, wide = false) => h("td", { class: `sim-right sim-muted ${wide ? "sim-wide" : ""}`, style: { verticalAlign: "middle" } }, text);
const muted = (text) => h("span", { class: "sim-muted" }, text);
