// What the page listens to: buttons, keys, the window, paper.

function listen(app) {
  const { state } = app;
  byId("language").addEventListener("click", () => app.set({ lang: state.lang === "en" ? "ko" : "en" }));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.querySelector(".cell[tabindex='0']")?.focus();
  });
  byId("tour-open").addEventListener("click", () => openTour(app));
  byId("batch-first").addEventListener("click", () => app.change(swapping(app)));
  const height = () => document.documentElement.style.setProperty("--ledger", `${byId("ledger").offsetHeight}px`);
  new ResizeObserver(height).observe(byId("ledger")); // which stays in sight above the panel
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    buildGrid(app);
    markGrid(app);
    drawInfluence(app);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    app.colours = makeColours();
    buildGrid(app);
    draw(app);
  });
  byId("backward").addEventListener("click", () => app.set({ back: !state.back }));
  listenForChanges(app);
  listenForText(app);
  matchMedia("print").addEventListener("change", () => fitPaper(app));
  addEventListener("beforeprint", () => fitPaper(app));
  document.addEventListener("keydown", (event) => onKey(app, event));
}

// A sheet is as wide as it is: a grid that is wider is drawn smaller, so that h_n is on it, too.
const PAPER = 980; // CSS pixels of A4 across, without the margins of sheet and page

function fitPaper(app) {
  byId("grid").style.setProperty("--print-zoom", Math.min(1, PAPER / byId("grid").scrollWidth));
  if (!matchMedia("(prefers-color-scheme: dark)").matches) return;
  app.colours = makeColours();
  paintGrid(app);
  drawPanel(app);
}

function onKey(app, event) {
  const { state, rows, model } = app;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("select, input, textarea")) return;
  const row = rows.findIndex((one) => one.key === state.row);
  const actions = {
    ArrowLeft: () => app.moveTo(state.row, state.t - 1),
    ArrowRight: () => app.moveTo(state.row, state.t + 1),
    ArrowUp: () => app.moveTo(rows[Math.max(0, row - 1)].key, state.t),
    ArrowDown: () => app.moveTo(rows[Math.min(rows.length - 1, row + 1)].key, state.t),
    Home: () => app.moveTo(state.row, 0),
    End: () => app.moveTo(state.row, model.T - 1),
    Escape: () => (app.tour !== null ? closeTour(app) : app.set({ pin: null })),
  };
  if (isUndo(event)) app.undo();
  if (!(event.key in actions)) return;
  const inGrid = byId("grid").contains(event.target);
  // Up and down scroll the page as ever, unless the grid has the focus.
  if ((event.key === "ArrowUp" || event.key === "ArrowDown" || event.key === "Home" || event.key === "End") && !inGrid)
    return;
  event.preventDefault();
  actions[event.key]();
  if (inGrid) app.cells.get(`${state.row}.${state.t}`)?.focus({ preventScroll: true });
}
