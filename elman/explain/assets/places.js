// What stands where in the unrolled grid, where its numbers come from, and where else they stand.

// The key of the row of a state: l0 and l0r hold h, l0c and l0rc c.
const rowKey = (l, d, state) => `l${l}${d ? "r" : ""}${state === "h" ? "" : state}`;

// The rows from top to bottom.
function makeRows({ L, D }, kind) {
  const rows = [{ key: "y", kind: "y" }];
  for (let l = L - 1; l >= 0; l--)
    for (let d = D - 1; d >= 0; d--)
      for (const state of kind.states) rows.push({ key: rowKey(l, d, state), kind: "h", l, d, state });
  rows.push({ key: "x", kind: "x" });
  return rows;
}

// What stands at a row and a column; column -1 and T are the ends, which hold h_0 and h_n. Null where nothing does.
function placeAt(app, key, col, model = app.model) {
  const row = app.rows.find((one) => one.key === key);
  const b = app.state.b;
  if (col >= 0 && col < model.T) {
    if (!model.there(col, b)) return null;
    const vector =
      row.kind === "x" ? model.x(col, b) : row.kind === "y" ? model.y(col, b) : model.state(row.state, row.l, row.d, col, b);
    return { ...row, col, t: col, vector };
  }
  if (row.kind !== "h" || col < -1 || col > model.T) return null;
  const first = (col === -1) === (row.d === 0);
  const vector = first ? model.start(row.state, row.l, row.d, b) : model.end(row.state, row.l, row.d, b);
  return { ...row, kind: first ? "h0" : "hn", col, t: first ? null : model.last(row.d, b), vector };
}

// The state that a place's number comes from, for its unit k; null for inputs and first states.
function sourceOf(app, place, k) {
  const { H, L } = app.model;
  const { l, d, t, state } = place;
  if (place.kind === "y") return { l: L - 1, d: Math.floor(k / H), t, u: k % H, state: "h" };
  if (place.kind === "h" || (place.kind === "hn" && t >= 0)) return { l, d, t, u: k, state };
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
  const own = (_, d) => ({ l: L - 1, d, t: place.t, state: "h" });
  const states = place.kind === "y" ? Array.from({ length: D }, own) : [place];
  if (place.kind === "x" || place.kind === "h0" || place.t < 0) return found;
  for (const { l, d, t, state: name } of states) {
    add(rowKey(l, d, name), t);
    if (l === L - 1 && name === "h") add("y", t);
    if (t === model.last(d, state.b)) add(rowKey(l, d, name), d ? -1 : T);
  }
  return found;
}

// The cells a state is made from: its input below and the states before.
function originsOf(app, place) {
  const { model } = app;
  if (place.kind !== "h") return [];
  const below = place.l === 0 ? ["x"] : Array.from({ length: model.D }, (_, d) => rowKey(place.l - 1, d, "h"));
  const earlier = place.d ? place.t + 1 : place.t - 1;
  const end = place.d ? model.T : -1;
  return [
    ...below.map((key) => `${key}.${place.t}`),
    ...model.kind.states.map(
      (name) => `${rowKey(place.l, place.d, name)}.${model.there(earlier, app.state.b) ? earlier : end}`,
    ),
  ];
}

function nameOf(app, place) {
  const say = app.say;
  const { D } = app.model;
  const at = app.stepName(place.t);
  if (place.kind === "x") return `x[${place.t}] · ${say.input} · ${at}`;
  if (place.kind === "y") return `${app.outputIndex(place.t)} · ${at}`;
  const way = say.way(place.l, place.d, D);
  if (place.kind === "h0") return `${app.stateIndex(`${place.state}_0`, place.l, place.d)} · ${way}`;
  if (place.kind === "hn") return `${app.stateIndex(`${place.state}_n`, place.l, place.d)} · ${way}`;
  return `${place.state}[${place.t}] · ${way} · ${at}`;
}

function spoken(app, place) {
  const vector = shownAt(app, place);
  const number = app.state.back ? short : rounded;
  const values =
    vector.length <= NUMBERS
      ? Array.from(vector, number).join(", ")
      : `${app.say.values(vector.length)}, ${app.say.range(number(Math.min(...vector)), number(Math.max(...vector)))}`;
  return `${app.state.back ? "dL/d " : ""}${nameOf(app, place)}: ${values}`;
}
