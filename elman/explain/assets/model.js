// A run and its numbers: views into its arrays, and everything computed from the input and the weights.
//
// A run is {T, N, lengths, sequences, batch, x, starts, weights, states, tokens, targets}: sizes as in Python, N the sequences
// that are in it, `sequences` their numbers in a batch of `batch`; starts and states hold h, of an LSTM c and of a potential v,
// by name; tokens and targets are a row for each sequence, one row for all, or null. terms: leak and drive of a cell that
// leaks, {shape, values} each, of (L * D, T, N, H), each axis also 1. makeModel adds what can be asked of it.

// All numbers are kept in one kind of array: loops over two kinds run several times slower.
function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return Float64Array.from(new Float32Array(bytes.buffer));
}

const decodeAll = (texts) => Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, decode(text)]));

// An array for each state of a cell, by its name.
const forStates = (data, make) => Object.fromEntries(CELLS[data.cell].states.map((name) => [name, make(name)]));

// The run that Python recorded.
function recordedRun(data) {
  const { T, N } = data.sizes;
  const { lengths, sequences, batch, tokens, targets } = data;
  const arrays = decodeAll(data.arrays);
  const starts = forStates(data, (name) => arrays[`${name}_0`]);
  const states = forStates(data, (name) => arrays[name]);
  const terms = Object.fromEntries(
    Object.entries(data.terms).map(([name, { shape, values }]) => [name, { shape, values: decode(values) }]),
  );
  const weights = decodeAll(data.weights);
  return { T, N, lengths, sequences, batch, tokens, targets, x: arrays.x, starts, states, terms, weights };
}

function makeModel(data, run) {
  const { I, H, L, D } = data.sizes;
  const { T, N, lengths } = run;
  const kind = CELLS[data.cell];
  const zeros = new Float64Array(kind.gates.length * H);
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
  const steps = new Map();
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
    kind,
    cell: (l, d) => cells[l * D + d],
    x: (t, b) => view(run.x, t * N + b, I),
    start(name, l, d, b) {
      const own = (state) => view(run.starts[state], (l * D + d) * N + b, H);
      return kind.first?.[name] ? kind.first[name]({ v: own("v") }) : own(name);
    },
    // Leak or drive of each unit at a step; null where there is none.
    term(name, l, d, t, b) {
      if (!run.terms[name]) return null;
      const { shape, values } = run.terms[name];
      const row = [l * D + d, t, b].reduce((all, at, axis) => all * shape[axis] + (shape[axis] > 1 ? at : 0), 0);
      const own = view(values, row, shape[3]);
      return shape[3] === H ? own : new Float64Array(H).fill(own[0]);
    },
    state: (name, l, d, t, b) => view(run.states[name], ((l * D + d) * T + t) * N + b, H),
    h: (l, d, t, b) => model.state("h", l, d, t, b),
    there: (t, b) => t >= 0 && t < lengths[b],
    first: (d, b) => (d ? lengths[b] - 1 : 0),
    // The step at which a direction ends, whose state h_n holds; -1 where the sequence is empty.
    last: (d, b) => (lengths[b] === 0 ? -1 : d ? 0 : lengths[b] - 1),
    y: (t, b, layer = L - 1) => joined(Array.from({ length: D }, (_, d) => model.h(layer, d, t, b))),
    below: (l, t, b) => (l === 0 ? model.x(t, b) : model.y(t, b, l - 1)),
    before(name, l, d, t, b) {
      const earlier = d ? t + 1 : t - 1;
      return model.there(earlier, b) ? model.state(name, l, d, earlier, b) : model.start(name, l, d, b);
    },
    end: (name, l, d, b) =>
      model.last(d, b) < 0 ? model.start(name, l, d, b) : model.state(name, l, d, model.last(d, b), b),
    // What one step computes from what lies before it: its sums, gates and states.
    step(l, d, t, b) {
      const { w_ih, w_hh, b_ih, b_hh } = model.cell(l, d);
      const before = Object.fromEntries(kind.states.map((name) => [name, model.before(name, l, d, t, b)]));
      const fromInput = added(affine(w_ih, model.below(l, t, b), b_ih), model.term("drive", l, d, t, b));
      const fromState = affine(w_hh, before.h, b_hh);
      const leak = model.term("leak", l, d, t, b);
      return { fromInput, fromState, before, leak, ...kind.step(fromInput, fromState, before, leak) };
    },
    // The same, kept; of a cell without gates its state says everything.
    at(l, d, t, b) {
      if (!isGated(kind)) return { states: { h: model.h(l, d, t, b) } };
      const key = ((l * D + d) * T + t) * N + b;
      if (!steps.has(key)) steps.set(key, model.step(l, d, t, b));
      return steps.get(key);
    },
    token: (t, b) => rowOf(run.tokens, b)?.[t] ?? null,
  };
  return model;
}

// What is said of a sequence's steps: its own row, or the one for all.
const rowOf = (rows, b) => rows && rows[rows.length > 1 ? b : 0];

function view(array, row, width) {
  return array.subarray(row * width, (row + 1) * width);
}

// Whether leak and drive are the same at all steps of all sequences, so that they say what those of another input are.
const isSteady = ({ terms }) => Object.values(terms).every(({ shape }) => shape[1] === 1 && shape[2] === 1);

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
  const result = new Float64Array(bias.length);
  for (let row = 0; row < result.length; row++) result[row] = bias[row] + rowTimes(matrix, row * vector.length, vector);
  return result;
}

// The row of a matrix that begins at this place, times a vector. On its own: in one function with the loop over rows,
// browsers were seen to run it several times slower.
function rowTimes(matrix, first, vector) {
  let total = 0;
  for (let k = 0; k < vector.length; k++) total += matrix[first + k] * vector[k];
  return total;
}

// The same run with every state (L, D, T, N, H) computed in double precision, from the input, the first states and the
// weights alone.
function compute(data, run) {
  const { H, L, D } = data.sizes;
  const states = forStates(data, () => new Float64Array(L * D * run.T * run.N * H));
  const model = makeModel(data, { ...run, states });
  for (let b = 0; b < run.N; b++)
    for (let l = 0; l < L; l++)
      for (let d = 0; d < D; d++)
        for (const t of stepsOf(run.lengths[b], d)) {
          const found = model.step(l, d, t, b).states;
          for (const name of model.kind.states) model.state(name, l, d, t, b).set(found[name]);
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
  const { H, L, D, kind } = one;
  const result = { cells: 0, broken: 0, difference: 0, relative: 0 };
  for (let b = 0; b < one.N; b++)
    for (let t = 0; t < one.lengths[b]; t++)
      for (let l = 0; l < L; l++)
        for (let d = 0; d < D; d++) {
          for (const name of kind.states) {
            const [state, recorded] = [one.state(name, l, d, t, b), other.state(name, l, d, t, b)];
            for (let u = 0; u < H; u++) {
              const difference = apart(state[u], recorded[u]);
              const relative = difference === 0 ? 0 : difference / Math.max(1, Math.abs(state[u]) || 0);
              result.difference = Math.max(result.difference, difference);
              result.relative = Math.max(result.relative, Number.isNaN(relative) ? Infinity : relative);
            }
          }
          result.cells += 1;
          result.broken += one.h(l, d, t, b).every(Number.isFinite) ? 0 : 1;
        }
  return result;
}

// Infinite where one is a number and the other is none: a comparison with NaN would be passed over.
function apart(computed, recorded) {
  if (Object.is(Math.fround(computed), Math.fround(recorded))) return 0;
  const difference = Math.abs(computed - recorded);
  return Number.isNaN(difference) ? Infinity : difference;
}
