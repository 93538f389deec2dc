// The gates of a unit: all of them as buttons, and the sum of the chosen one.

// The number of the chosen gate; at first the one that keeps the state.
function chosenGate({ state, model }) {
  const { gates, keeper } = model.kind;
  const number = gates.findIndex(({ name }) => name === state.gate);
  return number >= 0 ? number : Math.max(0, gates.findIndex(({ name }) => name === keeper));
}

function gatesOf(app, source, values) {
  const { model, say, state, colours } = app;
  const { kind } = model;
  const number = chosenGate(app);
  if (kind.leaks) return leakOf(app, source, values);
  const buttons = kind.gates.map((gate, k) => {
    const title = say.gates[kind.name][gate.name].title;
    const button = el(
      "button",
      {
        type: "button",
        "aria-pressed": String(k === number),
        "aria-label": `${gate.name}, ${title}: ${rounded(values[gate.name])}`,
        "data-gate": gate.name,
        "data-focus": `gate-${gate.name}`,
        on: { click: () => app.set({ gate: gate.name }) },
      },
      el("b", { text: gate.name }),
      el("span", { text: rounded(values[gate.name]) }),
      el("small", { text: title }),
    );
    paint(button, colours, values[gate.name], 1);
    return button;
  });
  const box = el("div", { class: buttons.length === 4 ? "gates four" : "gates", role: "group", "aria-label": say.gatesTitle }, ...buttons);
  box.style.setProperty("--gates", buttons.length);
  const sum = spell(model, source, state.b, number);
  const { name, f } = kind.gates[number];
  const about = say.gates[kind.name][name];
  return [
    el("h4", { text: say.gatesTitle }),
    box,
    el("p", { class: "quiet", prose: about.said + keptSaid(app, name, values[name]) }),
    formulaOf(sum.formula, "gate-formula"),
    ...sumOf(app, sum, say.slope(f, seen(FUNCTIONS[f].slope(sum.value)))),
    el("p", { class: "quiet", prose: say.gateRows(rowsSaid(model)) }),
  ];
}

// What a leaky state leaks to: one sum, and how long the state lasts.
function leakOf(app, source, values) {
  const { model, say, state } = app;
  const { name, f } = model.kind.gates[0];
  const { kept } = model.kind;
  const sum = spell(model, source, state.b);
  const leak = values["α"];
  return [
    el("p", { class: "quiet", prose: `${say.leaks[name]} ${say.leakKeeps(kept, rounded(leak), leak > 0 ? short(1 / leak) : "∞")}` }),
    formulaOf(sum.formula, "gate-formula"),
    ...sumOf(app, sum, say.slope(f, seen(FUNCTIONS[f].slope(sum.value)))),
    sum.drive === null ? null : el("p", { class: "quiet", prose: say.driveSaid }),
    el("p", { class: "quiet", prose: say.gateRows(rowsSaid(model)) }),
  ].filter(Boolean);
}

// How long a state lasts of which a gate keeps this share at each step.
function keptSaid({ model, say }, name, share) {
  const { keeper, kept } = model.kind;
  if (name !== keeper || !Number.isFinite(share)) return "";
  return ` ${say.keeps(name, kept, rounded(share), share >= 1 ? "∞" : short(1 / (1 - share)))}`;
}
