// A run and its numbers: views into its arrays, everything computed from the input and the weights, and gradients.
//
// A run is {T, N, lengths, sequences, batch, x, h_0, weights, hidden, tokens}: sizes as in Python, N the sequences that are
// in it, `sequences` their numbers in a batch of `batch`. makeModel adds what can be asked of it.

function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

const decodeAll = (texts) => Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, decode(text)]));

// The run that Python recorded.
function recordedRun(data) {
  const { T, N } = data.sizes;
  const { lengths, sequences, batch, tokens } = data;
  const arrays = decodeAll(data.arrays);
  const { x, h_0, hidden } = arrays;
  return { T, N, lengths, sequences, batch, tokens, x, h_0, hidden, weights: decodeAll(data.weights) };
}

function makeModel(data, run) {
  const { I, H, L, D } = data.sizes;
  const { T, N, lengths } = run;
  const zeros = new Float32Array(H);
  const cells = [];
  for (let l = 0; l < L; l++) {
    for (let d = 0; d < D; d++) {
      const suffix = `_l${l}${d ? "_reverse" : ""}`;
      cells.push({
        suffix,
        inputs: l === 0 ? I : D * H,
        w_ih: run.weights[`weight_ih${suffix}`],
        w_hh: run.weights[`weight_hh${suffix}`],
        b_ih: run.weights[`bias_ih${suffix}`] || zeros,
        b_hh: run.weights[`bias_hh${suffix}`] || zeros,
        biased: Boolean(run.weights[`bias_ih${suffix}`]),
      });
    }
  }
  const model = {
    run,
    T,
    N,
    lengths,
    sequences: run.sequences,
    batch: run.batch,
    I,
    H,
    L,
    D,
    kind: CELLS[data.nonlinearity],
    cell: (l, d) => cells[l * D + d],
    x: (t, b) => view(run.x, t * N + b, I),
    h0: (l, d, b) => view(run.h_0, (l * D + d) * N + b, H),
    h: (l, d, t, b) => view(run.hidden, ((l * D + d) * T + t) * N + b, H),
    there: (t, b) => t >= 0 && t < lengths[b],
    first: (d, b) => (d ? lengths[b] - 1 : 0),
    // The step at which a direction ends, whose state h_n holds; -1 where the sequence is empty.
    last: (d, b) => (lengths[b] === 0 ? -1 : d ? 0 : lengths[b] - 1),
    y: (t, b, layer = L - 1) => joined(Array.from({ length: D }, (_, d) => model.h(layer, d, t, b))),
    below: (l, t, b) => (l === 0 ? model.x(t, b) : model.y(t, b, l - 1)),
    before(l, d, t, b) {
      const earlier = d ? t + 1 : t - 1;
      return model.there(earlier, b) ? model.h(l, d, earlier, b) : model.h0(l, d, b);
    },
    hn: (l, d, b) => (model.last(d, b) < 0 ? model.h0(l, d, b) : model.h(l, d, model.last(d, b), b)),
    token: (t, b) => (run.tokens ? run.tokens[run.tokens.length > 1 ? b : 0][t] : null),
  };
  return model;
}

function view(array, row, width) {
  return array.subarray(row * width, (row + 1) * width);
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const all = new Float64Array(parts.reduce((size, part) => size + part.length, 0));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}

// A matrix times a vector, plus a bias.
function affine(matrix, vector, bias) {
  const result = Float64Array.from(bias);
  for (let row = 0, place = 0; row < result.length; row++) {
    let total = 0;
    for (let k = 0; k < vector.length; k++, place++) total += matrix[place] * vector[k];
    result[row] += total;
  }
  return result;
}

// The same run with every hidden state (L, D, T, N, H) computed in double precision, from x, h_0 and the weights alone.
function compute(data, run) {
  const { H, L, D } = data.sizes;
  const model = makeModel(data, { ...run, hidden: new Float64Array(L * D * run.T * run.N * H) });
  for (let b = 0; b < run.N; b++) {
    for (let l = 0; l < L; l++) {
      for (let d = 0; d < D; d++) {
        const { w_ih, w_hh, b_ih, b_hh } = model.cell(l, d);
        let states = { h: model.h0(l, d, b) };
        for (const t of stepsOf(run.lengths[b], d)) {
          const fromInput = affine(w_ih, model.below(l, t, b), b_ih);
          states = model.kind.step(fromInput, affine(w_hh, states.h, b_hh), states);
          model.h(l, d, t, b).set(states.h);
        }
      }
    }
  }
  return model;
}

// The steps in the order in which a direction reads them.
function stepsOf(length, d) {
  const steps = Array.from({ length }, (_, t) => t);
  return d ? steps.reverse() : steps;
}

// How far two runs of one shape are apart: the largest difference, also relative to states above 1, and how many cells
// hold NaN or infinity.
function comparison(one, other) {
  const { H, L, D } = one;
  const result = { cells: 0, broken: 0, difference: 0, relative: 0 };
  for (let b = 0; b < one.N; b++) {
    for (let t = 0; t < one.lengths[b]; t++) {
      for (let l = 0; l < L; l++) {
        for (let d = 0; d < D; d++) {
          const [h, recorded] = [one.h(l, d, t, b), other.h(l, d, t, b)];
          for (let u = 0; u < H; u++) {
            const difference = apart(h[u], recorded[u]);
            const relative = difference === 0 ? 0 : difference / Math.max(1, Math.abs(h[u]) || 0);
            result.difference = Math.max(result.difference, difference);
            result.relative = Math.max(result.relative, Number.isNaN(relative) ? Infinity : relative);
          }
          result.cells += 1;
          result.broken += h.every(Number.isFinite) ? 0 : 1;
        }
      }
    }
  }
  return result;
}

// Infinite where one is a number and the other is none: a comparison with NaN would be passed over.
function apart(computed, recorded) {
  if (Object.is(Math.fround(computed), Math.fround(recorded))) return 0;
  const difference = Math.abs(computed - recorded);
  return Number.isNaN(difference) ? Infinity : difference;
}

// Back-propagation through time in one sequence. seeds(l, d, t) is what a loss sends straight to a state, (rows, H), or
// null; rows are so many losses at once. Gives the gradient at every state h (l, d, t), at every sum (dz), at every x and at
// h_0 (start), what each step hands to the one that was read before it (carried) and each layer to the one below (down).
function backpropagate(model, b, rows, seeds) {
  const { H, L, D, kind } = model;
  const length = model.lengths[b];
  const empty = () => Array.from({ length: L }, () => Array.from({ length: D }, () => new Array(length).fill(null)));
  const ends = Array.from({ length: L }, () => new Array(D).fill(null));
  const found = { h: empty(), dz: empty(), carried: empty(), down: [], x: null, start: ends };
  let fromAbove = new Array(length).fill(null); // at the outputs of a layer, (rows, D * H)
  for (let l = L - 1; l >= 0; l--) {
    const width = model.cell(l, 0).inputs;
    const inputs = new Array(length).fill(null);
    for (let d = 0; d < D; d++) {
      const { w_ih, w_hh } = model.cell(l, d);
      let carried = null; // from the step that this direction reads next
      for (const t of stepsOf(length, d).reverse()) {
        const above = fromAbove[t] && columns(fromAbove[t], rows, D * H, d * H, H);
        const g = added(added(seeds(l, d, t), above), carried);
        if (g === null) continue;
        found.h[l][d][t] = g;
        const dz = kind.back({ h: model.h(l, d, t, b) }, g, H);
        found.dz[l][d][t] = dz;
        carried = timesMatrix(dz.recurrent, w_hh, rows, kind.gates * H, H);
        found.carried[l][d][t] = found.start[l][d] = carried;
        inputs[t] = added(inputs[t], timesMatrix(dz.input, w_ih, rows, kind.gates * H, width));
      }
    }
    fromAbove = found.down[l] = inputs;
  }
  found.x = fromAbove;
  return found;
}

// The norm, by input step, of the gradient of one unit (u) or of the Jacobian of all units (u null) of a state.
function sensitivity(model, l, d, t, b, u) {
  const { H } = model;
  const rows = u === null ? H : 1;
  const seed = new Float64Array(rows * H);
  for (let r = 0; r < rows; r++) seed[r * H + (u === null ? r : u)] = 1;
  const { x } = backpropagate(model, b, rows, (...at) => (at.join() === [l, d, t].join() ? seed : null));
  return x.map((g) => (g === null ? 0 : norm(g)));
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
