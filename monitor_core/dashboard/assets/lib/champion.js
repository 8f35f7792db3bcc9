// Champion and challenger: which version speaks and whether it still fits, which one waits and what it would change.

import { post } from "./api.js";
import { h } from "./dom.js";
import { absolute, clock, lasted, moment, number, plural, THIN } from "./format.js";
import { button, card, link, nothing, since, sureButton, tag } from "./parts.js";

const RULE = "A new version is held against the one that speaks, on the same samples. It takes over by itself when it finds no fewer real incidents and would open at most one more, or 1.2 times as many; otherwise it waits here for you.";
const SHOWN = 5;

/** A button that asks once more, and says beside it what it does. */
function choice(text, question, meaning, act, more = {}) {
  const said = h("span", { class: "sim-small" }, meaning);
  const work = async (own) => {
    own.disabled = true;
    try {
      await act();
    } catch (error) {
      own.disabled = false;
      said.textContent = error.message;
    }
  };
  return h("div", { class: "sim-ask" }, sureButton(text, question, work, more), said);
}

const share = (part) => (part === null ? "—" : `${(part * 100).toFixed(part && part < 0.01 ? 2 : 1)}${THIN}%`);

const capital = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;

const fact = (value, text, title) => h("div", { class: "sim-fact", title }, h("strong", {}, value), h("span", { class: "sim-muted" }, text));

const VERDICTS = {
  stable: "It still sees what it was trained on.",
  "drifting: retrain": "It sees other samples than it was trained on. Retrain, then compare.",
};

/** The version that speaks: since when, does it drift, and the way back. */
export function championCard(model, now, changed) {
  const { champion, drift, predecessor } = model;
  if (!champion) return card("Watching", null, nothing("No version yet.", "Limits and the robust z-score watch alone until the first one is trained."));
  const { version } = champion;
  const [word, ...rest] = (drift?.verdict ?? "unknown").split(": ");
  const moved = word === "drifting";
  const sentence = VERDICTS[drift?.verdict] ?? (rest.length ? `${capital(rest.join(": "))}.` : "");
  const index = "Population stability index of the forest's votes, the last day against its training: up to 0.1 is stable, from 0.25 on it sees something else.";
  const back = predecessor === null ? null : choice(`Roll back to ${predecessor}`, `Really go back to ${predecessor}?`,
    `${predecessor} speaks again from the next sample on; ${version} stays in the list.`, () => post("/api/v1/models/rollback").then(changed));
  return card(`Watching: version ${version}`, h("span", {}, "since ", since(champion.since, now), ` · ${champion.how}`),
    h("p", { class: "sim-verdict" }, tag(word, moved ? "warning" : word === "stable" ? "ok" : "plain"), " ", sentence),
    drift && h("div", { class: "sim-facts sim-facts-small" },
      fact(share(drift.hour_share), "unusual, last hour"), fact(share(drift.day_share), "unusual, last day"),
      fact(share(drift.trained_share), "at training"), fact(drift.index === null ? "—" : drift.index.toFixed(2), "stability index", index)),
    drift && h("p", { class: "sim-small" }, `Votes of the forest on ${plural(drift.samples, "sample")} that this version has scored, at most a day of them.`),
    back && h("div", { class: "sim-choices" }, back));
}

/** The version that waits, or how the one that speaks came to; `app` for links to hosts. */
export function challengerCard(app, model, now, changed) {
  const { champion, challenger, compared } = model;
  if (challenger) {
    const { version, comparison, label_sentence: changed_by } = challenger;
    const speaks = champion?.version;
    const choices = h("div", { class: "sim-choices" },
      choice(`Promote ${version}`, `Really watch with ${version}?`, `${version} speaks from the next sample on; ${speaks} stays one click away.`,
        () => post(`/api/v1/models/${version}/promote`).then(changed), { class: "sim-button sim-primary" }),
      choice(`Keep ${speaks}`, `Really dismiss ${version}?`, `${speaks} goes on; ${version} no longer waits but stays in the list.`,
        () => post(`/api/v1/models/${version}/keep`).then(changed)));
    return card(`Would version ${version} be better?`, comparison && spanOf(comparison),
      h("p", { class: "sim-verdict" }, tag("waits", "warning"), " ", sentenceOf(challenger.why)), comparison && body(app, comparison, now, ", now"), comparison?.labels && labelsOf(app, comparison.labels, changed_by, version, now), choices);
  }
  if (compared?.comparison) {
    const { comparison, label_sentence: changed_by } = compared;
    return card(`Version ${comparison.challenger.version} was held against ${comparison.champion.version}`, spanOf(comparison), body(app, comparison, now, ", before"),
      comparison.labels && labelsOf(app, comparison.labels, changed_by, compared.version, now), h("p", { class: "sim-small sim-rule" }, `No version waits. ${RULE}`));
  }
  return card("No version waits", null, h("p", { class: "sim-muted" }, RULE));
}

const sentenceOf = (why) => {
  const text = why.split(": ").slice(1).join(": ") || why;
  return `${capital(text)}.`;
};

const spanOf = (found) => h("span", { title: `${absolute(found.start)} – ${absolute(found.stop)}` },
  `both replayed over the same ${lasted(found.stop - found.start)}: ${number(found.samples)} samples of ${plural(found.hosts, "host")}`);

function body(app, found, now, before) {
  const { champion: one, challenger: two } = found;
  const labels = Object.keys(found.labelled).sort((a, b) => order(a) - order(b));
  const rows = [
    ["incidents opened", one.opened, two.opened, -1], ["per host and day", one.per_host_day, two.per_host_day, -1],
    ...labels.map((label) => [`found, of ${found.labelled[label]} ${WORDS[label] ?? label}`, one.found[label] ?? 0, two.found[label] ?? 0, GOOD[label] ?? 0]),
  ];
  return [
    h("table", { class: "sim-table sim-compare" },
      h("thead", {}, h("tr", {}, h("th"), h("th", { class: "sim-right" }, `version ${one.version}${before}`), h("th", { class: "sim-right" }, `version ${two.version}`), h("th"))),
      h("tbody", {}, rows.map(([text, a, b, good]) => h("tr", {}, h("td", {}, text), h("td", { class: "sim-right" }, String(a)), h("td", { class: "sim-right" }, h("b", {}, String(b))), h("td", { class: "sim-right" }, difference(b - a, good)))))),
    found.more_total || found.less_total
      ? h("div", { class: "sim-flags" }, flags(app, `Would flag more (${found.more_total})`, found.more, found.more_total, now), flags(app, `Would flag less (${found.less_total})`, found.less, found.less_total, now))
      : h("p", { class: "sim-small sim-same" }, "Both flag the same stretches of time."),
  ];
}

/** What the labels that hold change: `sentence`, what the version learned because of them, and the alerts that are no longer sent. */
function labelsOf(app, labels, sentence, version, now) {
  const learned = `Version ${version} learned from ${plural(labels.added, "sample")} that you called expected or new normal`;
  const kept = labels.left_out ? `; ${number(labels.left_out)} in and around what you marked real or never were left out.` : ".";
  return h("div", { class: "sim-by-labels" },
    h("p", {}, h("b", {}, "What your labels change")), h("p", {}, sentence), h("p", { class: "sim-muted" }, learned, kept),
    labels.quieter_total || labels.louder_total ? h("div", { class: "sim-flags" }, flags(app, `No longer told (${labels.quieter_total})`, labels.quieter, labels.quieter_total, now),
      labels.louder_total ? flags(app, `Told because of them (${labels.louder_total})`, labels.louder, labels.louder_total, now) : null) : null);
}

const WORDS = { unlabelled: "that nobody has labelled", real: "labelled real", expected: "labelled expected", new_normal: "labelled new normal", never: "labelled never" };
const GOOD = { real: 1, expected: -1, new_normal: -1, never: -1 };
const order = (label) => Object.keys(WORDS).indexOf(label === "unlabelled" ? "never" : label) + (label === "unlabelled" ? 1 : 0);

function difference(by, good) {
  if (Math.abs(by) < 1e-9) return h("span", { class: "sim-muted" }, "=");
  const text = `${by > 0 ? "+" : "−"}${Number(Math.abs(by).toFixed(2))}`;
  const tone = by * good > 0 ? "var(--sim-ok)" : by * good < 0 ? "var(--sim-warning-text)" : "var(--sim-muted)";
  return h("span", { style: { color: tone } }, text);
}

function flags(app, title, list, total, now) {
  if (!total) return h("div", {}, h("p", { class: "sim-small" }, title));
  const labels = Object.fromEntries(app.state.metrics.map(({ key, label }) => [key, label]));
  const line = (item) => h("li", {}, h("b", {}, link(app, "host", { host: item.host, from: item.start, to: item.stop }, item.host)),
    h("span", { title: absolute(item.start) }, `${moment(item.start, now)}–${clock(item.stop)}`), h("span", {}, labels[item.metric] ?? item.metric), h("span", { class: "sim-muted", title: "peak score" }, item.peak_score.toFixed(2)));
  const rest = list.slice(SHOWN);
  return h("div", {}, h("p", { class: "sim-small" }, title), h("ul", {}, list.slice(0, SHOWN).map(line)),
    rest.length ? h("details", {}, h("summary", { class: "sim-small" }, `${rest.length} more${total > list.length ? ` of ${total - SHOWN}` : ""}`), h("ul", {}, rest.map(line))) : null);
}

const HOW = { "by itself": "took over by itself", "by hand": "chosen by hand", "rolled back": "rolled back to" };

/** Who spoke since when. */
export function historyCard(model, now) {
  const lines = model.history;
  return card("Who watched when", null, lines.length ? h("ul", { class: "sim-spoken" }, lines.map((entry, i) => h("li", {},
    h("b", {}, `version ${entry.version}`), h("span", { class: "sim-muted" }, HOW[entry.how] ?? entry.how), h("span", {}, since(entry.since, now), i ? ` – ${moment(lines[i - 1].since, now)}` : " – now")))) : nothing("No version has watched yet."));
}

/** Spans that no training learns from; one may be added and removed. */
export function excludedCard(app, model, now, changed) {
  const said = h("span", { class: "sim-small", role: "status" });
  const host = h("select", { "aria-label": "Host" }, h("option", { value: "" }, "all hosts"), app.state.hosts.map(({ name }) => h("option", { value: name }, name)));
  const time = (label) => h("input", { type: "datetime-local", "aria-label": label, required: true });
  const [start, stop] = [time("From"), time("To")];
  const why = h("input", { type: "text", "aria-label": "Why", placeholder: "why, e.g. load test", maxlength: 200, required: true });
  const send = async (event) => {
    event.preventDefault();
    try {
      await post("/api/v1/models/excluded", { host: host.value || null, start: +new Date(start.value), stop: +new Date(stop.value), why: why.value });
      await changed();
    } catch (error) {
      said.textContent = error.message;
    }
  };
  const remove = (item) => button("Learn from it again", async (event) => {
    event.currentTarget.disabled = true;
    await post(`/api/v1/models/excluded/${item.id}/remove`).catch((error) => (said.textContent = error.message));
    await changed();
  });
  return card("Not learned from", "besides incidents, which never are",
    model.excluded.length ? h("ul", { class: "sim-spoken" }, model.excluded.map((item) => h("li", {}, h("b", {}, item.host ?? "all hosts"),
      h("span", { class: "sim-muted" }, item.why), h("span", { title: absolute(item.start) }, `${moment(item.start, now)} – ${moment(item.stop, now)}`), remove(item)))) : h("p", { class: "sim-muted" }, "Nothing is excluded."),
    h("form", { class: "sim-exclude", onsubmit: send }, host, start, stop, why, h("button", { class: "sim-button" }, "Exclude")), said);
}
