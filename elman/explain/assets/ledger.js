// The shape ledger, with the switch that swaps time and batch of input and output and leaves h_0 and h_n alone.

function shapesOf(app) {
  const { T, I, H, L, D } = app.model;
  const { batched, batch } = app.data;
  const steps = [["time", T]];
  const sequences = batched ? [["batch", batch]] : [];
  const outer = app.state.batchFirst ? [...sequences, ...steps] : [...steps, ...sequences];
  const state = [["layer·direction", L * D], ...sequences, ["feature", H]];
  return { input: [...outer, ["feature", I]], h_0: state, output: [...outer, ["feature", D * H]], h_n: state };
}

function drawLedger(app, switched = false) {
  const { say, data, state } = app;
  const box = byId("shapes");
  const before = new Map(
    [...box.querySelectorAll(".axis-chip")].map((node) => [node.dataset.id, node.getBoundingClientRect().left]),
  );
  box.replaceChildren();
  for (const [name, axes] of Object.entries(shapesOf(app))) {
    const chips = axes.map(([axis, size]) =>
      el(
        "span",
        { class: `axis-chip ${axis.replace("·", "-")}`, "data-id": `${name} ${axis}` },
        el("small", { class: "long", text: say.axes[axis] }),
        el("small", { class: "short", text: say.axesShort[axis] ?? say.axes[axis], "aria-hidden": "true" }),
        el("b", { text: String(size) }),
      ),
    );
    const still = switched && name.startsWith("h_") ? el("em", { class: "still", text: say.unchanged }) : null;
    box.append(
      el(
        "div",
        { class: `tensor${switched ? (still ? " held" : " moved") : ""}`, "data-tensor": name },
        el("code", { text: name }),
        el("span", { class: "tuple" }, ...chips),
        still,
      ),
    );
  }
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  for (const node of box.querySelectorAll(".axis-chip")) {
    const shift = (before.get(node.dataset.id) ?? 0) - node.getBoundingClientRect().left;
    if (switched && !calm && Math.abs(shift) > 1)
      node.animate([{ transform: `translateX(${shift}px)` }, { transform: "none" }], {
        duration: 450,
        easing: "ease-in-out",
      });
  }
  const button = byId("batch-first");
  button.setAttribute("aria-checked", String(state.batchFirst));
  button.disabled = !data.batched;
  byId("batch-first-own").textContent = data.batched ? say.batchFirstOwn(data.batch_first) : say.batchFirstNone;
  byId("ledger-said").textContent = switched ? say.batchFirstSaid(state.batchFirst) : "";
}
