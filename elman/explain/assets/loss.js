// The loss of chosen steps, and the gradient that flows back from it through every cell.

// What should come out at each step of the sequence shown, or null where nothing is known.
function targetsOf(app) {
  const { data, head, model, state, changes } = app;
  if (!head || !data.targets || changes.swapped) return null;
  const row = data.targets.length > 1 ? data.targets[state.b] : data.targets[0];
  if (changes.text === null) return row;
  // Of a typed text the next token is known, where that is what the model was asked for.
  const recorded = app.recorded.tokens?.[0] ?? [];
  const isNext = row.every((target, t) => target === (recorded[t + 1] ?? null));
  return isNext ? Array.from({ length: model.T }, (_, t) => model.token(t + 1, state.b) ?? null) : null;
}

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
  const found = backpropagate(model, state.b, 1, (l, d, t) =>
    l === L - 1 && losses.has(t) ? columns(losses.get(t).seed, 1, D * H, d * H, H) : null,
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
    const norms = [...found.h.flat(2), ...found.x].filter(Boolean).map(norm).filter(Number.isFinite);
    const numbers = [...found.h.flat(2), ...found.x].filter(Boolean).map(largest);
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
  if (place.kind === "h0") return found.start[place.l][place.d] ?? none;
  if (place.t < 0) return none;
  return found.h[place.l][place.d][place.t] ?? none;
}

// What the gradient of one unit of a state is the sum of: products by where they come from.
function spellGradient(app, l, d, t, u) {
  const { model, head, state } = app;
  const { H, L, D } = model;
  const found = currentGradients(app);
  const dz = (layer, way, step) => found.dz[layer]?.[way]?.[step];
  const sum = (all) => all.reduce((total, { value }) => total + value, 0);
  const product = (weight, source, w, factor, k) => ({ k, weight, source, w, factor, value: w * factor });
  const loss = l === L - 1 ? found.losses.get(t) : null;
  const fromLoss = !loss
    ? []
    : loss.dy
      ? Array.from(loss.dy, (one, k) =>
          product(`W_y[${k}, ${d * H + u}]`, `dL/dy[${t}, ${k}]`, head.weight[k * D * H + d * H + u], one, k),
        )
      : [product("1", `dL/d ${app.outputIndex(t, d * H + u)}`, 1, loss.seed[d * H + u], 0)];
  const later = d ? t - 1 : t + 1;
  const own = model.cell(l, d);
  const fromLater =
    model.there(later, state.b) && dz(l, d, later)
      ? Array.from(dz(l, d, later).recurrent, (one, j) =>
          product(`weight_hh${own.suffix}[${j}, ${u}]`, `dL/da[${later}, ${j}]`, own.w_hh[j * H + u], one, j),
        )
      : [];
  const fromAbove = [];
  for (let way = 0; l < L - 1 && way < D; way++) {
    const above = model.cell(l + 1, way);
    const at = d * H + u;
    if (dz(l + 1, way, t))
      dz(l + 1, way, t).input.forEach((one, j) =>
        fromAbove.push(
          product(
            `weight_ih${above.suffix}[${j}, ${at}]`,
            `dL/da[${t}, ${j}]`,
            above.w_ih[j * above.inputs + at],
            one,
            fromAbove.length,
          ),
        ),
      );
  }
  const value = found.h[l][d][t]?.[u] ?? 0;
  const terms = [...written(fromLoss, short), ...written(fromAbove, short), ...written(fromLater, short)];
  return {
    fromLoss,
    fromLater,
    fromAbove,
    sums: [sum(fromLoss), sum(fromAbove), sum(fromLater)],
    value,
    all: [...(loss?.dy ? fromLoss : []), ...fromAbove, ...fromLater],
    formula: `dL/dh[${t}, ${u}] = ${terms.length ? `${sumText(terms)} = ` : ""}${short(value)}`,
  };
}

// The way from the latest chosen step back to step t: by what factor each step changes the gradient's norm.
function wayBack(app, l, d, t) {
  const { model, state } = app;
  const steps = chosenSteps(app).filter((s) => (d ? s <= t : s >= t));
  if (!steps.length) return null;
  const from = d ? Math.min(...steps) : Math.max(...steps);
  const found = gradientsOf(app, [from]);
  const norms = [];
  for (let s = from; d ? s <= t : s >= t; s += d ? 1 : -1) norms.push({ s, norm: norm(found.h[l][d][s] ?? [0]) });
  const factors = norms.slice(1).map((one, k) => {
    const slopes = Array.from(model.h(l, d, norms[k].s, state.b), model.kind.slope);
    return {
      to: one.s,
      from: norms[k].s,
      slope: slopes.reduce((sum, value) => sum + value, 0) / slopes.length,
      factor: one.norm / norms[k].norm,
      // With one unit a factor is a product of two numbers, and can be spelled out.
      exact: model.H === 1 && l === model.L - 1 ? { w: model.cell(l, d).w_hh[0], slope: slopes[0] } : null,
    };
  });
  return { from, first: norms[0].norm, last: norms.at(-1).norm, factors };
}
