// What a cell computes at one step and what flows back through it. A kind of cell is a record of its own here; the loops
// over steps, layers and directions (model.js) know its gates and states by number and name only.
//
// gates: how many blocks of H rows W_ih, W_hh and the biases have. states: what is carried to the next step; "h" is the
// output. step: from both sums of one step, each (gates * H), and the states before, to the states after.
// back: from what flows into the state after to what flows out at the two sums; g is (rows, H), for `rows` losses at once.

function elmanCell(name, f, slope) {
  return {
    name,
    gates: 1,
    states: ["h"],
    f,
    slope, // of f, from its value
    step: (fromInput, fromState) => ({ h: fromInput.map((a, u) => f(a + fromState[u])) }),
    back(after, g, H) {
      const slopes = Float64Array.from(after.h, slope);
      const dz = g.map((value, i) => value * slopes[i % H]);
      return { input: dz, recurrent: dz };
    },
  };
}

const CELLS = {
  tanh: elmanCell("tanh", Math.tanh, (h) => 1 - h * h),
  relu: elmanCell(
    "relu",
    (a) => (a > 0 || Number.isNaN(a) ? a : 0),
    (h) => (h > 0 ? 1 : 0),
  ),
};
