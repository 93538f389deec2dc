// What the learner has changed, as a list of steps that can be taken back, and the run that follows from it.
//
// Changes are {swapped, text, edits}: the input read with its axes the other way round, a text typed in place of the
// recorded input, and single numbers set. An edit is {name, at, value}: `x` at [t, b] (all of that input) or [t, b, k],
// a weight at [] (all of it) or [k], h_0, c_0 or v_0 at [k].

const UNCHANGED = { swapped: false, text: null, edits: [] };

const isChanged = ({ swapped, text, edits }) => swapped || text !== null || edits.length > 0;

// The run before any number was set: as recorded, read the other way, or of the text.
function baseOf(app, { swapped, text }) {
  const { data, recorded } = app;
  if (text !== null) return compute(data, typedRun(app, text));
  return swapped ? compute(data, swappedRun(data, recorded)) : makeModel(data, recorded);
}

// The same tensor with its first two axes taken for each other: what was step t of sequence b is step b of sequence t.
function swappedRun(data, run) {
  const { I, H, L, D } = data.sizes;
  const { T, N } = run;
  const x = new Float64Array(run.x.length);
  for (let t = 0; t < T; t++) for (let b = 0; b < N; b++) x.set(view(run.x, t * N + b, I), (b * T + t) * I);
  const turned = (rows) =>
    rows && Array.from({ length: T }, (_, t) => Array.from({ length: N }, (_, b) => rowOf(rows, b)[t]));
  return {
    ...run,
    T: N,
    N: T,
    lengths: new Array(T).fill(N),
    sequences: Array.from({ length: T }, (_, t) => t),
    batch: T,
    tokens: turned(run.tokens),
    targets: turned(run.targets),
    x,
    starts: T === N ? run.starts : forStates(data, () => new Float64Array(L * D * T * H)),
  };
}

// Whether torch would refuse the call read the other way: the batch of the first states is the other size then.
const refusesSwapped = (run) =>
  run.T !== run.N && Object.values(run.starts).some((start) => start.some((value) => value !== 0));

// The state whose first one an edit sets, or null. h before a potential's first step follows from v.
const startOf = (run, name) =>
  /^._0$/.test(name) && Object.hasOwn(run.starts, name[0]) && !(name === "h_0" && run.starts.v) ? name[0] : null;

function withEdits(run, edits) {
  const changed = { ...run, weights: { ...run.weights }, starts: { ...run.starts } };
  const mine = new Set();
  const own = (holder, name) => {
    if (!mine.has(holder[name])) mine.add((holder[name] = Float64Array.from(holder[name])));
    return holder[name];
  };
  for (const { name, at, value } of edits) {
    if (name === "x") {
      const I = run.x.length / (run.T * run.N);
      const [t, b, k] = at;
      const first = (t * run.N + b) * I;
      if (k === undefined) own(changed, "x").fill(value, first, first + I);
      else own(changed, "x")[first + k] = value;
    } else if (startOf(run, name)) own(changed.starts, startOf(run, name))[at[0]] = value;
    else if (at.length) own(changed.weights, name)[at[0]] = value;
    else own(changed.weights, name).fill(value);
  }
  return changed;
}

// Everything that follows from the last changes: the run shown, and the one to compare it with.
function derive(app) {
  const { data } = app;
  const { swapped, text, edits } = app.changes;
  const key = JSON.stringify([swapped, text]);
  if (app.baseKey !== key) {
    app.base = baseOf(app, app.changes);
    app.baseKey = key;
  }
  app.model = edits.length ? compute(data, withEdits(app.base.run, edits)) : app.base;
  app.moved = edits.length ? movements(app.model, app.base) : null;
  app.influence = null;
}

// By how much each state of each sequence moved, by its name, and which number of h moved most.
function movements(model, base) {
  const { T, N, H, L, D, kind } = model;
  const by = Object.fromEntries(kind.states.map((name) => [name, new Float64Array(L * D * T * N)]));
  const found = { by, most: Object.fromEntries(kind.states.map((name) => [name, 0])), count: 0, cells: 0, where: null };
  for (let b = 0; b < N; b++)
    for (let t = 0; t < model.lengths[b]; t++)
      for (let l = 0; l < L; l++)
        for (let d = 0; d < D; d++) {
          found.cells += 1;
          for (const name of kind.states) {
            const [now, before] = [model.state(name, l, d, t, b), base.state(name, l, d, t, b)];
            let largest = 0;
            for (let u = 0; u < H; u++) {
              const by = apart(now[u], before[u]);
              if (by > largest) largest = by;
              if (by > found.most[name]) {
                found.most[name] = by;
                if (name === "h") found.where = { l, d, t, b, u };
              }
            }
            if (largest <= MOVED) continue;
            found.by[name][((l * D + d) * T + t) * N + b] = largest;
            if (name === "h") found.count += 1;
          }
        }
  return found;
}

const MOVED = 1e-6; // less is the rounding of the recorded float32

// The address holds the edits, so that a link shows them: name, places and value between asterisks.
const editText = ({ name, at, value }) => [name, ...at, value].join("*");

function editOf(text, app) {
  const [name, ...numbers] = text.split("*");
  const value = Number(numbers.pop());
  const at = numbers.map(Number);
  const { base } = app;
  const { starts, weights } = base.run;
  const start = startOf(base.run, name);
  const whole = start ? starts[start] : Object.hasOwn(weights, name) ? weights[name] : null;
  const sizes = name === "x" ? [base.T, base.N, base.I] : [whole?.length];
  const least = name === "x" ? 2 : start ? 1 : 0;
  const known = name === "x" || whole !== null;
  const fits = at.every((place, k) => Number.isInteger(place) && place >= 0 && place < sizes[k]);
  return known && fits && at.length >= least && at.length <= sizes.length && Number.isFinite(value)
    ? { name, at, value }
    : null;
}
