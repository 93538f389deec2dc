// The loss of chosen steps, and the gradient that flows back from it through every cell.

// What should come out at each step of the sequence shown, or null where nothing is known.
const targetsOf = ({ head, model, state }) => (head && rowOf(model.run.targets, state.b)) || null;

// The steps that can have a loss. Without targets the loss is a unit of output itself.
function lossSteps(app) {
  const targets = targetsOf(app);
  const all = Array.from({ length: app.model.lengths[app.state.b] }, (_, t) => t);
  const known = targets ? all.filter((t) => targets[t] !== null && targets[t] !== undefined) : [];
  return { targets: known.length ? targets : null, steps: known.length ? known : all };
}

function chosenSteps(app) {
  const { steps } = lossSteps(app);
  const asked = (app.state.loss ?? []).filter((t) => steps.includes(t));
  return asked.length ? asked : steps.slice(-1);
}

// The loss of one step, what the output layer said, and how the loss changes with each number of output.
function lossAt(app, t) {
  const { model, head, state } = app;
  const { targets } = lossSteps(app);
  if (!targets) {
    const unit = lossUnit(app);
    const seed = new Float64Array(model.D * model.H);
    seed[unit] = 1;
    return { kind: "unit", value: model.y(t, state.b)[unit], unit, dy: null, seed };
  }
  const y = scores(app, t);
  const target = targets[t];
  let value;
  let dy;
  if (head.names) {
    dy = softmax(y);
    const k = head.names.indexOf(target);
    value = -Math.log(dy[k]);
    dy[k] -= 1;
  } else {
    dy = y.map((one) => 2 * (one - target));
    value = y.reduce((sum, one) => sum + (one - target) ** 2, 0);
  }
  return {
    kind: head.names ? "entropy" : "square",
    value,
    target,
    y,
    dy,
    seed: timesMatrix(dy, head.weight, 1, dy.length, model.D * model.H),
  };
}

function lossUnit({ model, state }) {
  return Math.min(state.unit, model.D * model.H - 1);
}

// The gradients of the loss of these steps at every state, sum and input.
function gradientsOf(app, steps) {
  const { model, state } = app;
  const { L, D, H } = model;
  const losses = new Map(steps.map((t) => [t, lossAt(app, t)]));
  const found = backpropagate(model, state.b, 1, (l, d, t, name) =>
    name === "h" && l === L - 1 && losses.has(t) ? columns(losses.get(t).seed, 1, D * H, d * H, H) : null,
  );
  return { ...found, losses };
}

// The gradients that are shown; computed anew where the run, the sequence or the loss is another.
function currentGradients(app) {
  const { state, model } = app;
  const steps = chosenSteps(app);
  const { targets } = lossSteps(app);
  const key = [state.b, steps, targets ? "" : lossUnit(app)].join();
  if (app.gradients?.key !== key || app.gradients.model !== model) {
    const found = gradientsOf(app, steps);
    const all = [...Object.values(found.states).flat(3), ...found.x].filter(Boolean);
    const norms = all.map(norm).filter(Number.isFinite);
    const numbers = all.map(largest);
    app.gradients = { ...found, key, model, steps, most: Math.max(...norms, 0) || 1, scale: Math.max(...numbers, 0) || 1 };
  }
  return app.gradients;
}

// The gradient at what stands at a place; zeros where none comes by.
function gradientAt(app, place) {
  const found = currentGradients(app);
  const none = new Float64Array(place.vector.length);
  if (place.kind === "x") return found.x[place.t] ?? none;
  if (place.kind === "y") return found.losses.get(place.t)?.seed ?? none;
  if (place.kind === "h0") return found.start[place.state][place.l][place.d] ?? none;
  if (place.t < 0) return none;
  return found.states[place.state][place.l][place.d][place.t] ?? none;
}

// What the gradient of one unit of a state is the sum of: for each place that it comes from, named as in words.js, the
// products.
function spellGradient(app, { l, d, t, u, state: name }) {
  const { model, head, state } = app;
  const { H, L, D, kind } = model;
  const found = currentGradients(app);
  const dz = (layer, way, step) => found.dz[layer]?.[way]?.[step];
  const gradient = (of, step) => found.states[of][l][d][step]?.[u] ?? 0;
  const product = (weight, source, w, factor, k) => ({ k, weight, source, w, factor, value: w * factor });
  const parts = { loss: [], above: [], through: [], next: [], kept: [] };
  const loss = name === "h" && l === L - 1 ? found.losses.get(t) : null;
  if (loss?.dy)
    loss.dy.forEach((one, k) =>
      parts.loss.push(product(`W_y[${k}, ${d * H + u}]`, `dL/dy[${t}, ${k}]`, head.weight[k * D * H + d * H + u], one, k)),
    );
  else if (loss) parts.loss.push(product("1", `dL/d ${app.outputIndex(t, d * H + u)}`, 1, loss.seed[d * H + u], 0));
  const later = d ? t - 1 : t + 1;
  const own = model.cell(l, d);
  const read = model.there(later, state.b) && dz(l, d, later);
  if (read && name === "h")
    read.recurrent.forEach((one, j) =>
      parts.next.push(
        product(`weight_hh${own.suffix}[${j}, ${u}]`, `dL/da[${later}, ${j}]`, own.w_hh[j * H + u], one, j),
      ),
    );
  if (read && name === kind.kept) {
    const share = shareKept(kind, model.at(l, d, later, state.b), H, u);
    const from = `dL/d${name}[${later}, ${u}]`;
    parts.kept.push(product(`${kind.keeper}[${later}, ${u}]`, from, share, gradient(name, later), 0));
  }
  const feed = kind.feeds?.[name];
  if (feed && found.states.h[l][d][t])
    parts.through.push(
      product(feed.name, `dL/dh[${t}, ${u}]`, feed.by(model.at(l, d, t, state.b), H, u), gradient("h", t), 0),
    );
  for (let way = 0; name === "h" && l < L - 1 && way < D; way++) {
    const above = model.cell(l + 1, way);
    const at = d * H + u;
    dz(l + 1, way, t)?.input.forEach((one, j) => {
      const weight = `weight_ih${above.suffix}[${j}, ${at}]`;
      parts.above.push(product(weight, `dL/da[${t}, ${j}]`, above.w_ih[j * above.inputs + at], one, parts.above.length));
    });
  }
  const value = gradient(name, t);
  const terms = Object.values(parts).flatMap((products) => written(products, short));
  return {
    parts: Object.entries(parts).filter(([, products]) => products.length),
    value,
    all: [...(loss?.dy ? parts.loss : []), ...parts.above, ...parts.through, ...parts.next, ...parts.kept],
    formula: `dL/d${name}[${t}, ${u}] = ${terms.length ? `${sumText(terms)} = ` : ""}${short(value)}`,
  };
}

// The way from the latest chosen step back to step t: by what factor each step changes the gradient's norm, and of a cell
// with gates what the one that keeps the state multiplies it by in unit u.
function wayBack(app, { l, d, t, u, state: name }) {
  const { model, state } = app;
  const { kind, H } = model;
  const steps = chosenSteps(app).filter((s) => (d ? s <= t : s >= t));
  if (!steps.length) return null;
  const from = d ? Math.min(...steps) : Math.max(...steps);
  const found = gradientsOf(app, [from]);
  const way = [];
  for (let s = from; d ? s <= t : s >= t; s += d ? 1 : -1) way.push(s);
  const norms = way.map((s) => norm(found.states[name][l][d][s] ?? [0]));
  const slopeAt = (s) => Array.from(model.h(l, d, s, state.b), FUNCTIONS[kind.gates[0].f].slope);
  const factors = norms.slice(1).map((size, k) => {
    if (isGated(kind)) return { factor: size / norms[k] };
    const slopes = slopeAt(way[k]);
    return {
      factor: size / norms[k],
      slope: slopes.reduce((sum, value) => sum + value, 0) / slopes.length,
      // With one unit a factor is a product of two numbers, and can be spelled out.
      exact: H === 1 && l === model.L - 1 ? { w: model.cell(l, d).w_hh[0], slope: slopes[0] } : null,
    };
  });
  const kept = kind.keeper
    ? way.slice(0, -1).map((s) => ({ s, share: shareKept(kind, model.at(l, d, s, state.b), H, u) }))
    : [];
  return { from, first: norms[0], last: norms.at(-1), factors, kept };
}
