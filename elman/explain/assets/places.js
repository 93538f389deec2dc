// What stands where in the unrolled grid, where its numbers come from, and where else they stand.

// The rows from top to bottom.
function makeRows({ L, D }) {
  const rows = [{ key: "y", kind: "y" }];
  for (let l = L - 1; l >= 0; l--) {
    for (let d = D - 1; d >= 0; d--) rows.push({ key: `l${l}${d ? "r" : ""}`, kind: "h", l, d });
  }
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
  const vector = shownAt(app, place);
  const number = app.state.back ? short : rounded;
  const values =
    vector.length <= NUMBERS
      ? Array.from(vector, number).join(", ")
      : `${app.say.values(vector.length)}, ${app.say.range(number(Math.min(...vector)), number(Math.max(...vector)))}`;
  return `${app.state.back ? "dL/d " : ""}${nameOf(app, place)}: ${values}`;
}
