// Every host as a cell: red × and amber ! where somebody should look, hatched while warming up, dashed when late.

import { h, setText } from "./dom.js";
import { percent, words } from "./format.js";
import { cross, segmented } from "./parts.js";

const MODES = { unusual: "unusual", cpu: "CPU", memory: "memory" };
const LOUD = new Set(["critical", "unusual", "silent"]);

export class HostMap {
  constructor(app) {
    this.app = app;
    this.mode = MODES[app.query.get("colour")] ? app.query.get("colour") : "unusual";
    this.cells = new Map();
    this.grid = h("div", { class: "sim-map", role: "list" });
    this.count = h("p", { class: "sim-small" });
    const picker = segmented("Colour by", MODES, this.mode, (mode) => {
      this.mode = mode;
      app.remember({ colour: mode });
      this.hosts.forEach((host) => this.paint(host));
    });
    this.node = h("section", { class: "sim-card sim-hosts" }, h("div", { class: "sim-card-head" }, h("h2", {}, "Hosts"), picker), this.grid, this.count);
  }

  draw(hosts) {
    this.hosts = new Map(hosts.map((host) => [host.name, host]));
    const names = hosts.map((host) => host.name);
    if (names.join() !== [...this.cells.keys()].join()) {
      this.cells = new Map(hosts.map((host) => [host.name, this.cell(host)]));
      this.grid.replaceChildren(...this.cells.values());
      const columns = Math.min(24, Math.max(3, Math.ceil(Math.sqrt(hosts.length * 1.15))));
      // names that would be cut to their first letters say nothing
      this.named = columns <= 5;
      this.grid.toggleAttribute("data-small", !this.named);
      this.grid.style.setProperty("--sim-columns", columns);
      this.grid.style.gap = columns > 12 ? "3px" : "";
    }
    this.update(this.hosts);
  }

  update(hosts) {
    this.hosts = hosts;
    hosts.forEach((host) => this.paint(host));
    this.say();
  }

  cell(host) {
    const open = () => this.app.go("host", { host: host.name });
    return h("button", { type: "button", class: "sim-cell", "data-simulated": host.simulated, onclick: open });
  }

  paint(host) {
    const cell = this.cells.get(host.name);
    if (!cell) return;
    const load = this.mode === "cpu" ? host.values[0] : this.mode === "memory" ? host.values[1] : host.score * 100;
    const strength = 12 + Math.round((Math.min(100, load ?? 0) / 100) * 50);
    const key = `${host.state}${strength}${this.mode}`;
    if (cell.dataset.key === key) return;
    cell.dataset.key = key;
    cell.dataset.state = host.state;
    cell.dataset.mode = this.mode;
    cell.style.setProperty("--sim-strength", `${strength}%`);
    const glyph = host.state === "critical" ? cross() : host.state === "silent" ? "?" : host.state === "unusual" ? "!" : "";
    cell.replaceChildren(glyph, this.named ? h("span", {}, host.name) : "");
    const text = `${host.name}${host.simulated ? " (simulated)" : ""}: ${words(host.state)}, CPU ${percent(host.values[0])}, memory ${percent(host.values[1])}`;
    cell.title = text;
    cell.setAttribute("aria-label", text);
  }

  say() {
    const counts = {};
    this.hosts.forEach((host) => (counts[host.state] = (counts[host.state] ?? 0) + 1));
    const unusual = [...this.hosts.values()].filter((host) => LOUD.has(host.state)).length;
    const parts = [`${counts.normal ?? 0} normal`, `${unusual} unusual`, counts.warming && `${counts.warming} warming up`, counts.late && `${counts.late} late`];
    setText(this.count, parts.filter(Boolean).join(" · "));
  }
}
