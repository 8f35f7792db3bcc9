// All hosts as one table, the troubled ones first.

import { get } from "./lib/api.js";
import { h, show } from "./lib/dom.js";
import { lasted, percent, plural, words } from "./lib/format.js";
import { header, howToSend, link, livePill, simulatedTag, tag } from "./lib/parts.js";
import { Stream } from "./lib/stream.js";

const RANK = { critical: 0, silent: 1, unusual: 2, late: 3, warming: 4, normal: 5 };
const TONE = { critical: "critical", silent: "warning", unusual: "warning", normal: "ok" };
const COLUMNS = [["name", "Host"], ["state", "State"], ["cpu", "CPU"], ["memory", "Memory"], ["disk", "Disk used"], ["disk_io", "Disk I/O"], ["score", "Score"], ["stage", "Learned"], ["last", "Last"]];
const STAGES_MS = 60_000;
const WIDE = new Set(["disk", "disk_io", "stage", "last"]);

export async function drawTable(app) {
  const pill = livePill();
  const head = header(pill.node);
  const body = h("section", { class: "sim-card sim-scroll sim-flush" });
  app.root.append(head.node, body);
  const hosts = new Map(app.state.hosts.map((host) => [host.name, host]));
  const view = { by: "state", down: true };
  const redraw = () => drawRows(app, head, body, hosts, view, () => stream.now(), redraw);
  const take = (delta) => {
    for (const [name, last, values, score, state] of delta.hosts) Object.assign(hosts.get(name) ?? {}, { last, values, score, state });
    if (delta.hosts.some(([name]) => !hosts.has(name))) refetch().then(redraw, () => {});
    redraw();
  };
  const refetch = async () => (await get("/api/v1/hosts")).hosts.forEach((host) => hosts.set(host.name, host));
  const stream = new Stream("topic=overview", { fleet: take, notices: (data) => app.notices.say(data.notices) }, (word, at) => {
    pill.say(word, null);
    if (word !== "gone") return;
    redraw();
    head.gone(at);
  }, () => refetch().then(redraw, () => {}).then(app.catchUp));
  const stages = setInterval(() => refetch().then(redraw, () => {}), STAGES_MS);
  app.onStop(() => {
    clearInterval(stages);
    stream.close();
  });
  redraw();
}

function drawRows(app, head, body, hosts, view, now, redraw) {
  const rows = [...hosts.values()].sort((a, b) => compare(a, b, view.by) || a.name.localeCompare(b.name));
  if (!view.down) rows.reverse();
  const troubled = rows.filter((host) => RANK[host.state] < 3).length;
  head.say(null, rows.length ? plural(rows.length, "host") : "No host yet", troubled ? `${troubled} of them ${troubled === 1 ? "needs" : "need"} attention` : rows.length ? "Nothing unusual on any of them" : "A host appears with its first sample.");
  if (!rows.length) return show(body, "none", () => h("div", { class: "sim-inset" }, howToSend()));
  const key = [view, rows.map((host) => [host.name, host.state, host.stage, host.values.map((v) => v && Math.round(v)), Math.round(host.score * 100)]), Math.round(now() / 5000)];
  return show(body, key, () => h("table", { class: "sim-table" },
    h("thead", {}, h("tr", {}, COLUMNS.map(([by, label]) => heading(by, label, view, redraw)))),
    h("tbody", {}, rows.map((host) => row(app, host, now)))));
}

/** A click sorts by it, the next one turns it round; the arrow says which way it is. */
function heading(by, label, view, redraw) {
  const own = view.by === by;
  const sort = () => {
    Object.assign(view, { by, down: own ? !view.down : true });
    redraw();
  };
  // the first click brings names and stages from their first one on, figures from the largest
  const rises = ["name", "state", "stage"].includes(by) === view.down;
  return h("th", { class: cellClass(by), "aria-sort": own ? (rises ? "ascending" : "descending") : null },
    h("button", { type: "button", "aria-label": label, onclick: sort }, label, own ? h("span", { "aria-hidden": true }, rises ? " ↑" : " ↓") : null));
}

const cellClass = (by) => `${by === "stage" ? "sim-apart" : by === "name" || by === "state" ? "" : "sim-right"} ${WIDE.has(by) ? "sim-wide" : ""}`;

function compare(a, b, by) {
  const index = ["cpu", "memory", "disk", "disk_io"].indexOf(by);
  if (index >= 0) return (b.values[index] ?? -1) - (a.values[index] ?? -1);
  if (by === "state") return RANK[a.state] - RANK[b.state];
  if (by === "stage") return stageRank(a) - stageRank(b);
  if (by === "name") return a.name.localeCompare(b.name);
  return (b[by] ?? 0) - (a[by] ?? 0);
}

const STAGES = ["limits only", "learning the last hour", "forest", "knows its days"];
const stageRank = (host) => STAGES.indexOf(host.stage) + host.stage_progress;
const learned = (host) => {
  const share = percent(host.stage_progress * 100);
  if (host.stage_progress < 1) return host.stage === STAGES[2] ? `${host.stage} · ${share} of its own past` : `${host.stage} · ${share}`;
  return host.stage === STAGES[1] ? "waits for the first training" : host.stage;
};

function row(app, host, now) {
  const cells = host.values.map((value, i) => h("td", { class: `sim-right ${i > 1 ? "sim-wide" : ""}` }, percent(value)));
  return h("tr", { "data-link": true, onclick: (event) => event.target.closest("a") || app.go("host", { host: host.name }) },
    h("td", {}, h("b", {}, link(app, "host", { host: host.name }, host.name)), " ", simulatedTag(host.simulated)),
    h("td", {}, tag(words(host.state), TONE[host.state] ?? "plain")), cells,
    h("td", { class: "sim-right" }, host.score.toFixed(2)),
    h("td", { class: cellClass("stage") + " sim-muted", title: host.learned }, learned(host)),
    h("td", { class: "sim-right sim-wide sim-muted" }, host.last ? `${lasted(now() - host.last)} ago` : "never"));
}
