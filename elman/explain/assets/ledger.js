// The shape ledger, with the switch that reads the same tensor with its first two axes the other way round.

function shapesOf(app) {
  const { T, I, H, L, D, batch } = app.model;
  const steps = [["time", T]];
  const sequences = app.data.batched ? [["batch", batch]] : [];
  const outer = app.batchFirst ? [...sequences, ...steps] : [...steps, ...sequences];
  const state = [["layer·direction", L * D], ...sequences, ["feature", H]];
  const all = (end) => Object.fromEntries(app.model.kind.states.map((name) => [`${name}_${end}`, state]));
  return { input: [...outer, ["feature", I]], ...all(0), output: [...outer, ["feature", D * H]], ...all("n") };
}

function drawLedger(app, switched = false) {
  const { say, data, recorded } = app;
  const box = byId("shapes");
  box.replaceChildren();
  for (const [name, axes] of Object.entries(shapesOf(app))) {
    const chips = axes.map(([axis, size]) =>
      el(
        "span",
        { class: `axis-chip ${axis.replace("·", "-")}` },
        el("small", { class: "long", text: say.axes[axis] }),
        el("small", { class: "short", text: say.axesShort[axis] ?? say.axes[axis], "aria-hidden": "true" }),
        el("b", { text: String(size) }),
      ),
    );
    const still = app.changes.swapped && /^[hcv]_/.test(name) ? el("small", { class: "still", text: say.unchanged }) : null;
    box.append(
      el(
        "div",
        { class: `tensor${app.changes.swapped && !still ? " reread" : ""}`, "data-tensor": name },
        el("span", { class: "named" }, el("code", { text: name }), still),
        el("span", { class: "tuple" }, ...chips),
      ),
    );
  }
  const button = byId("batch-first");
  button.setAttribute("aria-checked", String(app.batchFirst));
  button.disabled = !canSwap(app);
  button.title = say.batchFirstTitle;
  byId("batch-first-own").textContent = !data.batched
    ? say.batchFirstNone
    : canSwap(app)
      ? say.batchFirstOwn(data.batch_first)
      : isSteady(app.recorded)
        ? say.batchFirstPart
        : say.batchFirstTerms;
  const said = byId("ledger-said");
  said.replaceChildren();
  if (!app.changes.swapped) {
    if (switched) write(said, say.batchFirstBack(data.batch_first));
    return;
  }
  const shape = `(${data.batch_first ? [recorded.N, recorded.T, data.sizes.I] : [recorded.T, recorded.N, data.sizes.I]})`;
  const refused = refusesSwapped(recorded) ? ` ${say.batchFirstRefused(recorded.N, recorded.T)}` : "";
  const cut = recorded.lengths.every((length) => length === recorded.T) ? "" : ` ${say.batchFirstLengths}`;
  write(said, say.batchFirstSaid(app.batchFirst, shape.replaceAll(",", ", "), recorded.N, recorded.T) + refused + cut);
}

// The same tensor can be read the other way where all of it is in the page, and no leak or drive belongs to a step of it.
function canSwap({ data, recorded }) {
  return data.batched && recorded.N === recorded.batch && isSteady(recorded);
}

// The step of change that reads the axes the other way round: what was set in the input stays where it is in the tensor.
function swapping(app) {
  const { recorded } = app;
  const { swapped, edits } = app.changes;
  const moved = edits
    .filter(({ name }) => !startOf(recorded, name))
    .map((edit) => (edit.name === "x" ? { ...edit, at: [edit.at[1], edit.at[0], ...edit.at.slice(2)] } : edit));
  return { swapped: !swapped, text: null, edits: app.changes.text === null ? moved : moved.filter(({ name }) => name !== "x") };
}
