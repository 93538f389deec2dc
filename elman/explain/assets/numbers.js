// Numbers: how they are written, and one state spelled out.
// The writing is that of _numbers.py, _arithmetic.py and _gated.py, digit for digit.

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

// Three significant digits in place of a 0 that only rounding made: what multiplies a gradient is seldom none.
const seen = (value, writing = rounded) => (value !== 0 && Number(writing(value)) === 0 ? short(value) : writing(value));

// The sum of one gate of a unit (of an RNN the only one, its hidden state): the products, the biases, the sum, the result,
// and the line that Trace.at prints.
function spell(model, { l, d, t, u }, b, number = 0) {
  const { D, H, kind } = model;
  const { suffix, inputs, biased, w_ih, w_hh, b_ih, b_hh } = model.cell(l, d);
  const gate = kind.gates[number];
  const row = number * H + u;
  const earlier = d ? t + 1 : t - 1;
  const names = {
    w_ih: `weight_ih${suffix}[${row}]`,
    x: l === 0 ? `x[${t}]` : `y${l - 1}[${t}]`,
    w_hh: `weight_hh${suffix}[${row}]`,
    h: beforeName(model, "h", { l, d, t }, b),
    b_ih: `bias_ih${suffix}[${row}]`,
    b_hh: `bias_hh${suffix}[${row}]`,
  };
  const fromInput = products(w_ih, row, model.below(l, t, b), names.w_ih, names.x);
  const fromState = products(w_hh, row, model.before("h", l, d, t, b), names.w_hh, names.h);
  // Where each number lies, for those that can be changed: weights, the input, h_0.
  const start = ((l * D + d) * model.N + b) * H;
  fromInput.forEach((product, k) => {
    product.of = { name: `weight_ih${suffix}`, at: [row * inputs + k] };
    product.from = l === 0 ? { name: "x", at: [t, b, k] } : null;
  });
  fromState.forEach((product, k) => {
    product.of = { name: `weight_hh${suffix}`, at: [row * H + k] };
    product.from = model.there(earlier, b) || kind.first?.h ? null : { name: "h_0", at: [start + k] };
  });
  const inputTerm = fromInput.reduce((total, product) => total + product.value, 0);
  const recurrentTerm = fromState.reduce((total, product) => total + product.value, 0);
  const gated = isGated(kind);
  const other = kind.gates.findIndex(({ name }) => name === gate.multiplier);
  const multiplier = other < 0 ? null : { name: gate.multiplier, value: spell(model, { l, d, t, u }, b, other).value };
  const drive = model.term("drive", l, d, t, b)?.[u] ?? null;
  const sum = multiplier
    ? inputTerm + b_ih[row] + multiplier.value * (recurrentTerm + b_hh[row])
    : inputTerm + b_ih[row] + b_hh[row] + recurrentTerm + (drive ?? 0);
  const value = gated ? FUNCTIONS[gate.f].f(sum) : model.h(l, d, t, b)[u];
  const terms = multiplier
    ? [
        ...written(fromInput),
        rounded(b_ih[row]),
        `${rounded(multiplier.value)}·(${sumText([...written(fromState), rounded(b_hh[row])])})`,
      ]
    : [...written(fromInput), ...written(fromState), ...[b_ih[row], b_hh[row], ...(drive === null ? [] : [drive])].map(rounded)];
  const line =
    gate.f === "identity"
      ? `${sumText(terms)} = ${rounded(value)}`
      : `${gate.f}(${sumText(terms)}) = ${gate.f}(${rounded(sum)}) = ${rounded(value)}`;
  return {
    names,
    gate,
    multiplier,
    at: { row, suffix, biased },
    fromInput,
    fromState,
    inputTerm,
    recurrentTerm,
    b_ih: b_ih[row],
    b_hh: b_hh[row],
    drive,
    sum,
    value,
    formula: gated ? `${gate.name} = ${line}` : line,
  };
}

// `h[2]`, the state that entered a step, by its own step, or `h_0[1]`, by its row.
function beforeName(model, state, { l, d, t }, b) {
  const earlier = d ? t + 1 : t - 1;
  return model.there(earlier, b) ? `${state}[${earlier}]` : `${state}_0[${l * model.D + d}]`;
}

// What the gates of a unit make: each state's update, in letters and in numbers, as Trace.at prints it.
function spellUpdates(model, place, b) {
  const { kind } = model;
  const { l, d, t, u } = place;
  const values = Object.fromEntries(kind.gates.map((gate, k) => [gate.name, spell(model, place, b, k).value]));
  for (const name of kind.states) {
    values[name] = model.state(name, l, d, t, b)[u];
    values[`${name}-`] = model.before(name, l, d, t, b)[u];
  }
  if (kind.leaks) values["α"] = model.term("leak", l, d, t, b)[u];
  const letters = (name) =>
    name.endsWith("-") ? beforeName(model, name[0], place, b) : name.startsWith("1 - ") ? `(${name})` : name;
  const numbers = (name, k) => {
    if (name.startsWith("1 - ")) return `(1 - ${rounded(values[name.slice(4)])})`;
    const inside = name.match(/^(\w+)\((.*)\)$/);
    if (inside) return `${inside[1]}(${rounded(values[inside[2]])})`;
    const text = rounded(values[name]);
    return k === 0 || !text.startsWith("-") ? text : `(${text})`;
  };
  const updates = kind.updates.map(({ state, products }) => {
    const inLetters = products.map((product) => product.map(letters).join("·")).join(" + ");
    const inNumbers = sumText(products.map((product) => product.map(numbers).join("·")));
    return { state, formula: `${state} = ${inLetters} = ${inNumbers} = ${rounded(values[state])}` };
  });
  return { values, updates };
}

// Which rows of the stacked weights belong to which gate.
const rowsSaid = ({ kind, H }) =>
  kind.gates.map(({ name }, k) => `${name}\u00a0${k * H}${H > 1 ? `-${(k + 1) * H - 1}` : ""}`).join(" | ");

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
  return Math.abs(value) < 0.01 || Math.abs(value) >= 100 ? scientific(value, 0) : String(Number(value.toPrecision(2)));
}

// -1.2e5: so many digits after the point, and a power of ten.
const scientific = (value, digits) => value.toExponential(digits).replace("e+", "e");

// The text of a number, or where it has more letters than there is room for, one of fewer digits.
function fitted(text, value, letters) {
  const plain = Math.abs(value) >= 1 && Math.abs(value) < 100 ? [value.toFixed(1), value.toFixed(0)] : [];
  const ways = [text, ...plain, scientific(value, 1), scientific(value, 0)];
  return ways.find((way) => way.length <= letters) ?? ways.at(-1);
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
    return `${(number === short ? seen : rounded)(w)}·${text.startsWith("-") ? `(${text})` : text}`;
  });
  return shown.length === all.length ? said : [...said, "…"];
}

function sumText([first, ...rest]) {
  return first + rest.map((term) => (term.startsWith("-") ? ` - ${term.slice(1)}` : ` + ${term}`)).join("");
}
