// Joins the parts: the state, what is drawn, the language.

function start() {
  const data = JSON.parse(byId("data").textContent);
  const app = {
    data,
    recorded: recordedRun(data),
    head: decodeHead(data.head),
    vectors: data.vocabulary && decode(data.vocabulary.vectors),
    history: [UNCHANGED], // what the learner changed, each time with all that was changed before
    get changes() {
      return app.history.at(-1);
    },
    rows: makeRows(data.sizes, CELLS[data.cell]),
    colours: makeColours(),
    state: {
      row: "l0",
      t: 0,
      b: 0,
      pin: null,
      unit: 0,
      of: "all",
      log: false,
      all: false,
      gate: null, // whose sum is spelled out; null: the one that keeps the state
      back: false, // whether the backward pass is shown
      loss: null, // the steps whose loss is chosen; null: the last that has one
      lang: "en",
    },
    tour: null,
    playing: null,
    get say() {
      return WORDS[app.state.lang];
    },
    // How the layer reads its input's first two axes now.
    get batchFirst() {
      return data.batch_first !== app.changes.swapped;
    },
    token: (t) => translated(app, app.model.token(t, app.state.b)),
    stepName(t) {
      const token = app.token(t);
      return app.say.step(t) + (token ? ` “${visible(token)}”` : "");
    },
    // How the user indexes these tensors, in the order that the batch_first switch says.
    outputIndex(t, k) {
      const unit = k === undefined ? "" : `, ${k}`;
      const b = app.model.sequences[app.state.b];
      if (!data.batched) return `output[${t}${unit}]`;
      return app.batchFirst ? `output[${b}, ${t}${unit}]` : `output[${t}, ${b}${unit}]`;
    },
    stateIndex(name, l, d, u) {
      const unit = u === undefined ? "" : `, ${u}`;
      return data.batched
        ? `${name}[${l * app.model.D + d}, ${app.model.sequences[app.state.b]}${unit}]`
        : `${name}[${l * app.model.D + d}${unit}]`;
    },
    cursor: () => placeAt(app, app.state.row, app.state.t),
    shown: () => (app.state.pin ? placeAt(app, app.state.pin.row, app.state.pin.t) : app.cursor()),
    moveTo(row, t) {
      const kind = app.rows.find((one) => one.key === row).kind;
      const [low, high] = kind === "h" ? [-1, app.model.T] : [0, app.model.T - 1];
      app.set({ row, t: Math.max(low, Math.min(high, t)) });
      revealCursor(app);
    },
    pinAt(row, t, unit = app.state.unit) {
      const again = app.state.pin && app.state.pin.row === row && app.state.pin.t === t;
      app.set({ row, t, unit, pin: again ? null : { row, t } });
      revealCursor(app);
      app.cells.get(`${row}.${t}`)?.focus({ preventScroll: true });
    },
    set(changes) {
      const before = { ...app.state };
      Object.assign(app.state, changes);
      const { b, lang, back, loss, unit } = app.state;
      if (b !== before.b || lang !== before.lang || back !== before.back) buildGrid(app);
      else if (back && (loss !== before.loss || unit !== before.unit)) paintGrid(app);
      if (app.state.lang !== before.lang) drawWords(app);
      draw(app);
      keepAddress(app);
    },
    // Takes a step of change, or with null the last one back, and recomputes and draws everything.
    change(changes, replace = false) {
      const { T, N } = app.model;
      const { swapped, text } = app.changes;
      if (replace) app.history.push({ ...app.history.pop(), ...changes });
      else if (changes) app.history.push({ ...app.changes, ...changes });
      else if (app.history.length > 1) app.history.pop();
      derive(app);
      const other = app.changes.swapped !== swapped || app.changes.text !== text;
      if (other || app.model.T !== T || app.model.N !== N) enter(app);
      else paintGrid(app);
      if (app.changes.swapped !== swapped) drawLedger(app, true);
      else if (other) drawLedger(app);
      draw(app);
      setTimeout(() => keepAddress(app)); // after the drawing: a browser may take its time over it
    },
    undo: () => app.change(null),
    restore() {
      app.history = [app.history[0], ...(isChanged(app.changes) ? [app.changes] : [])];
      if (app.history.length > 1) app.change(null);
    },
  };
  const { x, states } = app.recorded;
  app.scales = { x: largest(x) || 1, h: /_(relu|softplus)$/.test(data.cell) ? largest(states.h) || 1 : 1 };
  for (const name of ["c", "v"]) if (states[name]) app.scales[name] = Math.max(1, largest(states[name]));
  readAddress(app);
  document.documentElement.classList.add("live");
  drawWords(app);
  buildGrid(app);
  draw(app);
  revealCursor(app);
  selfCheck(app);
  listen(app);
}

// What is in a run of another shape: the sequences to choose from, and a place that is there.
function enter(app) {
  const { state, model } = app;
  state.b = Math.min(state.b, model.N - 1);
  state.t = Math.max(-1, Math.min(state.t, model.T - 1));
  state.pin = null;
  drawSequences(app);
  buildGrid(app);
  revealCursor(app);
}

// A word of the user's in the language of the page, where the page has it in both.
function translated(app, word) {
  return app.data.translations?.[app.state.lang]?.[word] ?? word;
}

function draw(app) {
  markGrid(app);
  drawControls(app);
  drawLegend(app);
  drawChanges(app);
  drawTyped(app);
  drawPanel(app);
  drawInfluence(app);
}

function drawWords(app) {
  const { say, data, state } = app;
  document.documentElement.lang = state.lang;
  for (const node of document.querySelectorAll("[data-say]")) node.textContent = say[node.dataset.say];
  const told = (text) => (text ? (text[state.lang] ?? Object.values(text)[0]) : "");
  byId("title").textContent = told(data.title) || data.layer;
  byId("layer").hidden = !told(data.title);
  byId("note").replaceChildren(...linked(app, told(data.note)));
  drawLesson(app, told);
  document.title = byId("title").textContent;
  byId("language").textContent = say.language;
  byId("language").setAttribute("aria-label", say.languageLabel);
  byId("language").lang = state.lang === "en" ? "ko" : "en";
  const [difference, share] = [data.difference, data.tolerance_ratio].map((value) => short(value ?? Infinity));
  const kernels = say.kernels(data.backend, difference, data.difference === 0 ? null : share);
  write(byId("kernels"), [kernels, ...data.notes.map(told)].join(" · "));
  drawSequences(app);
  drawLedger(app);
  drawBeside(app);
  if (app.check) sayCheck(app);
  drawTour(app);
}

function drawLegend(app) {
  const place = app.shown();
  const most = scaleOf(app, place ?? { kind: "y" });
  const box = byId("legend");
  box.replaceChildren(el("span", { text: short(-most) }), el("i"), el("span", { text: short(most) }));
}

function drawControls(app) {
  const { say, state, model } = app;
  const box = byId("steps");
  if (!box.childElementCount) {
    const add = (id, action) => box.append(el("button", { type: "button", id, on: { click: action } }, icon(id)));
    add("first", () => app.moveTo(state.row, 0));
    add("previous", () => app.moveTo(state.row, state.t - 1));
    add("next", () => app.moveTo(state.row, state.t + 1));
    add("last", () => app.moveTo(state.row, app.model.T - 1));
    add("play", () => play(app));
    byId("sequence").addEventListener("change", () => app.set({ b: Number(byId("sequence").value), pin: null }));
  }
  for (const id of ["first", "previous", "next", "last"]) {
    byId(id).setAttribute("aria-label", say[id]);
    byId(id).title = say[id];
  }
  byId("play").replaceChildren(icon(app.playing ? "pause" : "play"), app.playing ? say.pause : say.play);
  byId("sequence").value = String(state.b);
  byId("step-said").textContent = say.stepOf(Math.max(0, Math.min(model.T - 1, state.t)), model.T);
}

function drawSequences(app) {
  const { model, say } = app;
  const options = model.sequences.map((n, b) => el("option", { value: b, text: String(n) }));
  byId("sequence").replaceChildren(...options);
  byId("sequence").value = String(app.state.b);
  byId("sequence-of").textContent = say.sequenceOf(model.sequences.length, model.batch);
  byId("sequence-box").hidden = !app.data.batched;
}

function play(app) {
  if (app.playing) {
    clearInterval(app.playing);
    app.playing = null;
    drawControls(app);
    return;
  }
  if (app.state.t >= app.model.T - 1) app.moveTo(app.state.row, 0);
  app.playing = setInterval(() => {
    if (app.state.t >= app.model.T - 1) play(app);
    else app.moveTo(app.state.row, app.state.t + 1);
  }, 700);
  drawControls(app);
}

function revealCursor(app) {
  const node = app.cells.get(`${app.state.row}.${app.state.t}`) || app.heads[app.state.t];
  const scroller = byId("scroller");
  if (!node) return;
  const labels = document.querySelector("#grid .label").offsetWidth;
  const margin = Math.max(node.offsetWidth, roomForEnds(app)) + 24; // the neighbour stays in sight too
  const left = node.offsetLeft - labels - margin;
  const right = node.offsetLeft + node.offsetWidth + margin;
  if (left < scroller.scrollLeft) scroller.scrollLeft = left;
  else if (right > scroller.scrollLeft + scroller.clientWidth) scroller.scrollLeft = right - scroller.clientWidth;
}

function selfCheck(app) {
  app.check = comparison(compute(app.data, app.recorded), makeModel(app.data, app.recorded));
  sayCheck(app);
}

function sayCheck(app) {
  const { say, check } = app;
  const equal = check.relative <= 1e-5;
  const good = equal && !check.broken;
  const node = byId("check");
  const said = equal && check.broken ? say.checkNone(check.cells, check.broken) : null;
  const large = check.relative < check.difference; // the largest difference is that of a state above 1
  const compared = (good ? say.check : say.checkBad)(check.cells, short(check.relative), large);
  write(node, `${good ? "✓" : "✗"} ${said ?? compared}`);
  node.title = say.checkTitle;
  node.className = good ? "scripted good" : "scripted bad";
  node.dataset.difference = check.relative;
  node.dataset.cells = check.cells;
}

start();
