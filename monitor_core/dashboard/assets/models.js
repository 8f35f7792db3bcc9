// Models: which version speaks and which one waits, what the detectors have learned, and retraining by hand.

import { get, post } from "./lib/api.js";
import { challengerCard, championCard, excludedCard, historyCard } from "./lib/champion.js";
import { h, show } from "./lib/dom.js";
import { absolute, lasted, milliseconds, moment, number, plural } from "./lib/format.js";
import { bar, button, card, header, link, livePill, nothing, simulatedTag, since, sureButton, tag, watchers } from "./lib/parts.js";
import { CONFIG, layout, plotly } from "./lib/plot.js";
import { Stream } from "./lib/stream.js";
import { colour } from "./lib/theme.js";

const STEPS = ["reading", "features", "fitting", "comparing", "ready"];
const REFETCH_MS = 30_000;
const TAUGHT = 7;

export async function draw(app) {
  const page = new Models(app);
  app.onStop(() => page.close());
  await page.load();
}

class Models {
  constructor(app) {
    this.app = app;
    this.pill = livePill();
    this.retrain = button("Retrain now", () => this.train(), { class: "sim-button sim-primary", disabled: true });
    this.ask = h("input", { type: "checkbox" });
    const ask = h("label", { class: "sim-check", title: "The new version waits for you even if it is no worse" }, this.ask, "ask me before it speaks");
    this.head = header(this.pill.node, ask, this.retrain);
    [this.progress, this.taught, this.versions] = [h("div", { "aria-live": "polite" }), h("div"), h("div")];
    [this.champion, this.challenger, this.history, this.excluded] = [h("div"), h("div"), h("div"), h("div")];
    this.plot = h("div", { class: "sim-plot" });
    this.empty = h("div");
    const scores = card("How unusual is normal?", h("span", { title: "What is unusual for a real host says its own threshold, by its alert budget" }, "scores of the last 6 hours, log scale"), this.empty, this.plot);
    const halves = (...parts) => h("div", { class: "sim-halves" }, parts);
    // shown at once when all of it is known, so that nothing jumps
    this.rest = [halves(this.champion, this.challenger), halves(scores, this.taught), this.versions, halves(this.history, this.excluded)];
    this.rest.forEach((part) => (part.hidden = true));
    app.root.append(this.head.node, this.progress, ...this.rest);
    this.stream = new Stream("topic=models", { job: (job) => this.takeJob(job), incidents: () => {}, notices: (data) => this.app.notices.say(data.notices) },
      (word, at) => this.sayState(word, at), () => this.load().then(this.app.catchUp));
    this.timer = setInterval(() => this.load(), REFETCH_MS);
    app.onTheme = () => this.model && this.drawScores();
  }

  sayState(word, at) {
    this.pill.say(word === "stale" ? "live" : word, null);
    if (word === "gone") this.head.gone(at);
  }

  async load() {
    try {
      this.model = await get("/api/v1/models");
    } catch (error) {
      if (!this.model) this.head.say(null, "Models", error.message);
      return;
    }
    this.say();
    this.takeJob(this.model.job, false);
    this.drawWhoSpeaks();
    this.drawTaught();
    this.drawVersions();
    this.rest.forEach((part) => (part.hidden = false));
    await this.drawScores();
  }

  say() {
    const { active, champion, models, next_training_at: next, can_train: can, why_not: why } = this.model;
    const own = models.find((model) => model.version === active);
    const after = next ? ` · next training ${moment(next, this.stream.now())}` : "";
    const text = own
      ? `Version ${active} is watching since ${moment(champion?.since ?? own.created_at)} · trained on ${number(own.samples)} normal samples of ${plural(own.hosts, "host")}${own.simulated ? ", simulated ones among them" : ""}${after}`
      : `No version yet: limits and the robust z-score watch alone.${why ? ` ${why}` : " The first one is trained by itself within a minute."}`;
    this.head.say(null, "Models", text);
    this.retrain.disabled = !can || this.job?.state === "running";
    this.retrain.title = why ?? "";
  }

  async train() {
    this.retrain.disabled = true;
    try {
      this.takeJob(await post(`/api/v1/models/train${this.ask.checked ? "?promote=ask" : ""}`));
    } catch (error) {
      this.progress.replaceChildren(card(null, null, nothing(error.message)));
      this.retrain.disabled = false;
    }
  }

  takeJob(job, news = true) {
    const ended = news && this.job?.state === "running" && job.state !== "running";
    this.job = job;
    if (!job) return;
    this.retrain.disabled = job.state === "running" || !this.model?.can_train;
    show(this.progress, job, () => this.jobCard(job));
    if (ended) this.load();
  }

  jobCard(job) {
    const steps = STEPS.map((step, i) => [i ? " → " : "", step === job.step && job.state === "running" ? h("b", {}, step) : step]);
    const done = job.finished_at ? `took ${lasted(job.finished_at - job.started_at)}, ended ${moment(job.finished_at)}` : `${Math.round(job.progress * 100)} %`;
    const speaks = ["first", "no_worse", null, undefined].includes(job.promotion);
    const title = { running: "Training a new version", done: `Version ${job.version} is ready and ${speaks ? "watching" : "waits for you"}`, failed: "The training did not succeed" }[job.state];
    return h("section", { class: "sim-card sim-progress", "data-state": job.state },
      h("div", {}, h("h2", {}, title), h("p", { class: "sim-small" }, job.state === "running" ? steps : job.message)),
      bar(job.progress, job.state === "failed" ? "critical" : job.state === "done" ? "ok" : "accent"), h("span", { class: "sim-muted" }, done));
  }

  drawWhoSpeaks() {
    const { model, app } = this;
    const { champion, predecessor, drift, challenger, compared, history, excluded } = model;
    const now = this.stream.now();
    const changed = () => this.load();
    show(this.champion, [champion, predecessor, drift], () => championCard(model, now, changed));
    show(this.challenger, [champion, challenger, compared], () => challengerCard(app, model, now, changed));
    show(this.history, history, () => historyCard(model, now));
    show(this.excluded, excluded, () => excludedCard(app, model, now, changed));
  }

  drawTaught() {
    const rows = this.model.training_data;
    const line = (row) => h("tr", {}, h("td", {}, h("b", {}, link(this.app, "host", { host: row.host }, row.host)), " ", simulatedTag(row.simulated)),
      h("td", { class: "sim-wide sim-muted" }, row.stage), h("td", {}, watchers(row.watched_by)), h("td", { class: "sim-right sim-muted" }, lasted(row.history_ms)));
    const aside = h("span", { title: "One bar each for who watches a host; it is full when all of it speaks" }, "limits · last hour · forest · own past · budget");
    show(this.taught, rows.map((row) => [row.host, row.stage, row.watched_by, Math.round(row.history_ms / 60_000)]), () => card("What each host has taught", rows.length ? aside : null,
      rows.length ? h("table", { class: "sim-table sim-taught" }, h("tbody", {}, rows.slice(0, TAUGHT).map(line))) : nothing("No host yet.", "A host appears with its first sample."),
      rows.length > TAUGHT ? h("p", { class: "sim-small" }, link(this.app, "host", {}, `and ${rows.length - TAUGHT} more`)) : null));
  }

  drawVersions() {
    const { models, active, challenger } = this.model;
    show(this.versions, [models, active, challenger?.version], () => card("Versions", models.length ? "an older one stays one click away" : null,
      models.length ? h("div", { class: "sim-scroll" }, h("table", { class: "sim-table sim-versions" }, h("thead", {}, h("tr", {}, ["Version", "Trained", "Why", "Normal samples", "Hosts", "Took", ""].map((text, i) => h("th", { class: i > 2 && i < 6 ? "sim-right sim-wide" : i === 2 ? "sim-wide" : "" }, text)))),
        h("tbody", {}, models.map((model) => this.versionRow(model, active))))) : nothing("No version yet.", "It is trained as soon as there is history to learn from.")));
  }

  versionRow(model, active) {
    const act = async (own) => {
      own.disabled = true;
      await post(`/api/v1/models/${model.version}/activate`).catch((error) => (own.title = error.message));
      await this.load();
    };
    const activate = () => sureButton("Activate", `Really watch with ${model.version}?`, act);
    const wide = { class: "sim-wide sim-muted" };
    const figure = { class: "sim-right sim-wide sim-muted" };
    return h("tr", {}, h("td", {}, h("b", {}, String(model.version)), " ", model.version === active ? tag("watching", "ok") : model.version === this.model.challenger?.version ? tag("waits", "warning") : null, simulatedTag(model.simulated)),
      h("td", { title: absolute(model.created_at) }, since(model.created_at, this.stream.now())), h("td", wide, model.reason),
      h("td", figure, number(model.samples)), h("td", figure, String(model.hosts)), h("td", figure, milliseconds(model.seconds * 1000)),
      h("td", { class: "sim-right" }, model.version === active ? null : activate()));
  }

  async drawScores() {
    const { edges, counts, threshold } = this.model.scores;
    const total = counts.reduce((a, b) => a + b, 0);
    this.plot.hidden = !total;
    this.empty.replaceChildren(total ? "" : nothing("No scores yet.", "They appear with the first samples."));
    if (!total) return;
    const { root } = this.app;
    const [quiet, loud] = [colour(root, "cpu"), colour(root, "critical")];
    const Plotly = await plotly();
    const trace = {
      type: "bar", x: counts.map((_, i) => (edges[i] + edges[i + 1]) / 2), y: counts.map((n) => n || null), hovertemplate: "score %{x:.2f}: %{y:,} samples<extra></extra>",
      marker: { color: edges.slice(0, -1).map((edge) => (edge >= threshold - 1e-9 ? loud : quiet)) },
    };
    const muted = colour(root, "muted");
    await Plotly.react(this.plot, [trace], layout(root, {
      hovermode: "closest", bargap: 0.12,
      xaxis: { type: "linear", range: [0, 1], nticks: 6, hoverformat: ".2f" },
      yaxis: { type: "log", ticksuffix: "", dtick: 1, tickformat: "~s" },
      shapes: [{ type: "line", x0: threshold, x1: threshold, yref: "paper", y0: 0, y1: 1, line: { width: 1, dash: "dot", color: muted } }],
      annotations: [{ x: threshold, yref: "paper", y: 1, text: `${threshold} by default `, xanchor: "right", yanchor: "top", showarrow: false, font: { size: 11, color: muted } }],
    }), CONFIG);
  }

  close() {
    clearInterval(this.timer);
    this.stream.close();
    window.Plotly?.purge(this.plot);
  }
}
