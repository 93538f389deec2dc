// The unrolled grid: a column a step, a row a layer and direction, the input below, the output above.

const NUMBERS = 4; // a cell of up to four units shows them as numbers

// The rows from top to bottom.
function makeRows(model) {
  const rows = [{ key: "y", kind: "y" }];
  for (let l = model.L - 1; l >= 0; l--) {
    for (let d = model.D - 1; d >= 0; d--) rows.push({ key: `l${l}${d ? "r" : ""}`, kind: "h", l, d });
  }
  rows.push({ key: "x", kind: "x" });
  return rows;
}

// What stands at a row and a column; column -1 and T are the ends, which hold h_0 and h_n. Null where nothing does.
function placeAt(app, key, col) {
  const row = app.rows.find((one) => one.key === key);
  const { model } = app;
  const b = app.state.b;
  if (col >= 0 && col < model.T) {
    if (!model.there(col, b)) return null;
    const vector =
      row.kind === "x" ? model.x(col, b) : row.kind === "y" ? model.y(col, b) : model.h(row.l, row.d, col, b);
    return { ...row, col, t: col, vector };
  }
  if (row.kind !== "h" || col < -1 || col > model.T) return null;
  const first = (col === -1) === (row.d === 0);
  const vector = first ? model.h0(row.l, row.d, b) : model.hn(row.l, row.d, b);
  return { ...row, kind: first ? "h0" : "hn", col, t: first ? null : model.last(row.d, b), vector };
}

// The hidden state that a place's number comes from, for its unit k; null for inputs and h_0.
function sourceOf(app, place, k) {
  const { H, L } = app.model;
  if (place.kind === "h") return { l: place.l, d: place.d, t: place.t, u: k };
  if (place.kind === "y") return { l: L - 1, d: Math.floor(k / H), t: place.t, u: k % H };
  if (place.kind === "hn" && place.t >= 0) return { l: place.l, d: place.d, t: place.t, u: k };
  return null;
}

// Where else the numbers of a hidden state stand: cells of the grid, by row and column.
function twinsOf(app, place) {
  const { model, state } = app;
  const { L, D, T } = model;
  const found = [];
  const add = (key, col) => {
    if (!(key === place.key && col === place.col)) found.push({ key, col });
  };
  const states = place.kind === "y" ? Array.from({ length: D }, (_, d) => ({ l: L - 1, d, t: place.t })) : [place];
  if (place.kind === "x" || place.kind === "h0" || place.t < 0) return found;
  for (const { l, d, t } of states) {
    add(`l${l}${d ? "r" : ""}`, t);
    if (l === L - 1) add("y", t);
    if (t === model.last(d, state.b)) add(`l${l}${d ? "r" : ""}`, d ? -1 : T);
  }
  return found;
}

function nameOf(app, place) {
  const say = app.say;
  const { D } = app.model;
  const at = app.stepName(place.t);
  if (place.kind === "x") return `x[${place.t}] · ${say.input} · ${at}`;
  if (place.kind === "y") return `${app.outputIndex(place.t)} · ${at}`;
  const way = say.way(place.l, place.d, D);
  if (place.kind === "h0") return `${app.stateIndex("h_0", place.l, place.d)} · ${way}`;
  if (place.kind === "hn") return `${app.stateIndex("h_n", place.l, place.d)} · ${way}`;
  return `h[${place.t}] · ${way} · ${at}`;
}

function spoken(app, place) {
  const { vector } = place;
  const values =
    vector.length <= NUMBERS
      ? Array.from(vector, rounded).join(", ")
      : `${app.say.values(vector.length)}, ${app.say.range(rounded(Math.min(...vector)), rounded(Math.max(...vector)))}`;
  return `${nameOf(app, place)}: ${values}`;
}

function cellBody(app, place) {
  const { colours, model } = app;
  const scale = place.kind === "x" ? app.scales.x : app.scales.h;
  const halves =
    place.kind === "y" && model.D === 2
      ? [place.vector.subarray(0, model.H), place.vector.subarray(model.H)]
      : [place.vector];
  return halves.map((half) => {
    if (half.length > NUMBERS || !app.roomy) return picture(half, colours, scale);
    const tiles = el("span", { class: "tiles", "aria-hidden": "true" });
    for (const value of half) {
      const tile = el("span", {
        class: "tile",
        text: Number.isFinite(value) && Math.abs(value) < 100 ? brief(value) : short(value),
      });
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

function buildGrid(app) {
  const { model, rows, say, data } = app;
  const { T, H, D } = model;
  const grid = byId("grid");
  grid.replaceChildren();
  app.cells = new Map();
  const b = app.state.b;
  const numbers = H <= NUMBERS;
  const least = numbers ? (D === 2 ? 96 : 58) : T > 100 ? 30 : T > 32 ? 38 : 42;
  const most = numbers ? (D === 2 ? 128 : 104) : 72;
  const between = T > 100 ? 10 : T > 32 ? 12 : T > 8 || innerWidth <= 640 ? 16 : 22;
  const room = (byId("scroller").clientWidth - 100) / (T + 2) - between;
  const width = Math.floor(Math.max(least, Math.min(most, room)));
  grid.style.setProperty("--cw", `${width}px`);
  grid.style.setProperty("--gx", `${between}px`);
  grid.classList.toggle("tight", width < 48);
  app.roomy = width >= 50;
  grid.style.setProperty("--steps", T);
  grid.setAttribute("aria-label", say.grid);
  grid.classList.toggle("numbers", numbers);

  const predictions = data.predictions && data.predictions[data.predictions.length > 1 ? b : 0];
  const line = { header: 1, predicted: predictions ? 2 : null };
  const first = predictions ? 3 : 2;
  rows.forEach((row, k) => (line[row.key] = first + k));
  line.influence = first + rows.length;
  const put = (node, row, col, span = 1) => {
    node.style.gridRow = `${row} / span ${span}`;
    node.style.gridColumn = String(col + 3);
    grid.append(node);
    return node;
  };
  const label = (row, text, small) => {
    const node = el("div", { class: "label" }, el("span", { text }), small ? el("small", { text: small }) : null);
    node.style.gridRow = row;
    node.style.gridColumn = "1";
    grid.append(node);
    return node;
  };

  app.band = put(el("div", { class: "band", "aria-hidden": "true" }), 1, 0, line.influence);
  for (let l = 0; l < model.L; l++) {
    const frame = el("div", { class: "frame", "aria-hidden": "true" });
    frame.style.gridColumn = "2 / -1";
    frame.style.gridRow = `${line[`l${l}${D === 2 ? "r" : ""}`]} / span ${D}`;
    grid.append(frame);
  }
  app.wires = svg("svg", { class: "wires", "aria-hidden": "true" });
  grid.append(app.wires);

  const curtain = el("div", { class: "curtain", "aria-hidden": "true" });
  curtain.style.gridColumn = "1";
  curtain.style.gridRow = `1 / span ${line.influence}`;
  grid.append(curtain);
  label(line.header, say.step("").trim()).classList.add("top");
  const head = el("div", { role: "row", class: "row" });
  grid.append(head);
  app.heads = [];
  for (let t = 0; t < T; t++) {
    const token = app.token(t);
    const button = el(
      "button",
      {
        type: "button",
        role: "columnheader",
        class: "head",
        tabindex: "-1",
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
  if (predictions) {
    label(line.predicted, say.predicted);
    predictions.forEach((guesses, t) => {
      const box = put(el("div", { class: "guesses", title: say.predictedRow }), line.predicted, t);
      guesses
        .slice(0, 3)
        .forEach(({ token, probability }) =>
          box.append(
            el(
              "span",
              {},
              el("b", { text: visible(token) }),
              el("small", { text: `${Math.round(100 * probability)}%` }),
            ),
          ),
        );
    });
  }
  for (const row of rows) {
    const name = row.kind === "y" ? say.output : row.kind === "x" ? say.input : say.layer(row.l);
    label(line[row.key], name, row.kind === "h" && D === 2 ? (row.d ? `← ${say.reverse}` : `→ ${say.forward}`) : null);
    const group = el("div", { role: "row", class: `row row-${row.kind}` });
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
            text: app.stateIndex(place.kind === "h0" ? "h_0" : "h_n", row.l, row.d),
          }),
        );
      }
      button.append(...cellBody(app, place));
      button.style.gridRow = line[row.key];
      button.style.gridColumn = String(col + 3);
      group.append(button);
      app.cells.set(`${row.key}.${col}`, button);
    }
  }
  label(line.influence, say.influence);
  app.bars = Array.from({ length: T }, (_, t) =>
    put(el("div", { class: "bar", role: "img" }, el("i", {}, el("small"))), line.influence, t),
  );
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

// Where a cell lies inside the grid.
function boxOf(node) {
  return { x: node.offsetLeft, y: node.offsetTop, w: node.offsetWidth, h: node.offsetHeight };
}

function arrow(x1, y1, x2, y2) {
  const length = Math.hypot(x2 - x1, y2 - y1);
  const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
  const size = Math.min(4, length / 2);
  const wing = (side) => `${x2 - ux * size + side * uy * size * 0.7} ${y2 - uy * size - side * ux * size * 0.7}`;
  return `M${x1} ${y1}L${x2} ${y2}M${wing(1)}L${x2} ${y2}L${wing(-1)}`;
}

// All arrows as one path: the state to the next step, each layer's states to the layer above.
function drawWires(app) {
  const { model, rows, wires, cells } = app;
  const { T, D } = model;
  const grid = byId("grid");
  if (!grid.offsetWidth || !T) return;
  wires.setAttribute("width", grid.scrollWidth);
  wires.setAttribute("height", grid.scrollHeight);
  app.boxes = new Map(Array.from(cells, ([id, node]) => [id, boxOf(node)]));
  const at = (key, col) => app.boxes.get(`${key}.${col}`);
  const across = [];
  for (const row of rows.filter((one) => one.kind === "h")) {
    for (let col = -1; col < T; col++) {
      const from = at(row.key, col);
      let to = at(row.key, col + 1);
      if (from && !to && col >= 0) to = at(row.key, T);
      if (!from || !to) continue;
      const y = from.y + from.h / 2;
      const [left, right] = [from.x + from.w + 2, to.x - 2];
      across.push(row.d ? arrow(right, y, left, y) : arrow(left, y, right, y));
    }
  }
  const up = [];
  for (let l = 0; l <= model.L; l++) {
    const below = l === 0 ? "x" : `l${l - 1}${D === 2 ? "r" : ""}`;
    const above = l === model.L ? "y" : `l${l}`;
    for (let t = 0; t < T; t++) {
      const [from, to] = [at(below, t), at(above, t)];
      if (from && to) up.push(arrow(from.x + from.w / 2, from.y - 2, from.x + from.w / 2, to.y + to.h + 2));
    }
  }
  wires.replaceChildren(
    svg("path", { d: across.join(""), class: "across" }),
    svg("path", { d: up.join(""), class: "up" }),
    svg("g", { class: "links" }),
  );
  drawLinks(app);
}

// Dashed curves from the chosen cell to the cells that hold the same numbers.
function drawLinks(app) {
  const group = app.wires.querySelector(".links");
  const place = app.shown();
  if (!group) return;
  const from = place && app.boxes.get(`${place.key}.${place.col}`);
  const twins = from ? twinsOf(app, place) : [];
  const paths = twins.map(({ key, col }) => {
    const to = app.boxes.get(`${key}.${col}`);
    const [x1, y1, x2, y2] = [from.x + from.w / 2, from.y + from.h / 2, to.x + to.w / 2, to.y + to.h / 2];
    const bend = Math.min(60, 16 + Math.hypot(x2 - x1, y2 - y1) / 4);
    const [x, y] = [(x1 + x2) / 2 + (y1 === y2 ? 0 : bend), (y1 + y2) / 2 - (x1 === x2 ? 0 : bend)];
    return svg("path", { class: "twin-link", d: `M${x1} ${y1}Q${x} ${y} ${x2} ${y2}` });
  });
  group.replaceChildren(...paths);
}

// Marks the column, the cursor, the pinned cell, what it was made from, and its twins.
function markGrid(app) {
  const { state, cells, model } = app;
  const shown = app.shown();
  const twins = new Set(shown ? twinsOf(app, shown).map(({ key, col }) => `${key}.${col}`) : []);
  const made = new Set(shown ? originsOf(app, shown) : []);
  const cursor = `${state.row}.${state.t}`;
  const pinned = state.pin && `${state.pin.row}.${state.pin.t}`;
  for (const [id, node] of cells) {
    node.classList.toggle("cursor", id === cursor);
    node.classList.toggle("pinned", id === pinned);
    node.classList.toggle("twin", twins.has(id));
    node.classList.toggle("origin", made.has(id));
    node.tabIndex = id === cursor ? 0 : -1;
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

// The cells a hidden state is made from: its input below and the state before.
function originsOf(app, place) {
  const { model } = app;
  if (place.kind !== "h") return [];
  const below = place.l === 0 ? ["x"] : Array.from({ length: model.D }, (_, d) => `l${place.l - 1}${d ? "r" : ""}`);
  const earlier = place.d ? place.t + 1 : place.t - 1;
  const end = place.d ? model.T : -1;
  return [
    ...below.map((key) => `${key}.${place.t}`),
    `${place.key}.${model.there(earlier, app.state.b) ? earlier : end}`,
  ];
}
