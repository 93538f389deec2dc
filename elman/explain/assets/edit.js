// Changing a number: fields in the panel, the buttons that zero W_hh or an input, and what moved.

const NUDGE = 0.1; // that an arrow key adds

// The key Z, on a Korean keyboard, too.
const isUndo = (event) =>
  (event.key === "z" || event.code === "KeyZ") && !event.ctrlKey && !event.metaKey && !event.altKey;

const sameEdit = (one, other) => one.name === other.name && one.at.join() === other.at.join();

// The edits with these on top; what they set before is forgotten.
function edited(edits, added) {
  return [...edits.filter((old) => !added.some((edit) => sameEdit(edit, old))), ...added];
}

// A field for one number of the input, a first state or a weight. A change takes effect at once.
function numberField(app, { name, at, value, label, key }) {
  const set = (text) => {
    const number = Number(text.trim().replace("−", "-"));
    if (text.trim() === "" || !Number.isFinite(number)) draw(app);
    else if (number !== value) app.change({ edits: edited(app.changes.edits, [{ name, at, value: number }]) });
  };
  const changed = app.changes.edits.some((edit) => sameEdit(edit, { name, at }));
  const field = el("input", {
    type: "text",
    inputmode: "decimal",
    class: changed ? "field changed" : "field",
    value: fixed(value),
    "aria-label": label,
    title: app.say.fieldTitle,
    "data-focus": key,
    autocomplete: "off",
    on: {
      // The field with the focus is known only after this event: the panel is drawn anew, and it gets the focus again.
      change: () => setTimeout(() => set(field.value)),
      keydown(event) {
        if (event.key === "Escape") field.value = fixed(value);
        if (isUndo(event)) {
          event.preventDefault(); // no number has the letter
          app.undo();
        }
        const by = { ArrowUp: NUDGE, ArrowDown: -NUDGE }[event.key];
        if (!by) return;
        event.preventDefault();
        set(String(Math.round((Number(field.value) + by) * 1e4) / 1e4));
      },
    },
  });
  return field;
}

const zeroedStates = (app) =>
  Object.keys(app.base.run.weights)
    .filter((name) => name.startsWith("weight_hh"))
    .map((name) => ({ name, at: [], value: 0 }));

function zeroedInput(app) {
  const { state, model } = app;
  return [{ name: "x", at: [Math.max(0, Math.min(model.T - 1, state.t)), state.b], value: 0 }];
}

// Sets these edits, or takes them away where they are set.
function toggleEdits(app, wanted) {
  const { edits } = app.changes;
  const all = wanted.every((edit) => edits.some((old) => sameEdit(old, edit)));
  app.change({ edits: all ? edits.filter((old) => !wanted.some((edit) => sameEdit(old, edit))) : edited(edits, wanted) });
}

function drawChanges(app) {
  const { say, changes } = app;
  const on = (wanted) => wanted.every((edit) => changes.edits.some((old) => sameEdit(old, edit)));
  const switches = { "zero-hh": zeroedStates(app), "zero-x": zeroedInput(app) };
  for (const [id, wanted] of Object.entries(switches)) byId(id).setAttribute("aria-pressed", String(on(wanted)));
  byId("zero-hh").textContent = say.zeroStates;
  byId("zero-x").textContent = say.zeroInput(switches["zero-x"][0].at[0]);
  byId("backward").setAttribute("aria-pressed", String(app.state.back));
  byId("undo").disabled = app.history.length < 2;
  byId("restore").disabled = !isChanged(changes);
  write(byId("moved"), movedText(app));
  byId("moved").classList.toggle("quiet", !app.moved);
}

function movedText(app) {
  const { say, moved, model, changes } = app;
  if (!moved && app.state.back) return say.backHint;
  if (!moved) return isChanged(changes) ? say.movedOther : say.movedNone;
  if (!moved.count) return say.movedNothing;
  const { l, d, t, b, u } = moved.where;
  const where = `h[${t}, ${u}] · ${say.way(l, d, model.D)}${model.N > 1 ? ` · ${say.sequence} ${model.sequences[b]}` : ""}`;
  const [before, now] = [app.base, model].map((run) => rounded(run.h(l, d, t, b)[u]));
  return say.moved(moved.count, moved.cells, where, before, now);
}

// By how much what stands at a place moved, from 0 to 1 of the largest movement.
function movedShare(app, place) {
  if (!app.moved || !place || place.t === null || place.t < 0) return 0;
  const { model, moved, state } = app;
  const { T, N, L, D } = model;
  const by = (name, l, d) => moved.by[name][((l * D + d) * T + place.t) * N + state.b] / moved.most[name] || 0;
  if (place.kind === "y") return Math.max(...Array.from({ length: D }, (_, d) => by("h", L - 1, d)));
  return place.kind === "h" || place.kind === "hn" ? by(place.state, place.l, place.d) : 0;
}

const isEdited = (app, place) =>
  place.kind === "x" &&
  app.changes.edits.some(({ name, at }) => name === "x" && at[0] === place.t && at[1] === app.state.b);

function listenForChanges(app) {
  byId("zero-hh").addEventListener("click", () => toggleEdits(app, zeroedStates(app)));
  byId("zero-x").addEventListener("click", () => toggleEdits(app, zeroedInput(app)));
  byId("undo").addEventListener("click", app.undo);
  byId("restore").addEventListener("click", app.restore);
}
