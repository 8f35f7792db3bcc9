// Where a page begins: theme, address, token, then the page's own module.

import { Failure, get, post } from "./lib/api.js";
import { h } from "./lib/dom.js";
import { noticeBar, nothing } from "./lib/parts.js";
import { followTheme } from "./lib/theme.js";

const MODULES = {
  overview: "./overview.js", host: "./host.js", incidents: "./incidents.js", models: "./models.js", system_health: "./system.js",
};

/** Draw the page into `root`; returns a function that ends it. */
export function mount(root, data, navigate) {
  const stops = [];
  const app = {
    root,
    data,
    query: new URLSearchParams(location.search),
    go: (page, params = {}) => navigate({ page, params, at: Date.now() }),
    remember: (params) => remember(app, params),
    onStop: (stop) => stops.push(stop),
    onTheme: () => {},
  };
  stops.push(followTheme(root, () => app.onTheme()));
  start(app).catch((error) => root.replaceChildren(nothing("This page could not be drawn.", error.message)));
  return () => stops.forEach((stop) => stop());
}

/** Keep a choice in the address, so that a reload and a link show the same. */
function remember(app, params) {
  for (const [key, value] of Object.entries(params)) value === null ? app.query.delete(key) : app.query.set(key, value);
  const query = app.query.toString();
  history.replaceState(history.state, "", query ? `${location.pathname}?${query}` : location.pathname);
}

async function start(app) {
  let state = null;
  while (!state) {
    try {
      state = await get("/api/state");
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      if (error.status === 401) await askForToken(app);
      else await sayGone(app, error);
    }
  }
  app.state = state;
  const page = await import(MODULES[app.data.page]);
  app.root.replaceChildren();
  app.notices = noticeBar();
  const drawn = page.draw(app);
  app.root.querySelector(".sim-head")?.after(app.notices.node);
  app.notices.say(app.data.page === "system_health" ? [] : app.state.notices);
  await drawn;
}

function sayGone(app, error) {
  app.root.replaceChildren(nothing(error.message, "Trying again every second."));
  return new Promise((done) => setTimeout(done, 1000));
}

function askForToken(app) {
  return new Promise((done) => {
    const input = h("input", { type: "password", name: "token", autocomplete: "current-password", "aria-label": "API token" });
    const said = h("p", { class: "sim-muted", role: "alert" });
    const send = async (event) => {
      event.preventDefault();
      try {
        await post("/api/session", { token: input.value });
        done();
      } catch (error) {
        said.textContent = error.message;
      }
    };
    app.root.replaceChildren(h("form", { class: "sim-card sim-token", onsubmit: send },
      h("h2", {}, "This monitor asks for its token"), input, h("button", { class: "sim-button sim-primary" }, "Open"), said));
    input.focus();
  });
}
