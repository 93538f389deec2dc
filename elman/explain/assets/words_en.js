// All that the page says, in English. Values come in as arguments and are only ever shown as text.

const stepOn = ({ T }) =>
  T === 1 ? "At another step the numbers would be others, the weights the same." : "Press “one step on” (or the key →): the numbers change, the weights never do.";

const ENGLISH = {
  skip: "Skip to the grid",
  tour: "Guided tour",
  language: "한국어",
  languageLabel: "한국어로 보기",
  shapes: "Shapes",
  lessons: "Lessons",
  lesson: (number, count) => `Lesson ${number} of ${count}: all lessons`,
  learned: "In one sentence:",
  axes: { time: "time", batch: "batch", feature: "feature", "layer·direction": "layer·direction" },
  axesShort: { feature: "feat.", "layer·direction": "lay·dir" },
  batchFirstOwn: (value) => `this layer: ${value ? "True" : "False"}`,
  batchFirstTitle: "Reads the same tensor with its first two axes the other way round, and computes everything anew.",
  batchFirstSaid: (value, shape, N, T) =>
    `batch_first=${value ? "True" : "False"}: the same tensor ${shape} is read as ${T} sequence${T === 1 ? "" : "s"} of ${N} step${N === 1 ? "" : "s"}, not ${N} of ${T}, and everything is computed anew. input and output are ${value ? "(batch, time, …)" : "(time, batch, …)"}; h_0 and h_n keep their order.`,
  batchFirstBack: (value) => `batch_first=${value ? "True" : "False"}: as it was recorded.`,
  batchFirstRefused: (N, T) =>
    `torch would refuse this call: the batch of h_0 is ${N} and would have to be ${T}. Here h_0 is 0.`,
  batchFirstLengths: "The lengths do not fit this reading; every step is read.",
  batchFirstNone: "no batch axis here",
  batchFirstPart: "not all sequences are in this page",
  batchFirstTerms: "leak or drive belong to these steps",
  unchanged: "same order",
  changes: "Try:",
  zeroStates: "W_hh = 0",
  zeroInput: (t) => `x[${t}] = 0`,
  backward: "Backward",
  loss: "loss",
  lossOf: (step, value) => `loss after ${step}: ${value}`,
  lossNone: "no loss at this step",
  lossChoose: "Takes the loss of this step in or leaves it out",
  lossEntropy: (t, target, value) => `Loss after step ${t}: ${value}, the cross-entropy −log p(“${target}”).`,
  lossSquare: (t, y, target, value, count) =>
    count === 1
      ? `Loss after step ${t}: ${value}, that is (y − target)² with y[${t}] = W_y h[${t}] + b_y = ${y} and target ${target}.`
      : `Loss after step ${t}: ${value}, the sum of (y − target)² over the ${count} numbers of y[${t}] = W_y h[${t}] + b_y, with target ${target}.`,
  lossIsUnit: (name, value, head) =>
    `${head ? "What should come out is not known here" : "There is no output layer here"}, so the loss is a number of output itself: ${name} = ${value}.`,
  lossMore: (n) => `… and that of ${n} more step${n === 1 ? "" : "s"}.`,
  backAbout: "dL/dh says how much the loss changes when a number changes a little. Arrows and lines are as thick as the gradient is large.",
  backHint: "Click a loss to take it in or to leave it out.",
  backMade: "how this gradient is made",
  backFrom: {
    loss: "from the loss",
    above: "from above",
    through: "through h",
    next: "from the next state",
    kept: "kept by the gate",
    leaked: "kept by 1 − α",
  },
  backSlope: (name) => `dL/da is the gradient at the sum inside ${name}: dL/dh times the derivative of ${name} there.`,
  backSums: (rows, leaks) =>
    `dL/da is the gradient at the sum ${leaks ? "of each unit" : "inside each gate"}, numbered as the rows of the weights: ${rows}.`,
  keptSaid: (state, gate, unit, n, product) =>
    `Along ${state} of unit ${unit} nothing but ${gate} multiplies: over ${n === 1 ? "one step" : `${n} steps`} ${product} of the gradient stays. What comes through W_hh is added to it.`,
  waySaidGates: (n, name, each, all) =>
    `In all, with W_hh and every factor, the gradient of ${name} becomes about ${each} times as large ${n === 1 ? "in this step" : `with each of the ${n} steps`}: ${all} times.`,
  wayTitle: (from, to) => `The way back from step ${from} to step ${to}`,
  waySaid: (n, each, all, slope, name) =>
    `${n === 1 ? "One step multiplies" : `${n} steps, each of which multiplies`} the gradient by the derivative of ${name} (here ${slope} on average) and by W_hh: about ${each} a step, ${all} in all.`,
  wayNone: "The gradient has come no step back to here.",
  undo: "Undo",
  restore: "As recorded",
  change: (name) => `${name}, to be changed`,
  fieldTitle: "Change it: everything is computed anew. Z takes it back.",
  was: (value) => `was ${value}`,
  moved: (count, cells, where, before, now) =>
    `${count} of ${cells} hidden state${cells === 1 ? "" : "s"} moved; most of all ${where}: ${before} → ${now}.`,
  movedNothing: "No hidden state moved.",
  movedNone: "Click a number in the panel to change it, too.",
  movedOther: "This is not the recorded run.",
  typed: "Your own text:",
  typedHint: (separator) => (separator ? "words and spaces" : "type here"),
  typedUnknown: (tokens) => `not known here: ${tokens}`,
  sequence: "sequence",
  sequenceOf: (shown, all) => (shown === all ? `of ${all}` : `${shown} of ${all} are in this page`),
  first: "first step",
  previous: "one step back",
  play: "Play",
  pause: "Pause",
  next: "one step on",
  last: "last step",
  stepOf: (t, T) => (T === 1 ? "step 0, the only one" : `step ${t} of 0 … ${T - 1}`),
  step: (t) => `step ${t}`,
  grid: "The network unrolled: time from left to right, layers from bottom to top",
  output: "output",
  input: "input",
  layer: (l) => `layer ${l}`,
  forward: "forward",
  reverse: "reverse",
  way: (l, d, D) => (D === 1 ? `layer ${l}` : `layer ${l} ${d ? "reverse" : "forward"}`),
  predicted: "predicted",
  predictedRow: "What the model predicts after this step, likeliest first",
  influence: "influence",
  nothing: "past the end of this sequence: nothing is computed",
  values: (n) => `${n} numbers`,
  range: (low, high) => `from ${low} to ${high}`,
  pin: "Pin",
  unpin: "Unpin",
  pinned: "pinned",
  cursor: "at the cursor",
  pinHint: "Click a cell, or press Enter, to pin its vector; step on and compare.",
  unit: (u) => `unit ${u}`,
  chooseUnit: "Units. Choose one to see its arithmetic.",
  made: () => "how this number is made",
  sum: "sum",
  product: ["weight", "times", "product"],
  productsOf: (shown, all) => (shown === all ? `All ${all} products` : `The ${shown} largest of ${all} products`),
  showAll: (n) => `show all ${n}`,
  showLess: "show fewer",
  slope: (name, value) => `The derivative of ${name} here is ${value}. It multiplies every gradient that passes through.`,
  gatesTitle: "The gates of this unit",
  gateRows: (rows) => `Rows of weight_ih, weight_hh and the biases: ${rows}.`,
  keeps: (gate, state, share, steps) =>
    `At ${gate} = ${share}, ${state} fades with a time constant of 1/(1 − ${gate}) = ${steps} steps.`,
  gates: {
    GRU: {
      r: { title: "reset gate", said: "r says how much of the state before the candidate n reads: at 0 none." },
      z: { title: "update gate", said: "z says which share of the state before stays: 1 keeps it, 0 takes the candidate n in its place." },
      n: { title: "candidate", said: "n is the candidate, what the state would become. r multiplies W_hh h + b_hh, the bias included." },
    },
    LSTM: {
      i: { title: "input gate", said: "i says how much of the candidate g is written into c." },
      f: { title: "forget gate", said: "f says which share of c stays: 1 keeps it, 0 forgets it." },
      g: { title: "candidate", said: "g is the candidate, what would be written into c." },
      o: { title: "output gate", said: "o says how much of tanh(c) shows in h." },
    },
  },
  same: "The same number also stands in",
  sameNot: "This number stands in no result: output holds the last layer only, h_n the last steps only.",
  sameNotC: (name) => `This number stands in no result: ${name} is not part of output, and ${name}_n holds the last steps only.`,
  isV: "v is the potential, the state of this layer. The next step keeps 1 − α of it and adds α times the sum; h = f(v) is what others see of it.",
  leaks: {
    n: "n is what the state leaks to: f of the sum.",
    a: "a is what the potential leaks to: the sum itself. f comes after it.",
  },
  leakKeeps: (state, leak, steps) => `At the leak α = ${leak}, ${state} fades with a time constant of 1/α = ${steps} steps.`,
  driveSaid: "The drive is what the call was given beside the input, and the noise as it was drawn. It stays as recorded when you change a number.",
  isC: "c is the cell state, the LSTM’s memory. The next step multiplies it by f and adds to it; no matrix and no tanh lies on that way.",
  isOutput: "output is the last layer’s hidden state, step by step. Nothing is computed here.",
  isOutputTwo: "output holds the last layer’s two directions side by side: forward first, then reverse.",
  isEnd: (name, t, way) =>
    `${name}_n holds every layer’s and direction’s state after its last step: this one is ${name}[${t}], ${way}.`,
  isEndEmpty: (name) => `The sequence has no step, so ${name}_n is ${name}_0.`,
  isStart: (name) =>
    `${name}_0 is the state before the first step: zeros, unless you pass hx. ${name}[0], with brackets, is the state after step 0.`,
  isFirst: (name, start) =>
    `This is the first step: the state before it is ${start}, and ${name}[…] is the state after a step.`,
  isAbove: (l, t, two) =>
    `y${l - 1}[${t}] is what layer ${l - 1} gives to layer ${l}: its hidden state at step ${t}${two ? ", forward and then reverse" : ""}.`,
  isInput: "The layer’s input at this step.",
  influenceTitle: "How much each input step moves this state",
  influenceOf: (where, unit) => `${where}, ${unit === null ? "all units" : `unit ${unit}`}`,
  allUnits: "all units",
  thisUnit: "this unit",
  log: "log scale",
  influenceSaid: (kind, lag, ratio) =>
    ({
      vanish: `Gradients vanish: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts ${ratio} times as much as the newest.`,
      explode: `Gradients explode: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts ${ratio} times as much as the newest.`,
      cut: `Gradients vanish: the input ${lag} step${lag === 1 ? "" : "s"} earlier does not count at all.`,
      shrink: `Gradients shrink: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts only ${ratio} times as much as the newest.`,
      grow: `Gradients grow: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts ${ratio} times as much as the newest.`,
      keep: `Gradients are carried: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts ${ratio} times as much as the newest.`,
      peak: `Remembered: the input ${lag} step${lag === 1 ? "" : "s"} earlier counts most, ${ratio} times as much as the newest.`,
      one: "This state has read one input only.",
      none: "The newest input does not move this state at all.",
      bad: "The gradient is not finite: there are NaN or infinite numbers on its way.",
      nan: "This state is NaN, so its gradient says nothing: look for it in the input and the weights.",
    })[kind],
  influenceNone: "Choose a hidden state: nothing comes before an input or h_0.",
  besideTitle: "The same input through other layers: how much each step moves the last state",
  besideSaid: (ratio) => `step 0 counts ${ratio} times as much as the last`,
  besideScale: (last) => `Steps 0 to ${last} from left to right, on a logarithmic scale from 1 down to 1e-10 of the largest, as recorded.`,
  radius: (radius) => `A small change of the state becomes about ${radius} times as large with each step.`,
  radiusTitle: (own, layer) =>
    `The spectral radius of one step’s Jacobian dh_t/dh_(t-1), the median over the steps.${own === null ? "" : ` That of weight_hh_l${layer} alone is ${own}.`}`,
  check: (cells, difference, large) =>
    `${cells} cell${cells === 1 ? "" : "s"} recomputed here; largest ${large ? "relative " : ""}difference ${difference}`,
  checkBad: (cells, difference, large) =>
    `${cells} ${cells === 1 ? "cell recomputed here differs" : "cells recomputed here differ"} by up to ${difference}${large ? " of the state’s size" : ""}`,
  checkNone: (cells, broken) =>
    `${broken} of ${cells} cell${cells === 1 ? "" : "s"} ${broken === 1 ? "is" : "are"} NaN or infinite: look for it in the input and the weights${broken < cells ? "; the others are as recorded" : ""}`,
  checkTitle:
    "This page computes every hidden state anew from the input and the weights, in JavaScript, and compares it with the recorded one: one above 1 relative to its size.",
  kernels: (backend, difference, share) =>
    `${backend} kernels against the reference: the largest difference is ${difference}${share ? ` (up to ${share} times what torch.testing.assert_close allows)` : ""}`,
  keys: "Keys: ← → step, ↑ ↓ layer, Enter pins, Esc lets go, Home and End jump, Z takes a change back.",
  tourSteps: [
    {
      at: "row-x",
      place: () => ["l0", 0],
      title: "A sequence, step by step",
      text: () =>
        "Time runs from left to right. Each column is one step: it reads one vector of input, at the bottom.",
    },
    {
      at: "row-h",
      place: (m) => ["l0", Math.min(1, m.T - 1)],
      title: "The hidden state is the memory",
      text: (m) =>
        `Each cell holds ${m.H} number${m.H === 1 ? "" : "s"}: the hidden state. ${m.kind.states.includes("c") ? "With c, the cell state in the row below it, it" : m.kind.states.includes("v") ? "It is f of v, the potential in the row below it, and" : "It"} is made of two things only: the input of this step, and the hidden state of the step before. All that the layer remembers of the past has to fit into it.`,
    },
    {
      at: "arithmetic",
      place: (m) => ["l0", Math.min(1, m.T - 1)],
      title: "The same weights at every step",
      text: (m) =>
        m.kind.leaks
          ? `One unit of it, spelled out: 1 − α of ${m.kind.kept} stays, and α of ${m.kind.gates[0].name}, which input and state give, is added. ${stepOn(m)}`
        : m.gated
          ? `One unit of it, spelled out: ${m.kind.states.length > 1 ? "f keeps a share of c and i writes g into it, then o shows tanh(c) as h" : "z keeps a share of the state before, the rest is the candidate n"}. ${stepOn(m)}`
          : `One number of it, spelled out: weights times input, plus weights times the state before, plus two biases, and then ${m.name}. ${stepOn(m)}`,
    },
    {
      at: "gates",
      only: (kind) => kind.gates.length > 1,
      place: (m) => ["l0", Math.min(1, m.T - 1)],
      title: "Gates: numbers between 0 and 1 that multiply",
      text: (m) =>
        `Each gate is a sum of its own, weights times input, weights times state and two biases, squeezed between 0 and 1; the candidate is squeezed by tanh. Press one to see its sum. ${m.kind.states.length > 1 ? "The forget gate f" : "The update gate z"} is the one that remembers: near 1 the past stays, near 0 it is gone.`,
    },
    {
      at: "row-c",
      only: (kind) => kind.states.includes("c"),
      place: (m) => ["l0c", Math.min(1, m.T - 1)],
      title: "c: the memory that is only multiplied and added to",
      text: () =>
        "c goes from step to step through f alone: no matrix, no tanh. So where f is near 1, c keeps for about 1/(1 − f) steps, and the gradient comes back along it as far. output holds h only; c comes out at the end, as c_n.",
    },
    {
      at: "row-y",
      place: (m) => ["y", m.T - 1],
      title: "output: the last layer, all steps",
      text: (m) =>
        m.L === 1
          ? "output is the hidden state of every step. Its frame has nothing new in it."
          : `output is what the top one of the ${m.L} layers holds at every step. The layers below do not show in it.`,
    },
    {
      at: "ends",
      place: (m) => ["l0", m.T],
      title: "h_n: all layers, the last step",
      text: (m) =>
        m.L * m.D === 1
          ? "h_n is the state after the last step. Here, with one layer and one direction, it equals the last column of output. With more layers or directions it does not."
          : `h_n holds ${m.L * m.D} states, one for each layer${m.D === 2 ? " and direction" : ""}, each after its own last step. Only the rows of the last layer stand in output as well; the dashed frames link equal numbers.`,
    },
    {
      at: "ends",
      place: (m) => (m.D === 2 ? [`l${m.L - 1}r`, 0] : ["l0", m.T - 1]),
      title: "Two directions, and “the last step”",
      text: (m) =>
        m.D === 2
          ? `The reverse direction starts at the end and finishes at step 0. So ${m.lastOutput} holds the forward half after all steps, but the reverse half after a single one. The reverse direction’s result is at step 0; h_n has both results.`
          : "This layer reads forward only. With bidirectional=True a second one reads from the end: then its half of output’s last step has seen a single input, and its result stands at step 0. h_n has both results.",
    },
    {
      at: "ledger",
      place: () => null,
      title: "Where the batch goes",
      text: (m) =>
        m.batched
          ? `Sequences of a batch are computed side by side and never meet. batch_first says which of input’s first two axes is time: with the switch the same tensor is read the other way, and every number changes. The axes of h_0 and h_n keep their order: their batch is always the second.${m.canSwap ? " Try the switch." : ""}`
          : "This run had one sequence and no batch axis. With one, input is (time, batch, feature), or with batch_first (batch, time, feature); h_0 and h_n are (layer·direction, batch, feature) in both cases.",
    },
    {
      at: "influence",
      place: (m) => ["l0", m.T - 1],
      title: "How far back it remembers",
      text: () =>
        "The bars show how much each input moves the chosen state. Where they shrink to nothing, training cannot connect the two steps: the gradient vanishes.",
    },
  ],
  tourNext: "Next",
  tourBack: "Back",
  tourEnd: "Close",
  tourCount: (k, n) => `${k} of ${n}`,
};
