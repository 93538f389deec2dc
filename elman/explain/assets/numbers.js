// Numbers: how they are written, the layer computed once more, one state spelled out, and gradients.
// The writing is that of _numbers.py and _arithmetic.py, digit for digit.

const SPELT = 8; // products of one matrix are spelled out; of more, the largest
const LARGEST = 4;

function fixed(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const text = Math.abs(value) < 10000 ? value.toFixed(4) : value.toExponential(3);
  return /^-[0.]+$/.test(text) ? text.slice(1) : text;
}

function rounded(value) {
  const text = fixed(value);
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text;
}

function short(value) {
  if (!Number.isFinite(value) || value === 0) return value === 0 ? "0" : fixed(value);
  const [mantissa, exponent] = value.toExponential(2).split("e");
  const power = Number(exponent);
  if (power <= -4 || power >= 5) return `${mantissa}e${power}`;
  const text = value.toFixed(Math.max(0, 2 - power));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function decode(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

// The recorded run: sizes as in Python (T, N sequences of this page, I, H, L, D) and views into its arrays.
function makeModel(data) {
  const { T, N, I, H, L, D } = data.sizes;
  const arrays = Object.fromEntries(Object.entries(data.arrays).map(([name, text]) => [name, decode(text)]));
  const weights = Object.fromEntries(Object.entries(data.weights).map(([name, text]) => [name, decode(text)]));
  const zeros = new Float32Array(H);
  const cells = [];
  for (let l = 0; l < L; l++) {
    for (let d = 0; d < D; d++) {
      const suffix = `_l${l}${d ? "_reverse" : ""}`;
      cells.push({
        suffix,
        inputs: l === 0 ? I : D * H,
        w_ih: weights[`weight_ih${suffix}`],
        w_hh: weights[`weight_hh${suffix}`],
        b_ih: weights[`bias_ih${suffix}`] || zeros,
        b_hh: weights[`bias_hh${suffix}`] || zeros,
      });
    }
  }
  const relu = data.nonlinearity === "relu";
  const model = {
    T,
    N,
    I,
    H,
    L,
    D,
    relu,
    name: data.nonlinearity,
    lengths: data.lengths,
    cell: (l, d) => cells[l * D + d],
    f: relu ? (a) => (a > 0 || Number.isNaN(a) ? a : 0) : Math.tanh,
    slope: relu ? (h) => (h > 0 ? 1 : 0) : (h) => 1 - h * h,
    x: (t, b) => view(arrays.x, t * N + b, I),
    h0: (l, d, b) => view(arrays.h_0, (l * D + d) * N + b, H),
    h: (l, d, t, b) => view(arrays.hidden, ((l * D + d) * T + t) * N + b, H),
    there: (t, b) => t >= 0 && t < data.lengths[b],
    first: (d, b) => (d ? data.lengths[b] - 1 : 0),
    // The step at which a direction ends, whose state h_n holds; -1 where the sequence is empty.
    last: (d, b) => (data.lengths[b] === 0 ? -1 : d ? 0 : data.lengths[b] - 1),
    y: (t, b, layer = L - 1) => joined(Array.from({ length: D }, (_, d) => model.h(layer, d, t, b))),
    below: (l, t, b) => (l === 0 ? model.x(t, b) : model.y(t, b, l - 1)),
    before(l, d, t, b) {
      const earlier = d ? t + 1 : t - 1;
      return model.there(earlier, b) ? model.h(l, d, earlier, b) : model.h0(l, d, b);
    },
    hn: (l, d, b) => (model.last(d, b) < 0 ? model.h0(l, d, b) : model.h(l, d, model.last(d, b), b)),
  };
  return model;
}

function view(array, row, width) {
  return array.subarray(row * width, (row + 1) * width);
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const all = new Float32Array(parts.reduce((size, part) => size + part.length, 0));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}

// The sum of row `row` of a matrix times a vector, one product after another.
function dot(matrix, row, vector) {
  let total = 0;
  const start = row * vector.length;
  for (let k = 0; k < vector.length; k++) total += matrix[start + k] * vector[k];
  return total;
}

// Computes every state anew in double precision, from the input and the weights alone.
// Returns how many numbers were compared and the largest difference, also relative to states above 1.
function recompute(model) {
  const { T, H, L, D } = model;
  const result = { count: 0, cells: 0, broken: 0, difference: 0, relative: 0, where: null };
  for (let b = 0; b < model.N; b++) {
    const steps = model.lengths[b];
    let below = Array.from({ length: steps }, (_, t) => Float64Array.from(model.x(t, b)));
    for (let l = 0; l < L; l++) {
      const above = below.map(() => new Float64Array(D * H));
      for (let d = 0; d < D; d++) {
        const cell = model.cell(l, d);
        let state = Float64Array.from(model.h0(l, d, b));
        for (let k = 0; k < steps; k++) {
          const t = d ? steps - 1 - k : k;
          const next = new Float64Array(H);
          const recorded = model.h(l, d, t, b);
          for (let u = 0; u < H; u++) {
            const a = dot(cell.w_ih, u, below[t]) + cell.b_ih[u] + cell.b_hh[u] + dot(cell.w_hh, u, state);
            next[u] = model.f(a);
            const difference = apart(next[u], recorded[u]);
            if (difference > result.difference) {
              result.difference = difference;
              result.where = { l, d, t, b, u };
            }
            const relative = difference === 0 ? 0 : difference / Math.max(1, Math.abs(next[u]) || 0);
            result.relative = Math.max(result.relative, Number.isNaN(relative) ? Infinity : relative);
          }
          above[t].set(next, d * H);
          state = next;
          result.cells += 1;
          result.broken += next.every(Number.isFinite) ? 0 : 1;
          result.count += H;
        }
      }
      below = above;
    }
  }
  return result;
}

// Infinite where one is a number and the other is none: a comparison with NaN would be passed over.
function apart(computed, recorded) {
  if (Object.is(Math.fround(computed), recorded)) return 0;
  const difference = Math.abs(computed - recorded);
  return Number.isNaN(difference) ? Infinity : difference;
}

// One hidden state: the products, the biases, the sum, the result, and the line that Trace.at prints.
function spell(model, l, d, t, b, u) {
  const { D } = model;
  const { suffix, w_ih, w_hh, b_ih, b_hh } = model.cell(l, d);
  const earlier = d ? t + 1 : t - 1;
  const names = {
    w_ih: `weight_ih${suffix}[${u}]`,
    x: l === 0 ? `x[${t}]` : `y${l - 1}[${t}]`,
    w_hh: `weight_hh${suffix}[${u}]`,
    h: model.there(earlier, b) ? `h[${earlier}]` : `h_0[${l * D + d}]`,
    b_ih: `bias_ih${suffix}[${u}]`,
    b_hh: `bias_hh${suffix}[${u}]`,
  };
  const fromInput = products(w_ih, u, model.below(l, t, b), names.w_ih, names.x);
  const fromState = products(w_hh, u, model.before(l, d, t, b), names.w_hh, names.h);
  const inputTerm = fromInput.reduce((total, product) => total + product.value, 0);
  const recurrentTerm = fromState.reduce((total, product) => total + product.value, 0);
  const sum = inputTerm + b_ih[u] + b_hh[u] + recurrentTerm;
  const value = model.h(l, d, t, b)[u];
  const terms = [...written(fromInput), ...written(fromState), rounded(b_ih[u]), rounded(b_hh[u])];
  return {
    names,
    fromInput,
    fromState,
    inputTerm,
    recurrentTerm,
    b_ih: b_ih[u],
    b_hh: b_hh[u],
    sum,
    value,
    formula: `${model.name}(${sumText(terms)}) = ${model.name}(${rounded(sum)}) = ${rounded(value)}`,
  };
}

function products(matrix, row, vector, weight, source) {
  return Array.from(vector, (factor, k) => {
    const w = matrix[row * vector.length + k];
    return {
      k,
      weight: `${weight.slice(0, -1)}, ${k}]`,
      source: `${source.slice(0, -1)}, ${k}]`,
      w,
      factor,
      value: w * factor,
    };
  });
}

function byMagnitude(all) {
  return [...all].sort((one, other) => Math.abs(other.value) - Math.abs(one.value) || one.k - other.k);
}

function written(all) {
  const shown =
    all.length <= SPELT
      ? all
      : byMagnitude(all)
          .slice(0, LARGEST)
          .sort((one, other) => one.k - other.k);
  const said = shown.map(({ w, factor }) => {
    const text = rounded(factor);
    return `${rounded(w)}·${text.startsWith("-") ? `(${text})` : text}`;
  });
  return shown.length === all.length ? said : [...said, "…"];
}

function sumText([first, ...rest]) {
  return first + rest.map((term) => (term.startsWith("-") ? ` - ${term.slice(1)}` : ` + ${term}`)).join("");
}

// The norm, by input step, of the gradient of one unit (u) or of the Jacobian of all units (u null) of a state.
function sensitivity(model, l, d, t, b, u) {
  const { H, L, D } = model;
  const steps = model.lengths[b];
  const rows = u === null ? H : 1;
  let wanted = Array.from({ length: D }, () => new Array(steps).fill(null));
  const seed = new Float64Array(rows * H);
  for (let r = 0; r < rows; r++) seed[r * H + (u === null ? r : u)] = 1;
  wanted[d][t] = seed;
  for (let layer = l; layer >= 0; layer--) {
    const width = model.cell(layer, 0).inputs;
    const gradients = new Array(steps).fill(null);
    for (let way = 0; way < D; way++) {
      const cell = model.cell(layer, way);
      let carried = null;
      for (let k = 0; k < steps; k++) {
        const step = way ? k : steps - 1 - k;
        const g = added(wanted[way][step], carried);
        if (g === null) continue;
        const h = model.h(layer, way, step, b);
        const slopes = Float64Array.from(h, model.slope);
        for (let i = 0; i < g.length; i++) g[i] *= slopes[i % H];
        carried = timesMatrix(g, cell.w_hh, rows, H, H);
        gradients[step] = added(gradients[step], timesMatrix(g, cell.w_ih, rows, H, width));
      }
    }
    if (layer === 0) return gradients.map((g) => (g === null ? 0 : Math.sqrt(g.reduce((sum, v) => sum + v * v, 0))));
    wanted = Array.from({ length: D }, (_, way) =>
      gradients.map((g) => (g === null ? null : columns(g, rows, width, way * H, H))),
    );
  }
  return [];
}

function added(one, other) {
  if (one === null || other === null) return one === null ? (other === null ? null : other.slice()) : one.slice();
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
  const part = new Float64Array(rows * count);
  for (let r = 0; r < rows; r++) part.set(g.subarray(r * width + first, r * width + first + count), r * count);
  return part;
}
