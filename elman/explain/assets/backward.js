// The backward pass as it is seen: a row of losses, the gradient in every cell, and how one of its numbers comes about.

const FACTORS = 12; // of the way back that are written out

// A cell's gradient is written under it, and its size is the width of the line there.
function markFlow(app, node, place) {
  node.querySelector(".flow")?.remove();
  if (!app.state.back) return;
  const size = norm(gradientAt(app, place));
  const flow = el("span", { class: "flow", "aria-hidden": "true" }, el("small", { text: size ? (app.tight ? tiny : short)(size) : "" }));
  flow.style.setProperty("--flow", Math.min(1, size / currentGradients(app).most || 0));
  node.append(flow);
}

function fillLoss(app, button, t) {
  const { steps } = lossSteps(app);
  const there = steps.includes(t);
  const chosen = chosenSteps(app).includes(t);
  const value = there ? short(lossAt(app, t).value) : "";
  const isLong = app.tight || value.length > lettersIn(app.width, 1) + 1;
  button.textContent = there && isLong ? tiny(lossAt(app, t).value) : value;
  button.disabled = !there;
  button.setAttribute("aria-selected", String(chosen));
  button.setAttribute("aria-label", there ? app.say.lossOf(app.stepName(t), value) : app.say.lossNone);
  button.title = there ? app.say.lossChoose : app.say.lossNone;
}

function chooseLoss(app, t) {
  const chosen = chosenSteps(app);
  const other = chosen.includes(t) ? chosen.filter((one) => one !== t) : [...chosen, t];
  app.set({ loss: other.length ? other.sort((one, two) => one - two) : chosen });
}

// What the panel shows of a place in the backward pass.
function gradientPanel(app, place, unit) {
  const { say, model } = app;
  const vector = gradientAt(app, place);
  const shown = [
    el("p", { class: "quiet", prose: say.backAbout }),
    ...lossLines(app),
    el("h3", { text: `dL/d ${nameOf(app, place)}` }),
    vectorOf(app, { ...place, vector }, unit, null, false, currentGradients(app).scale),
  ];
  const source = sourceOf(app, place, unit);
  if (!source || place.kind === "y") return shown;
  const { l, d, t, u, state: name } = source;
  const sum = spellGradient(app, source);
  const terms = sum.parts.map(([from, products]) => [
    say.backFrom[from === "kept" && model.kind.leaks ? "leaked" : from],
    products.reduce((total, { value }) => total + value, 0),
  ]);
  const section = el("section", { id: "arithmetic", "aria-label": say.backMade });
  section.append(
    el("h3", { text: `${say.unit(u)} · dL/d${name}[${t}] · ${say.way(l, d, model.D)}` }),
    formulaOf(sum.formula),
  );
  const about = isGated(model.kind) ? say.backSums(rowsSaid(model), model.kind.leaks) : say.backSlope(model.kind.name);
  if (terms.length) section.append(waterfall(app, terms, sum.value, short), el("p", { class: "quiet", prose: about }));
  section.append(...wayLines(app, source));
  if (sum.all.length) section.append(productTable(app, { fromInput: sum.all, fromState: [] }));
  return [...shown, section];
}

// The loss in words, for each chosen step.
function lossLines(app) {
  const { say } = app;
  const { losses, steps } = currentGradients(app);
  const lines = steps.slice(0, 3).map((t) => {
    const { kind, value, target, y, unit } = losses.get(t);
    if (kind === "entropy") return say.lossEntropy(t, visible(translated(app, target)), short(value));
    if (kind === "square") return say.lossSquare(t, seen(y[0]), seen(target), short(value), y.length);
    return say.lossIsUnit(app.outputIndex(t, unit), seen(value), Boolean(app.head));
  });
  if (steps.length > 3) lines.push(say.lossMore(steps.length - 3));
  return lines.map((text) => el("p", { prose: text }));
}

// The product of the factors by which each step changes the gradient; with gates, that of the gate that keeps the state
// first.
function wayLines(app, source) {
  const { say, model } = app;
  const { kind } = model;
  const { t, state: name } = source;
  const way = wayBack(app, source);
  if (!way?.factors.length) return [el("p", { class: "quiet", prose: say.wayNone })];
  if (!Number.isFinite(way.last)) return [el("p", { class: "quiet", prose: say.influenceSaid("bad") })];
  const { factors } = way;
  const zero = factors.findIndex(({ factor }) => factor === 0);
  if ((way.first === 0 || zero >= 0) && way.last !== 0) return []; // all of it came in from the layer above, on the way
  if (way.first === 0) return [el("p", { class: "quiet", prose: say.wayNone })];
  const some = (all) =>
    all.length <= FACTORS ? all : [...all.slice(0, FACTORS / 2), "…", ...all.slice(-FACTORS / 2)];
  // After a step that leaves nothing there is no factor to speak of.
  const counted = zero < 0 || factors[0].exact ? factors : factors.slice(0, zero + 1);
  const written = (one) => (one.exact ? `|${seen(one.exact.w)}·${seen(one.exact.slope)}|` : short(one.factor));
  const ratio = way.last / way.first;
  const each = short(ratio ** (1 / factors.length));
  const said = isGated(kind)
    ? say.waySaidGates(factors.length, name, each, short(ratio))
    : say.waySaid(
        factors.length,
        each,
        short(ratio),
        short(factors.reduce((sum, one) => sum + one.slope, 0) / factors.length),
        kind.name,
      );
  const product = `‖dL/d${name}[${t}]‖ = ${short(way.first)} · ${some(counted.map(written)).join(" · ")}${counted === factors ? "" : " · …"} = ${short(way.last)}`;
  return [
    el("h3", { text: say.wayTitle(way.from, t) }),
    ...(isGated(kind) ? keptLines(app, source, way, some) : []),
    formulaOf(product, "way"),
    el("p", { class: "quiet", prose: said }),
  ];
}

// Along the state that is kept, nothing but the gate multiplies.
function keptLines({ say, model }, { u }, { kept }, some) {
  const { keeper, kept: state } = model.kind;
  const product = kept.reduce((all, { share }) => all * share, 1);
  const letters = some(kept.map(({ s }) => `${keeper}[${s}]`)).join(" · ");
  const numbers = some(kept.map(({ share }) => seen(share))).join(" · ");
  return [
    formulaOf(`${letters} = ${numbers} = ${short(product)}`, "kept"),
    el("p", { class: "quiet", prose: say.keptSaid(state, keeper, u, kept.length, short(product)) }),
  ];
}
