// Numbers: how they are written, and one state spelled out.
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

// One hidden state: the products, the biases, the sum, the result, and the line that Trace.at prints.
function spell(model, l, d, t, b, u) {
  const { D } = model;
  const { suffix, inputs, biased, w_ih, w_hh, b_ih, b_hh } = model.cell(l, d);
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
  // Where each number lies, for those that can be changed: weights, the input, h_0.
  const start = ((l * D + d) * model.N + b) * model.H;
  fromInput.forEach((product, k) => {
    product.of = { name: `weight_ih${suffix}`, at: [u * inputs + k] };
    product.from = l === 0 ? { name: "x", at: [t, b, k] } : null;
  });
  fromState.forEach((product, k) => {
    product.of = { name: `weight_hh${suffix}`, at: [u * model.H + k] };
    product.from = model.there(earlier, b) ? null : { name: "h_0", at: [start + k] };
  });
  const inputTerm = fromInput.reduce((total, product) => total + product.value, 0);
  const recurrentTerm = fromState.reduce((total, product) => total + product.value, 0);
  const sum = inputTerm + b_ih[u] + b_hh[u] + recurrentTerm;
  const value = model.h(l, d, t, b)[u];
  const terms = [...written(fromInput), ...written(fromState), rounded(b_ih[u]), rounded(b_hh[u])];
  return {
    names,
    at: { u, suffix, biased },
    fromInput,
    fromState,
    inputTerm,
    recurrentTerm,
    b_ih: b_ih[u],
    b_hh: b_hh[u],
    sum,
    value,
    formula: `${model.kind.name}(${sumText(terms)}) = ${model.kind.name}(${rounded(sum)}) = ${rounded(value)}`,
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

// One or two digits, where there is no room for more.
function tiny(value) {
  if (!Number.isFinite(value) || value === 0) return short(value);
  return Math.abs(value) < 0.01 || Math.abs(value) >= 100 ? value.toExponential(0) : String(Number(value.toPrecision(2)));
}

function written(all, number = rounded) {
  const shown =
    all.length <= SPELT
      ? all
      : byMagnitude(all)
          .slice(0, LARGEST)
          .sort((one, other) => one.k - other.k);
  const said = shown.map(({ w, factor }) => {
    const text = number(factor);
    return `${rounded(w)}·${text.startsWith("-") ? `(${text})` : text}`;
  });
  return shown.length === all.length ? said : [...said, "…"];
}

function sumText([first, ...rest]) {
  return first + rest.map((term) => (term.startsWith("-") ? ` - ${term.slice(1)}` : ` + ${term}`)).join("");
}
