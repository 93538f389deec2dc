// What a cell computes at one step and what flows back through it. A kind of cell is a record of its own here; the loops
// over steps, layers and directions (model.js, gradient.js) and what spells numbers out know its gates and states by number
// and name only. _cells.py says the same in Python.
//
// gates: the blocks of H rows that W_ih, W_hh and the biases have, each with the function of its sum; `multiplier` is the
// gate that multiplies W_hh h + b_hh before it is added. states: what is carried to the next step; "h" is the output.
// updates: each state as a sum of products of factors: gates, states, "1 - " or "tanh()" of one, and with "-" behind it the
// state before; none: the only gate is the state. keeper: the gate that says which share of the state `kept` stays.
// leaks: whether that is said by a leak α, which is no gate: 1 - α stays. Then a drive may be in the sum of the input.
// step: from both sums of one step, each (gates * H), the states before and the leak, to the gates and the states after.
// back: from what flows into the states after to what flows out at the two sums and at the states before, besides what comes
// through W_hh; each g is (rows, H), for `rows` losses at once, or null. `total` is what reaches each state in all.

// At NaN each slope is what torch's derivative is there: that of relu 1, the others NaN.
const FUNCTIONS = {
  tanh: { f: Math.tanh, slope: (value) => 1 - value * value },
  relu: { f: (a) => (a > 0 || Number.isNaN(a) ? a : 0), slope: (value) => (value <= 0 ? 0 : 1) },
  sigmoid: { f: (a) => 1 / (1 + Math.exp(-a)), slope: (value) => value * (1 - value) },
  softplus: { f: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))), slope: (value) => -Math.expm1(-value) },
  retanh: { f: (a) => Math.max(Math.tanh(a), 0), slope: (value) => (value <= 0 ? 0 : 1 - value * value) },
  identity: { f: (a) => a, slope: () => 1 },
};

function elmanCell(name) {
  const { f, slope } = FUNCTIONS[name];
  return {
    name,
    gates: [{ name: "h", f: name }],
    states: ["h"],
    updates: [],
    step(fromInput, fromState) {
      const h = fromInput.map((a, u) => f(a + fromState[u]));
      return { gates: h, states: { h } };
    },
    back(at, { h: g }, H) {
      const slopes = Float64Array.from(at.states.h, slope);
      const dz = g.map((value, i) => value * slopes[i % H]);
      return { input: dz, recurrent: dz, before: {}, total: { h: g } };
    },
  };
}

// The gradient at the sums of all gates, (rows, gates * H), from that of each gate and unit: fill(g, u) gives them in order.
function atSums(g, H, gates, fill) {
  const result = new Float64Array(g.length * gates);
  for (let i = 0; i < g.length; i++) {
    const [row, u] = [Math.floor(i / H), i % H];
    fill(i, u).forEach((value, k) => (result[(row * gates + k) * H + u] = value));
  }
  return result;
}

const part = (gates, H, k) => gates.subarray(k * H, (k + 1) * H);

const GRU = {
  name: "GRU",
  gates: [
    { name: "r", f: "sigmoid" },
    { name: "z", f: "sigmoid" },
    { name: "n", f: "tanh", multiplier: "r" },
  ],
  states: ["h"],
  updates: [{ state: "h", products: [["1 - z", "n"], ["z", "h-"]] }],
  keeper: "z",
  kept: "h",
  step(fromInput, fromState, before) {
    const H = before.h.length;
    const { f } = FUNCTIONS.sigmoid;
    const gates = new Float64Array(3 * H);
    const h = new Float64Array(H);
    for (let u = 0; u < H; u++) {
      const r = (gates[u] = f(fromInput[u] + fromState[u]));
      const z = (gates[H + u] = f(fromInput[H + u] + fromState[H + u]));
      const n = (gates[2 * H + u] = Math.tanh(fromInput[2 * H + u] + r * fromState[2 * H + u]));
      h[u] = (1 - z) * n + z * before.h[u];
    }
    return { gates, states: { h } };
  },
  back(at, { h: g }, H) {
    const [r, z, n] = [0, 1, 2].map((k) => part(at.gates, H, k));
    const dn = (i, u) => g[i] * (1 - z[u]) * (1 - n[u] * n[u]);
    const sums = (last) =>
      atSums(g, H, 3, (i, u) => [
        dn(i, u) * at.fromState[2 * H + u] * r[u] * (1 - r[u]),
        g[i] * (at.before.h[u] - n[u]) * z[u] * (1 - z[u]),
        last(i, u),
      ]);
    const before = { h: g.map((value, i) => value * z[i % H]) };
    return { input: sums(dn), recurrent: sums((i, u) => dn(i, u) * r[u]), before, total: { h: g } };
  },
};

const LSTM = {
  name: "LSTM",
  gates: [
    { name: "i", f: "sigmoid" },
    { name: "f", f: "sigmoid" },
    { name: "g", f: "tanh" },
    { name: "o", f: "sigmoid" },
  ],
  states: ["h", "c"],
  updates: [
    { state: "c", products: [["f", "c-"], ["i", "g"]] },
    { state: "h", products: [["o", "tanh(c)"]] },
  ],
  keeper: "f",
  kept: "c",
  // What of a gradient at h reaches c of the same step.
  feeds: { c: { name: "o·(1 - tanh(c)²)", by: (at, H, u) => at.gates[3 * H + u] * (1 - Math.tanh(at.states.c[u]) ** 2) } },
  step(fromInput, fromState, before) {
    const H = before.h.length;
    const { f: sigmoid } = FUNCTIONS.sigmoid;
    const gates = new Float64Array(4 * H);
    const [h, c] = [new Float64Array(H), new Float64Array(H)];
    for (let u = 0; u < H; u++) {
      const i = (gates[u] = sigmoid(fromInput[u] + fromState[u]));
      const f = (gates[H + u] = sigmoid(fromInput[H + u] + fromState[H + u]));
      const g = (gates[2 * H + u] = Math.tanh(fromInput[2 * H + u] + fromState[2 * H + u]));
      const o = (gates[3 * H + u] = sigmoid(fromInput[3 * H + u] + fromState[3 * H + u]));
      c[u] = f * before.c[u] + i * g;
      h[u] = o * Math.tanh(c[u]);
    }
    return { gates, states: { h, c } };
  },
  back(at, { h, c }, H) {
    const [i, f, g, o] = [0, 1, 2, 3].map((k) => part(at.gates, H, k));
    const through = h && h.map((value, k) => value * this.feeds.c.by(at, H, k % H));
    const dc = added(through, c);
    const dz = atSums(dc, H, 4, (k, u) => [
      dc[k] * g[u] * i[u] * (1 - i[u]),
      dc[k] * at.before.c[u] * f[u] * (1 - f[u]),
      dc[k] * i[u] * (1 - g[u] * g[u]),
      h ? h[k] * Math.tanh(at.states.c[u]) * o[u] * (1 - o[u]) : 0,
    ]);
    return { input: dz, recurrent: dz, before: { c: dc.map((value, k) => value * f[k % H]) }, total: { h, c: dc }, through };
  },
};

const LEAKS = { name: "LeakyRNN", leaks: true, keeper: "(1 - α)" };

// Form "activation": the state leaks to n, f of the sum.
function leakyCell(name) {
  const { f, slope } = FUNCTIONS[name];
  return {
    ...LEAKS,
    gates: [{ name: "n", f: name }],
    states: ["h"],
    updates: [{ state: "h", products: [["1 - α", "h-"], ["α", "n"]] }],
    kept: "h",
    step(fromInput, fromState, before, leak) {
      const gates = fromInput.map((a, u) => f(a + fromState[u]));
      return { gates, states: { h: gates.map((n, u) => (1 - leak[u]) * before.h[u] + leak[u] * n) } };
    },
    back(at, { h: g }, H) {
      const dz = g.map((value, i) => value * at.leak[i % H] * slope(at.gates[i % H]));
      return { input: dz, recurrent: dz, before: { h: g.map((value, i) => value * (1 - at.leak[i % H])) }, total: { h: g } };
    },
  };
}

// Form "potential": v leaks to a, the sum, and h = f(v). h before the first step is f of v before it.
function potentialCell(name) {
  const { f, slope } = FUNCTIONS[name];
  return {
    ...LEAKS,
    gates: [{ name: "a", f: "identity" }],
    states: ["h", "v"],
    updates: [
      { state: "v", products: [["1 - α", "v-"], ["α", "a"]] },
      { state: "h", products: [[`${name}(v)`]] },
    ],
    kept: "v",
    first: { h: ({ v }) => v.map(f) },
    feeds: { v: { name: `${name}'(v)`, by: (at, H, u) => slope(at.states.h[u]) } },
    step(fromInput, fromState, before, leak) {
      const gates = fromInput.map((a, u) => a + fromState[u]);
      const v = gates.map((a, u) => (1 - leak[u]) * before.v[u] + leak[u] * a);
      return { gates, states: { h: v.map(f), v } };
    },
    back(at, { h, v }, H) {
      const through = h && h.map((value, i) => value * this.feeds.v.by(at, H, i % H));
      const dv = added(through, v);
      const dz = dv.map((value, i) => value * at.leak[i % H]);
      return { input: dz, recurrent: dz, before: { v: dv.map((value, i) => value * (1 - at.leak[i % H])) }, total: { h, v: dv }, through };
    },
  };
}

const CELLS = { rnn_tanh: elmanCell("tanh"), rnn_relu: elmanCell("relu"), gru: GRU, lstm: LSTM };
for (const name of ["tanh", "relu", "sigmoid", "softplus", "retanh"]) {
  CELLS[`leaky_${name}`] = leakyCell(name);
  CELLS[`potential_${name}`] = potentialCell(name);
}

// The share of the state `kept` that stays at a step.
const shareKept = ({ gates, keeper, leaks }, at, H, u) =>
  leaks ? 1 - at.leak[u] : at.gates[gates.findIndex(({ name }) => name === keeper) * H + u];

const isGated = (kind) => kind.updates.length > 0;
