// The arrows between the cells, and the links between equal numbers.

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

// All arrows as one path: each state to the next step, c to h, each layer's states to the layer above.
function drawWires(app) {
  const { model, rows, wires, cells } = app;
  const { T, D } = model;
  const grid = byId("grid");
  if (!grid.offsetWidth || !T) return;
  wires.setAttribute("width", grid.scrollWidth);
  wires.setAttribute("height", grid.scrollHeight);
  app.boxes = new Map(Array.from(cells, ([id, node]) => [id, boxOf(node)]));
  const at = (key, col) => app.boxes.get(`${key}.${col}`);
  const found = app.state.back ? currentGradients(app) : null;
  const sizeOf = (g) => (g ? norm(g) / found.most : 0);
  const flows = []; // in the backward pass: each arrow, and how much flows along it
  const across = [];
  for (const row of rows.filter((one) => one.kind === "h")) {
    for (let col = -1; col < T; col++) {
      const from = at(row.key, col);
      let to = at(row.key, col + 1);
      if (from && !to && col >= 0) to = at(row.key, T);
      if (!from || !to) continue;
      const y = from.y + from.h / 2;
      const [left, right] = [from.x + from.w + 2, to.x - 2];
      if (!app.state.back) across.push(row.d ? arrow(right, y, left, y) : arrow(left, y, right, y));
      else {
        // The gradient goes the other way, from the step that read last.
        const size = sizeOf(found.carried[row.state][row.l][row.d][row.d ? col : col + 1]);
        flows.push([row.d ? arrow(left, y, right, y) : arrow(right, y, left, y), size]);
      }
    }
  }
  const up = [];
  // An arrow at every step from one row to another above it; in the backward pass downwards, as thick as the gradient.
  const rise = (below, above, gradient) => {
    for (let t = 0; t < T; t++) {
      const [from, to] = [at(below, t), at(above, t)];
      if (!from || !to) continue;
      const x = from.x + from.w / 2;
      if (!app.state.back) up.push(arrow(x, from.y - 2, x, to.y + to.h + 2));
      else flows.push([arrow(x, to.y + to.h + 2, x, from.y - 2), sizeOf(gradient(t))]);
    }
  };
  const lowest = model.kind.states.at(-1);
  for (let l = 0; l < model.L; l++) {
    rise(l === 0 ? "x" : rowKey(l - 1, D - 1, "h"), rowKey(l, 0, lowest), (t) => found.down[l][t]);
    for (let d = 0; d < D && lowest !== "h"; d++)
      rise(rowKey(l, d, lowest), rowKey(l, d, "h"), (t) => found.through[l][d][t]);
  }
  rise(rowKey(model.L - 1, D - 1, "h"), "y", (t) => found.losses.get(t)?.seed);
  wires.replaceChildren(
    svg("path", { d: across.join(""), class: "across" }),
    svg("path", { d: up.join(""), class: "up" }),
    ...flows
      .filter(([, size]) => size > 0)
      .map(([d, size]) => svg("path", { d, class: "flows", "stroke-width": Math.max(0.4, Math.min(7, 7 * size)) })),
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
