// The unrolled grid: a column a step, a row a layer and direction, the input below, the output above.

const NUMBERS = 4; // a cell of up to four units shows them as numbers
const LEAST = 6; // letters across that a tile needs: -0.015

// How many letters a tile is wide, of so many side by side in a cell; its border and padding are up to 10 pixels.
const lettersIn = (width, tiles) => Math.floor(((width - 10 - 3 * (tiles - 1)) / tiles - 1) / 7.55);

// What a cell shows: its numbers, or in the backward pass their gradient.
const shownAt = (app, place) => (app.state.back ? gradientAt(app, place) : place.vector);

const scaleOf = (app, place) =>
  app.state.back ? currentGradients(app).scale : app.scales[place.kind === "x" ? "x" : (place.state ?? "h")];

const halvesOf = ({ model }, { kind }, vector) =>
  kind === "y" && model.D === 2 ? [vector.subarray(0, model.H), vector.subarray(model.H)] : [vector];

// Draws a cell's numbers again; a picture stays the same element, since making hundreds anew takes the eye's patience.
function paintBody(app, node, place) {
  const pictures = node.querySelectorAll("canvas");
  if (!pictures.length) {
    node.querySelectorAll(".tiles").forEach((old) => old.remove());
    node.append(...cellBody(app, place));
    return;
  }
  halvesOf(app, place, shownAt(app, place)).forEach((half, k) => paintPicture(pictures[k], half, app.colours, scaleOf(app, place)));
}

function cellBody(app, place) {
  const { colours } = app;
  const scale = scaleOf(app, place);
  const halves = halvesOf(app, place, shownAt(app, place));
  const letters = lettersIn(app.width, halves.length);
  return halves.map((half) => {
    if (half.length > NUMBERS || lettersIn(app.width, 1) < LEAST) return picture(half, colours, scale);
    const tiles = el("span", { class: "tiles", "aria-hidden": "true" });
    for (const value of half) {
      const text = app.state.back ? tiny(value) : Math.abs(value) < 100 ? brief(value) : short(value);
      const shown = fitted(text, value, letters);
      const tile = el("span", { class: "tile", text: shown });
      if (shown.length > letters) tile.style.setProperty("--fit", letters / shown.length);
      paint(tile, colours, value, scale);
      tiles.append(tile);
    }
    return tiles;
  });
}

function brief(value) {
  if (Number.isInteger(value)) return String(value === 0 ? 0 : value);
  const text = value.toFixed(2);
  return text === "-0.00" ? "0.00" : text;
}

// Draws the numbers of every cell again, where the cells themselves stay.
function paintGrid(app) {
  for (const [id, node] of app.cells) {
    const [key, col] = id.split(".");
    const place = placeAt(app, key, Number(col));
    paintBody(app, node, place);
    markMoved(app, node, place);
    markFlow(app, node, place);
    node.setAttribute("aria-label", spoken(app, place));
  }
  app.losses?.forEach((button, t) => fillLoss(app, button, t));
  app.guesses?.forEach((box, t) => fillGuesses(app, box, t));
  if (app.state.back) drawWires(app);
}

function markMoved(app, node, place) {
  const share = movedShare(app, place);
  node.classList.toggle("moved", share > 0);
  node.classList.toggle("edited", isEdited(app, place));
  node.style.setProperty("--moved", share);
}

function fillGuesses(app, box, t) {
  box.replaceChildren(
    ...expectedAt(app, t)
      .slice(0, 3)
      .map(({ token, probability }) =>
        el(
          "span",
          {},
          el("b", { text: visible(translated(app, token)) }),
          el("small", { text: `${Math.round(100 * probability)}%` }),
        ),
      ),
  );
}

// The width that the outcomes need beside their percentages.
function roomForWords(app) {
  const names = app.head?.names ?? [];
  const widths = names.map((name) => [...translated(app, name)].reduce((sum, c) => sum + (c > "\u1100" ? 14 : 8), 0));
  return Math.min(110, Math.max(0, ...widths) + 36) * (widths.some((width) => width > 16) ? 1 : 0);
}

// The width that the names of the first and last states need: h_0[0, 0].
const roomForEnds = (app) => Math.ceil(6.8 * app.stateIndex("h_0", app.model.L - 1, app.model.D - 1).length) + 6;

function buildGrid(app) {
  const { model, rows, say } = app;
  const { T, H, D } = model;
  const grid = byId("grid");
  grid.replaceChildren();
  app.cells = new Map();
  const b = app.state.b;
  const numbers = H <= NUMBERS;
  const least = Math.max(numbers ? (D === 2 ? 96 : 58) : T > 100 ? 30 : T > 32 ? 38 : 42, roomForWords(app));
  const most = Math.max(least, numbers ? (D === 2 ? 128 : 104) : 72);
  const between = T > 100 ? 10 : T > 32 ? 12 : T > 8 || innerWidth <= 640 ? 16 : 22;
  const ends = roomForEnds(app) - between / 2; // a name may reach a little into the gaps beside it
  const across = byId("scroller").clientWidth - 100 - (T + 2) * between;
  const room = Math.min(across / (T + 2), (across - 2 * ends) / T);
  const width = Math.floor(Math.max(least, Math.min(most, room)));
  grid.style.setProperty("--cw", `${width}px`);
  grid.style.setProperty("--ew", `${Math.max(width, ends)}px`);
  grid.style.setProperty("--gx", `${between}px`);
  grid.classList.toggle("tight", width < 48);
  app.width = width;
  app.tight = width + between < 62;
  grid.style.setProperty("--steps", T);
  grid.setAttribute("aria-label", say.grid);
  grid.classList.toggle("numbers", numbers);
  grid.classList.toggle("back", app.state.back);

  const predictions = expects(app);
  const line = { header: 1, loss: app.state.back ? 2 : null };
  line.predicted = predictions ? 2 + (app.state.back ? 1 : 0) : null;
  const first = 2 + (app.state.back ? 1 : 0) + (predictions ? 1 : 0);
  rows.forEach((row, k) => (line[row.key] = first + k));
  line.influence = first + rows.length;
  const put = (node, row, col, span = 1) => {
    node.style.gridRow = `${row} / span ${span}`;
    node.style.gridColumn = String(col + 3);
    grid.append(node);
    return node;
  };
  const label = (row, text, small) => {
    const node = el("div", { class: "label", role: "rowheader" }, el("span", { text }), small ? el("small", { text: small }) : null);
    node.style.gridRow = row;
    node.style.gridColumn = "1";
    grid.append(node);
    return node;
  };

  app.band = put(el("div", { class: "band", "aria-hidden": "true" }), 1, 0, line.influence);
  for (let l = 0; l < model.L; l++) {
    const frame = el("div", { class: "frame", "aria-hidden": "true" });
    frame.style.gridColumn = "2 / -1";
    frame.style.gridRow = `${line[rowKey(l, D - 1, "h")]} / span ${D * model.kind.states.length}`;
    grid.append(frame);
  }
  app.wires = svg("svg", { class: "wires", "aria-hidden": "true" });
  grid.append(app.wires);

  const curtain = el("div", { class: "curtain", "aria-hidden": "true" });
  curtain.style.gridColumn = "1";
  curtain.style.gridRow = `1 / span ${line.influence}`;
  grid.append(curtain);
  const head = el("div", { role: "row", class: "row" }, label(line.header, say.step("").trim()));
  head.firstChild.classList.add("top");
  grid.append(head);
  app.heads = [];
  for (let t = 0; t < T; t++) {
    const token = app.token(t);
    const button = el(
      "div",
      {
        role: "columnheader",
        class: "head",
        "aria-label": app.stepName(t),
        on: { click: () => app.moveTo(app.state.row, t) },
      },
      token !== null ? el("b", { text: visible(token), title: token }) : null,
      el("span", { text: String(t) }),
    );
    if (!model.there(t, b)) button.classList.add("past");
    button.style.gridRow = "1";
    button.style.gridColumn = String(t + 3);
    head.append(button);
    app.heads.push(button);
  }
  app.losses = null;
  if (app.state.back) {
    app.losses = Array.from({ length: T }, (_, t) => {
      const button = el("button", {
        type: "button",
        role: "gridcell",
        class: "loss",
        on: { click: () => chooseLoss(app, t) },
      });
      fillLoss(app, button, t);
      return put(button, line.loss, t);
    });
    grid.append(el("div", { role: "row", class: "row" }, label(line.loss, say.loss), ...app.losses));
  }
  if (predictions) {
    const row = el("div", { role: "row", class: "row" }, label(line.predicted, say.predicted));
    grid.append(row);
    app.guesses = Array.from({ length: T }, (_, t) => {
      const box = put(el("div", { class: "guesses", role: "gridcell", title: say.predictedRow }), line.predicted, t);
      fillGuesses(app, box, t);
      row.append(box);
      return box;
    });
  } else app.guesses = null;
  for (const row of rows) {
    const name = row.kind === "y" ? say.output : row.kind === "x" ? say.input : say.layer(row.l);
    const way = [
      row.kind === "h" && D === 2 ? (row.d ? `← ${say.reverse}` : `→ ${say.forward}`) : null,
      row.kind === "h" && model.kind.states.length > 1 ? row.state : null,
    ];
    const group = el("div", { role: "row", class: `row row-${row.kind}` }, label(line[row.key], name, way.filter(Boolean).join(" · ")));
    grid.append(group);
    for (let col = -1; col <= T; col++) {
      const place = placeAt(app, row.key, col);
      if (place === null) {
        if (col >= 0 && col < T) group.append(gap(app, line[row.key], col));
        continue;
      }
      const button = el("button", {
        type: "button",
        role: "gridcell",
        class: `cell ${place.kind}`,
        tabindex: "-1",
        "aria-label": spoken(app, place),
        "data-row": row.key,
        "data-col": col,
        on: { click: () => app.pinAt(row.key, col) },
      });
      if (place.kind === "h0" || place.kind === "hn") {
        button.append(
          el("span", {
            class: "end",
            "aria-hidden": "true",
            text: app.stateIndex(`${row.state}_${place.kind === "h0" ? "0" : "n"}`, row.l, row.d),
          }),
        );
      }
      button.append(...cellBody(app, place));
      markMoved(app, button, place);
      markFlow(app, button, place);
      button.style.gridRow = line[row.key];
      button.style.gridColumn = String(col + 3);
      group.append(button);
      app.cells.set(`${row.key}.${col}`, button);
    }
  }
  app.bars = Array.from({ length: T }, (_, t) =>
    put(el("div", { class: "bar", role: "gridcell" }, el("i"), el("small")), line.influence, t),
  );
  grid.append(el("div", { role: "row", class: "row" }, label(line.influence, say.influence), ...app.bars));
  requestAnimationFrame(() => drawWires(app));
}

function gap(app, line, col) {
  const node = el("div", {
    role: "gridcell",
    class: "cell past",
    title: app.say.nothing,
    "aria-label": app.say.nothing,
  });
  node.style.gridRow = line;
  node.style.gridColumn = String(col + 3);
  return node;
}

// The one cell that Tab reaches: that of the cursor, or past the end of a sequence the nearest of its row, if it has one.
function tabStop({ cells, state }, cursor) {
  if (cells.has(cursor)) return cursor;
  const away = (id) => Math.abs(Number(id.split(".")[1]) - state.t);
  const row = [...cells.keys()].filter((id) => id.startsWith(`${state.row}.`));
  return row.sort((one, other) => away(one) - away(other))[0] ?? cells.keys().next().value;
}

// Marks the column, the cursor, the pinned cell, what it was made from, and its twins.
function markGrid(app) {
  const { state, cells, model } = app;
  const shown = app.shown();
  const twins = new Set(shown ? twinsOf(app, shown).map(({ key, col }) => `${key}.${col}`) : []);
  const made = new Set(shown ? originsOf(app, shown) : []);
  const cursor = `${state.row}.${state.t}`;
  const stop = tabStop(app, cursor);
  const pinned = state.pin && `${state.pin.row}.${state.pin.t}`;
  for (const [id, node] of cells) {
    node.classList.toggle("cursor", id === cursor);
    node.classList.toggle("pinned", id === pinned);
    node.classList.toggle("twin", twins.has(id));
    node.classList.toggle("origin", made.has(id));
    node.tabIndex = id === stop ? 0 : -1;
    node.setAttribute("aria-selected", String(id === (pinned || cursor)));
  }
  app.heads.forEach((node, t) => {
    node.classList.toggle("now", t === state.t);
    if (t === state.t) node.setAttribute("aria-current", "step");
    else node.removeAttribute("aria-current");
  });
  app.band.style.gridColumn = String(Math.max(-1, Math.min(model.T, state.t)) + 3);
  drawLinks(app);
}
