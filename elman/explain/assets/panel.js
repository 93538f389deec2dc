// The panel: the chosen cell's vector, one unit's arithmetic with numbers, and where else that number stands.

function drawPanel(app) {
  const { state, say } = app;
  const panel = byId("panel");
  const focused = panel.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  const place = app.shown();
  const said = place && `${place.key}.${place.col}`;
  if (app.panelOf !== said) panel.scrollTop = 0;
  app.panelOf = said;
  panel.replaceChildren();
  if (!place) {
    panel.append(el("p", { class: "quiet", text: say.nothing }));
    return;
  }
  const cursor = app.cursor();
  const apart = state.pin && cursor && `${cursor.key}.${cursor.col}` !== `${place.key}.${place.col}` ? cursor : null;
  const unit = Math.min(state.unit, place.vector.length - 1);
  const title = el(
      "div",
      { class: "title" },
      el("h2", { text: nameOf(app, place) }),
      el("button", {
        type: "button",
        class: "pin",
        "data-focus": "pin",
        "aria-pressed": String(Boolean(state.pin)),
        text: state.pin ? say.unpin : say.pin,
        on: { click: () => (state.pin ? app.set({ pin: null }) : app.pinAt(state.row, state.t)) },
      }),
    );
  const again = () => focused && panel.querySelector(`[data-focus="${focused}"]`)?.focus();
  panel.append(title);
  if (state.back) {
    panel.append(...gradientPanel(app, place, unit));
    again();
    return;
  }
  panel.append(
    ...aboutPlace(app, place).map((text) => el("p", { class: text === say.pinHint ? "quiet hint" : "quiet", prose: text })),
    vectorOf(app, place, unit, state.pin ? say.pinned : null),
  );
  const follows = place.kind === "h0" && app.model.kind.first?.[place.state]; // from another state, which can be changed
  if (place.kind === "x" || (place.kind === "h0" && !follows)) panel.append(fieldOf(app, place, unit));
  if (apart)
    panel.append(
      el("h3", { text: `${say.cursor}: ${nameOf(app, apart)}` }),
      vectorOf(app, apart, Math.min(unit, apart.vector.length - 1), null, true),
    );
  const source = sourceOf(app, place, unit);
  if (source) panel.append(arithmeticOf(app, source, place));
  again();
}

// What a learner should know of this place, in sentences.
function aboutPlace(app, place) {
  const { say, model, state } = app;
  if (place.kind === "x") return [say.isInput];
  if (place.kind === "y") return [model.D === 2 ? say.isOutputTwo : say.isOutput];
  const { state: name } = place;
  if (place.kind === "h0") return [say.isStart(name)];
  if (place.kind === "hn")
    return [place.t < 0 ? say.isEndEmpty(name) : say.isEnd(name, place.t, say.way(place.l, place.d, model.D))];
  const said = state.pin ? [] : [say.pinHint];
  if (name === "c") said.push(say.isC);
  if (name === "v") said.push(say.isV);
  if (place.t === model.first(place.d, state.b))
    said.push(say.isFirst(name, app.stateIndex(`${name}_0`, place.l, place.d)));
  if (place.l > 0) said.push(say.isAbove(place.l, place.t, model.D === 2));
  return said;
}

// The vector as buttons, one a unit, laid out like the cell's picture.
function vectorOf(app, place, chosen, caption, quiet = false, scale = scaleOf(app, place)) {
  const { say, colours, model, data } = app;
  const { vector } = place;
  const written = app.state.back ? short : rounded;
  const before = app.moved && !app.state.back ? placeAt(app, place.key, place.col, app.base)?.vector : null;
  const was = (k) => (before && apart(vector[k], before[k]) > MOVED ? before[k] : null);
  const halves = place.kind === "y" && model.D === 2 ? 2 : 1;
  const few = vector.length / halves <= 2 * NUMBERS;
  const width = few ? Math.min(NUMBERS, vector.length / halves) : sideOf(vector.length / halves);
  const box = el("div", {
    class: `vector ${few ? "few" : "many"}${few && halves === 2 ? " pair" : ""}${quiet ? " second" : ""}`,
    role: "listbox",
    "aria-label": say.chooseUnit,
    "aria-orientation": "horizontal",
  });
  const size = vector.length / halves;
  for (let half = 0; half < halves; half++) {
    const part = el("div", { class: "units", role: "presentation" });
    part.style.setProperty("--across", width);
    if (halves === 2)
      box.append(
        el("small", {
          class: "half quiet",
          role: "presentation",
          text: half ? `← ${say.reverse}` : `→ ${say.forward}`,
        }),
      );
    for (let k = half * size; k < (half + 1) * size; k++) {
      const name =
        place.kind === "x" ? (data.features ? data.features[k] : `x[${place.t}, ${k}]`) : say.unit(k % model.H);
      const node = el("button", {
        type: "button",
        role: "option",
        tabindex: k === chosen && !quiet ? "0" : "-1",
        "aria-selected": String(k === chosen),
        "aria-label": `${name}: ${written(vector[k])}`,
        title: `${name}: ${written(vector[k])}`,
        "data-unit": k,
        "data-focus": quiet ? null : `unit-${k}`,
        on: { click: () => app.set({ unit: k }) },
      });
      if (few)
        node.append(
          ...(was(k) === null ? [] : [el("s", { text: rounded(was(k)) })]),
          el("span", { text: written(vector[k]) }),
          el("small", { text: visible(String(place.kind === "x" && data.features ? translated(app, data.features[k]) : k % model.H)) }),
        );
      paint(node, colours, vector[k], scale);
      part.append(node);
    }
    box.append(part);
  }
  if (!quiet) box.addEventListener("keydown", (event) => walkUnits(app, event, vector.length, width));
  const line = el(
    "p",
    { class: "quiet" },
    caption ? el("b", { class: "badge", text: caption }) : null,
    few ? null : ` ${say.unit(chosen)} = ${written(vector[chosen])}`,
    few || was(chosen) === null ? null : ` (${say.was(rounded(was(chosen)))})`,
  );
  return el("div", {}, box, line.textContent ? line : null);
}

// The chosen number of an input or of a first state, to be changed.
function fieldOf(app, place, k) {
  const { model, state, say } = app;
  const start = `${place.state}_0`;
  const [name, at, label] =
    place.kind === "x"
      ? ["x", [place.t, state.b, k], `x[${place.t}, ${k}]`]
      : [start, [((place.l * model.D + place.d) * model.N + state.b) * model.H + k], app.stateIndex(start, place.l, place.d, k)];
  const field = numberField(app, { name, at, value: place.vector[k], label: say.change(label), key: "field" });
  return el("label", { class: "change" }, el("code", { text: `${label} =` }), field);
}

function walkUnits(app, event, count, width) {
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width, Home: -count, End: count };
  if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  const unit = Math.max(0, Math.min(count - 1, Math.min(app.state.unit, count - 1) + steps[event.key]));
  app.set({ unit });
  byId("panel").querySelector(`[data-focus="unit-${unit}"]`)?.focus();
}
