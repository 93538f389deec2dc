// The arithmetic of one number, in the panel: formula, terms as bars, the curve of the function, and all products.

const LISTED = 10; // products in the table before "show all"

function arithmeticOf(app, source, place) {
  const { model, say, state } = app;
  const { l, d, t, u } = source;
  const section = el("section", { id: "arithmetic", "aria-label": say.made() });
  section.append(el("h3", { text: `${say.unit(u)} · ${source.state}[${t}] · ${say.way(l, d, model.D)}` }));
  if (!isGated(model.kind)) {
    const sum = spell(model, source, state.b);
    const slope = say.slope(sum.gate.f, seen(FUNCTIONS[sum.gate.f].slope(sum.value)));
    section.append(formulaOf(sum.formula), ...sumOf(app, sum, slope, equalities(app, source, place)));
    return section;
  }
  const { values, updates } = spellUpdates(model, source, state.b);
  section.append(
    ...updates.map(({ formula }, k) => formulaOf(formula, k === updates.length - 1 ? "formula" : "formula-before")),
    equalities(app, source, place),
    ...gatesOf(app, source, values),
  );
  return section;
}

// What comes after a sum's formula: its terms as bars, its function, and all products.
const sumOf = (app, sum, slope, ...between) =>
  [
    el("div", { class: "plots" }, waterfall(app, termsOf(app, sum), sum.sum), curve(sum)),
    sum.multiplier && sum.at.biased ? biasField(app, sum) : null,
    el("p", { class: "quiet", prose: slope }),
    ...between,
    productTable(app, sum),
  ].filter(Boolean);

// Each term is a piece of its own, so that a line never ends between a sign and its number, nor inside (1 - z).
function formulaOf(text, id = "formula") {
  const parts = text.split(/(?<=(?<!\(1) )(?=[-+=·] )/).map((part) => el("span", { text: part }));
  return el("p", { class: "formula", id, tabindex: "0", "aria-live": "polite" }, ...parts);
}

// The bias b_hh apart, where a gate multiplies it in the sum.
function biasField(app, { at: { row, suffix }, b_hh }) {
  const name = `bias_hh${suffix}`;
  const field = numberField(app, { name, at: [row], value: b_hh, label: app.say.change(`${name}[${row}]`), key: name });
  return el("label", { class: "change" }, el("code", { text: `${name}[${row}] =` }), field);
}

// The terms of a sum, the biases as fields. A gate that multiplies W_hh h + b_hh does so with both.
function termsOf(app, sum) {
  const { say } = app;
  const bias = (name, value) =>
    sum.at.biased
      ? numberField(app, { name, at: [sum.at.row], value, label: say.change(`${name}[${sum.at.row}]`), key: name })
      : null;
  const [by, factor] = sum.multiplier ? [`${sum.multiplier.name}·`, sum.multiplier.value] : ["", 1];
  return [
    ["W_ih · x", sum.inputTerm],
    [`${by}W_hh · h`, factor * sum.recurrentTerm],
    ["b_ih", sum.b_ih, bias(`bias_ih${sum.at.suffix}`, sum.b_ih)],
    [`${by}b_hh`, factor * sum.b_hh, sum.multiplier ? null : bias(`bias_hh${sum.at.suffix}`, sum.b_hh)],
    ...(sum.drive === null ? [] : [["drive", sum.drive]]),
  ];
}

// Terms as bars, each starting where the one before ended, and their sum.
function waterfall(app, terms, whole, written = rounded) {
  const { say } = app;
  let total = 0;
  const bars = terms.map(([name, value, field]) => ({ name, value, field, from: total, to: (total += value) }));
  bars.push({ name: say.sum, value: whole, from: 0, to: whole, whole: true });
  const ends = bars.flatMap(({ from, to }) => [from, to]).filter(Number.isFinite);
  const low = Math.min(0, ...ends);
  const high = Math.max(0, ...ends);
  const span = high - low || 1;
  const at = (value) => (100 * (value - low)) / span;
  const box = el("div", { class: "waterfall" });
  for (const { name, value, from, to, whole, field } of bars) {
    const left = Math.min(at(from), at(to));
    const line = svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    line.append(svg("line", { x1: at(0), x2: at(0), y1: 0, y2: 10, class: "axis" }));
    if (Number.isFinite(from) && Number.isFinite(to))
      line.append(
        svg("rect", {
          x: left,
          y: 1.5,
          width: Math.max(0.6, Math.abs(at(to) - at(from))),
          height: 7,
          class: value < 0 ? "negative" : "positive",
        }),
      );
    box.append(
      el("span", { text: name, class: whole ? "whole" : null }),
      line,
      field ?? el("output", { text: written(value), class: whole ? "whole" : null }),
    );
  }
  return box;
}

// The function around the sum, with its value on it.
function curve({ sum, value, gate }) {
  const [W, H] = [190, 116];
  const { f } = FUNCTIONS[gate.f];
  const reach = Math.max(gate.f === "sigmoid" ? 6 : 3, Math.min(12, Math.abs(sum) * 1.15 || 0));
  const open = ["relu", "softplus", "identity"].includes(gate.f);
  const top = open ? reach : 1.1;
  const low = { sigmoid: -0.25, retanh: -0.25, tanh: -1.1, identity: -reach }[gate.f] ?? -0.15 * reach;
  const x = (a) => ((a + reach) / (2 * reach)) * W;
  const y = (v) => H - 4 - ((v - low) / (top - low)) * (H - 8);
  const points = Array.from({ length: 81 }, (_, k) => -reach + (2 * reach * k) / 80);
  const name = `${gate.f}(${rounded(sum)}) = ${rounded(value)}`;
  const a = Math.max(-reach, Math.min(reach, sum));
  const v = Math.max(low, Math.min(top, value));
  const plot = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "curve", role: "img", "aria-label": name });
  plot.append(
    svg("line", { x1: 0, x2: W, y1: y(0), y2: y(0), class: "axis" }),
    svg("line", { x1: x(0), x2: x(0), y1: 0, y2: H, class: "axis" }),
    svg("path", { d: `M${points.map((p) => `${x(p).toFixed(1)} ${y(f(p)).toFixed(1)}`).join("L")}`, class: "f" }),
  );
  if (Number.isFinite(sum)) {
    plot.append(
      svg("path", { d: `M${x(a)} ${y(0)}V${y(v)}H${x(0)}`, class: "drop" }),
      svg("circle", { cx: x(a), cy: y(v), r: 4.5, class: value < 0 ? "negative" : "positive" }),
    );
  }
  const text = svg("text", { x: W - 2, y: H - 5, "text-anchor": "end" });
  text.textContent = `${gate.name} = ${rounded(value)}`;
  plot.append(text);
  return plot;
}

// Links to every place that holds this very number.
function equalities(app, { l, d, t, u, state: name }, place) {
  const { model, say, state } = app;
  const links = [];
  const link = (text, key, col) => {
    if (key === place.key && col === place.col) return;
    links.push(
      el("button", {
        type: "button",
        class: "link",
        "data-focus": `same-${links.length}`,
        text,
        on: { click: () => app.pinAt(key, col, key === "y" ? d * model.H + u : u) },
      }),
    );
  };
  link(`${name}[${t}, ${u}] ${say.way(l, d, model.D)}`, rowKey(l, d, name), t);
  if (l === model.L - 1 && name === "h") link(app.outputIndex(t, d * model.H + u), "y", t);
  if (t === model.last(d, state.b)) link(app.stateIndex(`${name}_n`, l, d, u), rowKey(l, d, name), d ? -1 : model.T);
  if (!links.length) return el("p", { class: "quiet same", text: name === "h" ? say.sameNot : say.sameNotC(name) });
  return el("p", { class: "same" }, el("span", { text: say.same }), ...links);
}

// A cell of the table: a number with its name, as a field where it can be changed.
function numberCell(app, name, value, place) {
  const shown = place
    ? numberField(app, { ...place, value, label: app.say.change(name), key: name })
    : el("b", { text: app.state.back ? short(value) : fixed(value) });
  return el("td", {}, el("small", { text: name }), shown);
}

function productTable(app, sum) {
  const { say, state } = app;
  const all = [...sum.fromInput, ...sum.fromState];
  const shown =
    all.length <= LISTED || state.all
      ? all
      : byMagnitude(all.map((product, k) => ({ ...product, k }))).slice(0, LISTED);
  const most = largest(all.map(({ value }) => value)) || 1;
  const table = el("table", { class: "products" }, el("caption", { text: say.productsOf(shown.length, all.length) }));
  table.append(
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ...say.product.map((name, k) => el("th", { scope: "col", text: name, class: k === 2 ? "number" : null })),
        el("td"),
      ),
    ),
  );
  const body = el("tbody");
  for (const { weight, source, w, factor, value, of, from } of shown) {
    const bar = svg("svg", { viewBox: "-50 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    const length = Number.isFinite(value) ? (50 * Math.abs(value)) / most : 0;
    bar.append(
      svg("line", { x1: 0, x2: 0, y1: 0, y2: 10, class: "axis" }),
      svg("rect", {
        x: value < 0 ? -length : 0,
        y: 1.5,
        width: length,
        height: 7,
        class: value < 0 ? "negative" : "positive",
      }),
    );
    body.append(
      el(
        "tr",
        {},
        numberCell(app, weight, w, of),
        numberCell(app, source, factor, from),
        el("td", { class: "number" }, el("b", { text: app.state.back ? short(value) : fixed(value) })),
        el("td", { class: "plot" }, bar),
      ),
    );
  }
  table.append(body);
  const more =
    all.length > LISTED
      ? el("button", {
          type: "button",
          class: "link",
          "data-focus": "all",
          text: state.all ? say.showLess : say.showAll(all.length),
          on: { click: () => app.set({ all: !state.all }) },
        })
      : null;
  return el("div", { class: "scroll" }, table, more);
}
