// Where a page begins: theme, address, token, then the page's own module.

import { Failure, get, post } from "./lib/api.js";
import { h } from "./lib/dom.js";
import { address, header, noticeBar, nothing } from "./lib/parts.js";
import { followTheme } from "./lib/theme.js";

const MODULES = {
  overview: "./overview.js", host: "./host.js", incidents: "./incidents.js", models: "./models.js", system_health: "./system.js",
};

const FOLLOW_MS = 1500;

/** Draw the page into `root`, and again when the address asks for something else on it; returns a function that ends it. */
export function mount(root, data) {
  let app = open(root, data);
  let late = null;
  const stop = () => app.stops.splice(0).forEach((each) => each());
  const moved = () => {
    clearTimeout(late);
    if (pageAt(location.pathname) !== data.page) {
      // the next page is Streamlit's to bring; while its server is away it forgets that somebody asked
      late = setTimeout(() => window.dispatchEvent(new PopStateEvent("popstate")), FOLLOW_MS);
    } else if (location.search.slice(1) !== app.query.toString()) {
      stop();
      document.querySelector(".stMain")?.scrollTo(0, 0);
      app = open(root, data);
    }
  };
  // the navigation's link to the page that is shown (Hosts, on a host's page) would only run it again
  const again = (event) => {
    const link = event.target.closest?.("a[href]");
    if (link && !root.contains(link) && !event.ctrlKey && !event.metaKey && link.origin === location.origin && pageAt(link.pathname) === data.page) go(data.page);
  };
  // the page says itself that the service is gone; Streamlit's own dialog about it would lock it
  const unlock = setInterval(() => document.querySelector("[data-testid='stDialog'] [aria-label='Close']")?.click(), 1000);
  window.addEventListener("popstate", moved);
  document.addEventListener("click", again, true);
  return () => {
    window.removeEventListener("popstate", moved);
    document.removeEventListener("click", again, true);
    clearTimeout(late);
    clearInterval(unlock);
    stop();
  };
}

const pageAt = (path) => path.replaceAll("/", "") || "overview";

function open(root, data) {
  const app = { root, data, stops: [], query: new URLSearchParams(location.search), go, onTheme: () => {} };
  app.remember = (params) => remember(app, params);
  app.catchUp = () => catchUp(app);
  app.onStop = (stop) => app.stops.push(stop);
  app.onStop(() => (app.ended = true));
  app.onStop(followTheme(root, () => app.onTheme()));
  delete root.dataset.empty;
  start(app).catch((error) => app.ended || root.replaceChildren(nothing("This page could not be drawn.", error.message)));
  return app;
}

/** Go to a page as the browser's own Back would: one entry in the history, whose address says all that is shown. */
function go(page, params = {}) {
  const href = address(page, params);
  if (href === location.pathname + location.search) return;
  history.pushState({}, "", href);
  window.dispatchEvent(new PopStateEvent("popstate"));
}

/** Keep a choice in the address, so that a reload, a link and Back show the same. */
function remember(app, params) {
  if (app.ended) return;
  for (const [key, value] of Object.entries(params)) value === null ? app.query.delete(key) : app.query.set(key, value);
  const query = app.query.toString();
  history.replaceState(history.state, "", query ? `${location.pathname}?${query}` : location.pathname);
}

/** After a time without a stream: what is open and what is to be known now; null while the service does not answer. */
async function catchUp(app) {
  const state = await get("/api/state").catch(() => null);
  if (state && !app.ended) app.notices.say(state.notices);
  return state;
}

async function start(app) {
  let state = null;
  while (!state) {
    if (app.ended) return;
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
  if (app.ended) return;
  app.root.replaceChildren();
  app.notices = noticeBar();
  const drawn = page.draw(app);
  app.root.querySelector(".sim-head")?.after(app.notices.node);
  app.notices.say(app.data.page === "system_health" ? [] : app.state.notices);
  await drawn;
}

function sayGone(app, error) {
  const head = header();
  head.say("muted", error.message.replace(/\.$/, ""), "Trying again every second; the page appears as soon as it does.");
  if (app.root.querySelector("h1")?.textContent !== head.node.querySelector("h1").textContent) app.root.replaceChildren(head.node);
  return new Promise((done) => setTimeout(done, 1000));
}

function askForToken(app) {
  return new Promise((done) => {
    const input = h("input", { id: "sim-token", type: "password", name: "token", autocomplete: "current-password", required: true, "aria-describedby": "sim-token-said" });
    const said = h("p", { class: "sim-wrong", role: "alert" });
    const enter = h("button", { class: "sim-button sim-primary" }, "Open");
    const send = async (event) => {
      event.preventDefault();
      enter.disabled = true;
      said.textContent = "";
      try {
        await post("/api/session", { token: input.value.trim() });
        done();
      } catch (error) {
        said.textContent = error.message;
        input.setAttribute("aria-invalid", "true");
        input.select();
      }
      enter.disabled = false;
    };
    app.root.replaceChildren(h("form", { class: "sim-card sim-token", onsubmit: send },
      h("h1", {}, "This monitor asks for its token"),
      h("p", { id: "sim-token-said", class: "sim-muted" }, "The service was started with it, as API_TOKEN. This browser is asked again after 30 days."),
      h("label", { for: "sim-token" }, "Token"), h("div", { class: "sim-token-line" }, input, enter), said));
    input.focus();
  });
}
