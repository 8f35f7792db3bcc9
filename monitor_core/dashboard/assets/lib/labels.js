// Labels: what an incident really was. The four choices, the chip, what each changes, and how to take it back.

import { get, put, remove } from "./api.js";
import { h } from "./dom.js";
import { plural } from "./format.js";
import { button, card, link, since, tag } from "./parts.js";

export const LABELS = {
  real: ["Real", "It was a fault. Nothing is learned from it."],
  expected: ["Expected now and then", "Shown, but told to nobody about this time of day."],
  new_normal: ["New normal", "What it shows since is expected from now on."],
  never: ["Never tell me", "Opens no incident on this host any more. Limits still do."],
};
const NO_LABEL = "none";

export const labelOptions = { "": "Any label", [NO_LABEL]: "Not labelled", ...Object.fromEntries(Object.entries(LABELS).map(([key, [name]]) => [key, name])) };

/** The chips of an incident: its label, and that it is expected now because of another one's. */
export const labelTags = (incident) => [
  incident.label ? tag(LABELS[incident.label][0], "label") : null,
  incident.expected_now ? tag("expected now") : null,
];

/** Choose a label, or see what it changes; `labelled` is the record that holds (null: none), `changed` hears of it. */
export function labelCard(app, incident, labelled, now, changed) {
  const said = h("p", { class: "sim-small", role: "alert" });
  const node = h("section", { class: "sim-card sim-label", "data-label-of": incident.id, "aria-label": `Label of incident ${incident.id}` });
  const act = async (work) => {
    const buttons = node.querySelectorAll("button");
    buttons.forEach((own) => (own.disabled = true));
    said.textContent = "";
    try {
      draw((await work()).labelled);
      await changed();
      // the page may have drawn the card anew: whoever works with the keyboard goes on where they were
      app.root.querySelector(`[data-label-of="${incident.id}"] button`)?.focus();
    } catch (error) {
      buttons.forEach((own) => (own.disabled = false));
      said.textContent = error.message;
    }
  };
  const path = `/api/v1/incidents/${incident.id}/label`;
  const set = (label, note) => act(() => put(path, { label, note: note || null }));
  const draw = (record, choosing = !record) => {
    node.replaceChildren(...(choosing ? choices(record, set, () => turn(record)) : holds(record, now, set, () => act(() => remove(path)), () => turn(record, true))), said);
    if (choosing) get(`${path}/preview`).then((found) => foresee(node, found), () => {});
  };
  const turn = (...view) => {
    draw(...view);
    (node.querySelector("[aria-pressed='true']") ?? node.querySelector("button")).focus();
  };
  draw(labelled);
  return node;
}

/** Below each choice what it would do, as far as that can be counted. */
function foresee(node, found) {
  for (const [label, { sentence }] of Object.entries(found)) node.querySelector(`[data-label="${label}"] .sim-foreseen`)?.replaceChildren(sentence);
}

function choices(record, set, leave) {
  const list = Object.entries(LABELS).map(([label, [name, meaning]]) =>
    h("button", { type: "button", class: "sim-choice", "data-label": label, "aria-pressed": String(record?.label === label), onclick: () => set(label, record?.note) },
      h("span", {}, h("b", {}, name), h("span", { class: "sim-small" }, meaning), h("span", { class: "sim-small sim-foreseen" }))));
  return [
    h("div", { class: "sim-card-head" }, h("h2", {}, "What was it?"), record ? button("Keep the label", leave) : h("span", { class: "sim-aside" }, "can be taken back")),
    h("div", { class: "sim-choices", role: "group", "aria-label": "Label" }, list),
  ];
}

function holds(record, now, set, takeBack, change) {
  const input = h("input", { type: "text", placeholder: "Why, for the others", value: record.note ?? "", "aria-label": "Note of the label", maxlength: 2000, onkeydown: (event) => event.key === "Enter" && set(record.label, input.value) });
  return [
    h("div", { class: "sim-card-head" }, h("h2", {}, "What it was"), h("span", { class: "sim-aside" }, "labelled ", since(record.at, now))),
    h("p", { role: "status" }, tag(LABELS[record.label][0], "label")),
    h("p", { class: "sim-muted sim-effect" }, record.effect),
    record.hindsight.sentence ? h("p", { class: "sim-foreseen" }, record.hindsight.sentence) : null,
    h("div", { class: "sim-actions" }, button("Take back", takeBack), button("Change", change)),
    h("div", { class: "sim-note" }, input, button("Keep note", () => set(record.label, input.value))),
  ];
}

/** How many have each label (a click shows them), and what is kept quiet because of one. */
export function tallyCard(app, { counts, labels }, chosen, choose, changed) {
  const marks = Object.entries(LABELS).map(([label, [name]]) =>
    h("button", { type: "button", class: "sim-count", "aria-pressed": String(chosen === label), onclick: () => choose(chosen === label ? "" : label) },
      h("strong", {}, String(counts[label])), h("span", { class: "sim-small" }, name)));
  return card("Labels", plural(labels.length, "incident"), h("div", { class: "sim-counts" }, marks), keptQuiet(app, labels, changed));
}

/** What opens no incident any more, each with a way back. */
export function keptQuiet(app, labels, changed) {
  const rules = labels.filter((record) => record.label === "never" && record.culprits.length);
  return rules.map((record) => {
    const act = async (event) => {
      const own = event.currentTarget;
      own.disabled = true;
      await remove(`/api/v1/incidents/${record.incident}/label`).then(changed, (error) => Object.assign(own, { disabled: false, textContent: "Try again", title: error.message }));
    };
    return h("div", { class: "sim-rule" },
      h("div", {}, h("p", {}, record.effect),
        h("p", { class: "sim-small" }, record.note ? `${record.note} · ` : null, link(app, "incidents", { incident: record.incident, range: "30d" }, `incident ${record.incident}`))),
      button("Take back", act, { "aria-label": `Take back: ${record.effect}` }));
  });
}
