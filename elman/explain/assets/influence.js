// How much each input step moves the chosen state, as bars under the columns and in a sentence.

const DECADES = 12; // that the logarithmic scale spans at most
const QUICK = 2e7; // multiplications that are not felt
const PEAK = 2; // times the newest input that one between counts, from which gates have kept it
const PAUSE = 120; // milliseconds without a further step or change
const BUDGET = 6e8; // multiplications; above it one unit's gradient takes the place of the whole Jacobian

function influenceOf(app) {
  const { model, state } = app;
  const place = app.shown();
  const target = place ? sourceOf(app, place, Math.min(state.unit, place.vector.length - 1)) : null;
  if (!target) return null;
  const { l, d, t, u, state: name } = target;
  const { H, D, I, kind } = model;
  const cost = model.lengths[state.b] * (l + 1) * D * kind.gates.length * H * H * (H + Math.max(I, D * H));
  const unit = state.of === "unit" || cost > BUDGET ? u : null;
  const key = [l, d, t, name, state.b, unit].join();
  if (app.influence?.key !== key) {
    const work = cost / (unit === null ? 1 : model.H);
    const radius = isFromPython(app) ? 0 : radiusCost(model, l, state.b);
    app.influence = { key, l, d, t, state: name, unit, heavy: cost > BUDGET, quick: work + radius < QUICK, norms: null };
  }
  return app.influence;
}

// The bars of a large run come a moment after the numbers, so that stepping and changing are not held up.
function drawInfluence(app) {
  const found = influenceOf(app);
  clearTimeout(app.waiting);
  const finish = () => {
    if (found && !found.norms) {
      found.norms = sensitivity(app.model, found, app.state.b, found.unit);
      if (!isFromPython(app)) found.radii = computedRadii(app, found);
    }
    drawBars(app, found);
  };
  byId("influence").setAttribute("aria-busy", String(Boolean(found && !found.norms && !found.quick)));
  if (!found || found.norms || found.quick) finish();
  else app.waiting = setTimeout(finish, PAUSE);
}

function drawBars(app, found) {
  const { say, model, data } = app;
  byId("influence").setAttribute("aria-busy", "false");
  const norms = found ? found.norms : [];
  const most = largest(norms);
  const least = norms.reduce((low, value) => (value > 0 ? Math.min(low, value) : low), most);
  const decades = Math.min(DECADES, 0.5 + Math.ceil(Math.log10(most / least) || 0));
  app.bars.forEach((bar, t) => {
    const value = norms[t];
    const shown = Number.isFinite(value);
    bar.hidden = value === undefined;
    const share = app.state.log ? Math.max(0, 1 + Math.log10(value / most) / decades) : value / most;
    bar.style.setProperty("--share", shown && value > 0 ? Math.max(0.015, share) : 0);
    bar.classList.toggle("most", value === most && most > 0);
    bar.lastChild.textContent = value === undefined ? "" : short(value);
    bar.title = value === undefined ? "" : `${app.stepName(t)}: ${short(value)}`;
    bar.setAttribute("aria-label", bar.title || say.nothing);
  });
  const kinds = byId("influence-kind");
  kinds.replaceChildren();
  byId("influence-choice").hidden = !found;
  byId("influence-said").title = "";
  if (!found) {
    const isOver = !app.shown() || !model.lengths[app.state.b];
    write(byId("influence-said"), isOver ? say.nothing : say.influenceNone);
    return;
  }
  const where = say.way(found.l, found.d, model.D);
  byId("influence-of").textContent = say.influenceOf(`${found.state}[${found.t}] · ${where}`, found.unit);
  for (const of of ["all", "unit"]) {
    const on = (found.unit === null) === (of === "all");
    kinds.append(
      el("button", {
        type: "button",
        "aria-pressed": String(on),
        disabled: of === "all" && found.heavy ? "" : null,
        text: of === "all" ? say.allUnits : say.thisUnit,
        on: { click: () => app.set({ of }) },
      }),
    );
  }
  kinds.append(
    el("button", {
      type: "button",
      "aria-pressed": String(app.state.log),
      text: say.log,
      on: { click: () => app.set({ log: !app.state.log }) },
    }),
  );
  const [radius, own, carrier] = isNanAt(app, found) ? [null] : radiusOf(app, found);
  write(byId("influence-said"), verdict(app, found) + (radius === null ? "" : ` ${say.radius(short(radius))}`));
  if (radius !== null) byId("influence-said").title = say.radiusTitle(own === null ? null : short(own), carrier);
}

// The largest spectral radius among the layers that the state rests on, and which layer it comes from.
function radiusOf({ data, model }, { l, d, radii }) {
  let best = [null, null, 0];
  for (let layer = 0; layer <= l; layer++) {
    const [radius, own] = radii ? radii[layer] : data.radii[layer * model.D + d];
    if (radius !== null && (best[0] === null || radius >= best[0])) best = [radius, own, layer];
  }
  return best;
}

// Whether the radii come from Python: those of the first sequence, as it was recorded.
const isFromPython = ({ changes, state }) => state.b === 0 && !isChanged(changes);

function computedRadii({ model, state }, { l, d }) {
  const { H } = model;
  return Array.from({ length: l + 1 }, (_, layer) => {
    const own = isGated(model.kind) ? NaN : spectralRadius(Float64Array.from(model.cell(layer, d).w_hh), H);
    return [medianRadius(model, layer, d, state.b), own].map((value) => (Number.isFinite(value) ? value : null));
  });
}

// Whether the chosen state is NaN; the gradient of relu is a number there all the same.
function isNanAt({ model, state }, { l, d, t, state: name, unit }) {
  const vector = model.state(name, l, d, t, state.b);
  return unit === null ? vector.some(Number.isNaN) : Number.isNaN(vector[unit]);
}

function verdict(app, found) {
  const { say } = app;
  const { d, t, norms } = found;
  const lag = d ? norms.slice(t) : norms.slice(0, t + 1).reverse();
  if (!lag.every(Number.isFinite)) return say.influenceSaid("bad");
  if (isNanAt(app, found)) return say.influenceSaid("nan");
  if (lag.length === 1) return say.influenceSaid("one");
  if (lag[0] === 0) return say.influenceSaid("none");
  const peak = lag.indexOf(Math.max(...lag));
  if (isGated(app.model.kind) && peak > 0 && peak < lag.length - 1 && lag[peak] >= PEAK * lag[0])
    return say.influenceSaid("peak", peak, short(lag[peak] / lag[0]));
  const ratio = lag.at(-1) / lag[0];
  const steps = lag.length - 1;
  if (ratio === 0) return say.influenceSaid("cut", steps);
  // A factor of 0.11 is a memory well kept after fifty steps, and hardly any after one.
  const kept = ratio < 0.5 ** steps ? "shrink" : ratio > 2 ** Math.min(steps, 10) ? "grow" : "keep";
  return say.influenceSaid(ratio < 0.1 ? "vanish" : ratio > 10 ? "explode" : kept, steps, short(ratio));
}
