// What flows back through a run, and what one step does to a small change.

// Back-propagation through time in one sequence. seeds(l, d, t, name) is what a loss sends straight to a state, (rows, H),
// or null; rows are so many losses at once. Gives the gradient at every state (states by name, then l, d, t), at every sum
// (dz), at every x and at the first states (start by name), what each step hands to the state that was read before it
// (carried by name), each h to c of its step (through), and each layer to the one below (down).
function backpropagate(model, b, rows, seeds) {
  const { H, L, D, kind } = model;
  const length = model.lengths[b];
  const empty = () => Array.from({ length: L }, () => Array.from({ length: D }, () => new Array(length).fill(null)));
  const byName = (make) => Object.fromEntries(kind.states.map((name) => [name, make()]));
  const start = byName(() => Array.from({ length: L }, () => new Array(D).fill(null)));
  const found = { states: byName(empty), dz: empty(), carried: byName(empty), through: empty(), down: [], x: null, start };
  const wide = kind.gates.length * H;
  let fromAbove = new Array(length).fill(null); // at the outputs of a layer, (rows, D * H)
  for (let l = L - 1; l >= 0; l--) {
    const width = model.cell(l, 0).inputs;
    const inputs = new Array(length).fill(null);
    for (let d = 0; d < D; d++) {
      const { w_ih, w_hh } = model.cell(l, d);
      const carried = byName(() => null); // from the step that this direction reads next
      for (const t of stepsOf(length, d).reverse()) {
        const above = fromAbove[t] && columns(fromAbove[t], rows, D * H, d * H, H);
        const g = Object.fromEntries(kind.states.map((name) => [name, added(seeds(l, d, t, name), carried[name])]));
        g.h = added(g.h, above);
        if (Object.values(g).every((one) => one === null)) continue;
        const back = kind.back(model.at(l, d, t, b), g, H);
        found.dz[l][d][t] = back;
        found.through[l][d][t] = back.through ?? null;
        for (const name of kind.states) {
          found.states[name][l][d][t] = back.total[name];
          const direct = back.before[name] ?? null;
          carried[name] = name === "h" ? added(timesMatrix(back.recurrent, w_hh, rows, wide, H), direct) : direct;
          found.carried[name][l][d][t] = found.start[name][l][d] = carried[name];
        }
        inputs[t] = added(inputs[t], timesMatrix(back.input, w_ih, rows, wide, width));
      }
    }
    fromAbove = found.down[l] = inputs;
  }
  found.x = fromAbove;
  return found;
}

// The norm, by input step, of the gradient of one unit (u) or of the Jacobian of all units (u null) of a state.
function sensitivity(model, { l, d, t, state }, b, u) {
  const { H } = model;
  const rows = u === null ? H : 1;
  const seed = new Float64Array(rows * H);
  for (let r = 0; r < rows; r++) seed[r * H + (u === null ? r : u)] = 1;
  const wanted = [l, d, t, state].join();
  const { x } = backpropagate(model, b, rows, (...at) => (at.join() === wanted ? seed : null));
  return x.map((g) => (g === null ? 0 : norm(g)));
}

// What one step makes of a change of the states before it, (n, n) row by row, n = states * H.
function stepJacobian(model, l, d, t, b) {
  const { H, kind } = model;
  const count = kind.states.length;
  const n = count * H;
  const g = Object.fromEntries(
    kind.states.map((name, s) => {
      const rows = new Float64Array(n * H);
      for (let u = 0; u < H; u++) rows[(s * H + u) * H + u] = 1;
      return [name, rows];
    }),
  );
  const back = kind.back(model.at(l, d, t, b), g, H);
  const jacobian = new Float64Array(n * n);
  kind.states.forEach((name, s) => {
    const direct = back.before[name] ?? null;
    const through = name === "h" ? timesMatrix(back.recurrent, model.cell(l, d).w_hh, n, kind.gates.length * H, H) : null;
    const block = added(direct, through);
    for (let r = 0; r < n; r++) jacobian.set(block.subarray(r * H, (r + 1) * H), r * n + s * H);
  });
  return jacobian;
}

const SQUARINGS = 14;

// The largest absolute eigenvalue of an (n, n) matrix, from how the size of its powers grows: ‖A^2k‖ / ‖A^k‖ to the power
// 1/k, with k = 2^13, which is right to a thousandth.
function spectralRadius(matrix, n) {
  if (!matrix.every(Number.isFinite)) return NaN;
  let power = matrix;
  let logarithm = 0; // of what the power was divided by, so that it neither over- nor underflows
  let before = 0;
  for (let k = 0; k <= SQUARINGS; k++) {
    if (k) {
      power = timesMatrix(power, power, n, n, n);
      before = logarithm;
      logarithm *= 2;
    }
    const size = norm(power);
    if (size === 0) return 0;
    power = power.map((value) => value / size);
    logarithm += Math.log(size);
  }
  return Math.exp((logarithm - before) / 2 ** (SQUARINGS - 1));
}

const RADIUS_STEPS = 32;
const RADIUS_BUDGET = 1e8; // multiplications a layer

// How many steps of a sequence it is computed for, and the multiplications of that up to layer l.
function radiusSteps(model, b) {
  const n = model.kind.states.length * model.H;
  return Math.min(model.lengths[b], RADIUS_STEPS, Math.max(3, Math.floor(RADIUS_BUDGET / (SQUARINGS * n ** 3))));
}

const radiusCost = (model, l, b) =>
  (l + 1) * radiusSteps(model, b) * SQUARINGS * (model.kind.states.length * model.H) ** 3;

// The median over some steps of a sequence, as _sensitivity.py takes it.
function medianRadius(model, l, d, b) {
  const n = model.kind.states.length * model.H;
  const length = model.lengths[b];
  const count = radiusSteps(model, b);
  const steps = Array.from({ length: count }, (_, k) => (count > 1 ? Math.floor((k * (length - 1)) / (count - 1)) : 0));
  const found = steps.map((t) => spectralRadius(stepJacobian(model, l, d, t, b), n)).sort((one, other) => one - other);
  return found.some(Number.isNaN) ? NaN : found[Math.floor((found.length - 1) / 2)];
}

const norm = (vector) => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));

function added(one, other) {
  if (one === null || other === null) return one ?? other;
  return one.map((value, i) => value + other[i]);
}

function timesMatrix(g, matrix, rows, inner, width) {
  const result = new Float64Array(rows * width);
  for (let r = 0; r < rows; r++) {
    const to = result.subarray(r * width, (r + 1) * width);
    for (let i = 0; i < inner; i++) {
      const factor = g[r * inner + i];
      if (factor === 0) continue;
      const from = i * width;
      for (let k = 0; k < width; k++) to[k] += factor * matrix[from + k];
    }
  }
  return result;
}

function columns(g, rows, width, first, count) {
  if (count === width) return g;
  const part = new Float64Array(rows * count);
  for (let r = 0; r < rows; r++) part.set(g.subarray(r * width + first, r * width + first + count), r * count);
  return part;
}
