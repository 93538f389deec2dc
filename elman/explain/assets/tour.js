// The guided tour: a card that walks through the page, sets it to a fitting place, and marks what it speaks of.

const TARGETS = {
  "row-x": () => document.querySelectorAll(".cell.x"),
  "row-h": () => document.querySelectorAll(`.cell[data-row="l0"], .cell[data-row="l0r"]`),
  "row-c": () => document.querySelectorAll(`.cell[data-row="l0c"], .cell[data-row="l0rc"]`),
  "row-y": () => document.querySelectorAll(".cell.y"),
  ends: () => document.querySelectorAll(".cell.hn"),
  arithmetic: () => [byId("formula-before"), byId("formula")].filter(Boolean),
  gates: () => document.querySelectorAll("#panel .gates"),
  ledger: () => [byId("ledger")],
  influence: () => [byId("influence"), ...document.querySelectorAll(".bar i")],
};

// The stops that fit this run's cell, each with where to look, which is the same in every language, and what is said.
function stopsOf({ say, model }) {
  return WORDS.en.tourSteps
    .map((step, k) => ({ ...step, words: say.tourSteps[k] }))
    .filter(({ only }) => !only || only(model.kind));
}

function openTour(app) {
  app.tour = 0;
  app.beforeTour = document.activeElement;
  drawTour(app, true);
}

function closeTour(app) {
  app.tour = null;
  byId("tour").hidden = true;
  document.body.classList.remove("touring");
  unmark();
  (app.beforeTour || byId("tour-open")).focus();
}

function unmark() {
  for (const node of document.querySelectorAll(".toured")) node.classList.remove("toured");
}

function drawTour(app, moved = false) {
  if (app.tour === null) return;
  const { say, data } = app;
  const lastOutput = data.batched && app.batchFirst ? "output[:, -1]" : "output[-1]";
  const { kind } = app.model;
  const gated = isGated(kind);
  const about = { ...app.model, name: kind.name, gated, canSwap: canSwap(app), batched: data.batched, lastOutput };
  const stops = stopsOf(app);
  const count = stops.length;
  const step = stops[app.tour];
  const { words } = step;
  document.body.classList.add("touring");
  const place = moved ? step.place(about) : null;
  if (place) {
    app.set({ pin: null, unit: 0, gate: null, back: false });
    app.moveTo(...place);
  }
  unmark();
  const targets = [...TARGETS[step.at](app)];
  for (const node of targets) node.classList.add("toured");
  const card = byId("tour");
  card.hidden = false;
  card.classList.toggle("aside-panel", step.at === "arithmetic" || step.at === "gates");
  const go = (by) => () => {
    app.tour += by;
    drawTour(app, true);
  };
  const last = app.tour === count - 1;
  card.replaceChildren(
    el(
      "div",
      { class: "progress" },
      el("span", { text: say.tourCount(app.tour + 1, count) }),
      el("button", {
        type: "button",
        class: "close",
        "aria-label": say.tourEnd,
        text: "×",
        on: { click: () => closeTour(app) },
      }),
    ),
    el("h2", { id: "tour-title", tabindex: "-1", text: words.title }),
    el("p", { "aria-live": "polite", text: words.text(about) }),
    el(
      "div",
      { class: "group" },
      // The step buttons may be out of sight beside the formula, and a phone has no arrow keys.
      step.at === "arithmetic" && about.T > 1
        ? el("button", {
            type: "button",
            id: "tour-step",
            text: say.next,
            on: { click: () => app.moveTo(app.state.row, app.state.t + 1) },
          })
        : null,
      el("button", {
        type: "button",
        id: "tour-back",
        disabled: app.tour === 0 ? "" : null,
        text: say.tourBack,
        on: { click: go(-1) },
      }),
      el("button", {
        type: "button",
        id: "tour-next",
        class: "strong",
        text: last ? say.tourEnd : say.tourNext,
        on: { click: last ? () => closeTour(app) : go(1) },
      }),
    ),
  );
  if (!moved) return;
  byId("tour-next").focus({ preventScroll: true });
  bringIntoSight(targets);
}

// Scrolls the window so that what the card speaks of lies between the ledger above and, on a narrow screen, the card.
function bringIntoSight(targets) {
  const boxes = targets.filter((node) => node.offsetParent !== null).map((node) => node.getBoundingClientRect());
  if (!boxes.length) return;
  const ledger = byId("ledger");
  const sticky = getComputedStyle(ledger).position === "sticky" && !targets.includes(ledger);
  const above = (sticky ? ledger.offsetHeight : 0) + 12;
  const card = byId("tour");
  const below = innerHeight - (card.offsetWidth > innerWidth / 2 ? card.offsetHeight + 24 : 12);
  const top = Math.min(...boxes.map((box) => box.top));
  const height = Math.max(...boxes.map((box) => box.bottom)) - top;
  const spare = Math.max(0, below - above - height) / 2;
  scrollBy({
    top: top - above - spare,
    behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
  });
}
