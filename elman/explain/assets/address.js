// The address keeps the place and the changes, so that a link or a reload comes back to them.

function keepAddress(app) {
  if (location.protocol === "about:") return; // inside a notebook there is no address
  const { row, t, b, pin, unit, gate, back, loss, lang } = app.state;
  const { swapped, text, edits } = app.changes;
  const parts = {
    t,
    row,
    b: b || null,
    unit: unit || null,
    gate,
    pin: pin && `${pin.row}.${pin.t}`,
    swapped: swapped ? 1 : null,
    text,
    back: back ? 1 : null,
    loss: back && loss ? loss.join(".") : null,
    lang,
  };
  const hash = new URLSearchParams(Object.entries(parts).filter(([, value]) => value !== null));
  for (const edit of edits.slice(0, KEPT)) hash.append("edit", editText(edit));
  history.replaceState(null, "", `#${hash}`);
}

const KEPT = 40; // edits in an address

function readAddress(app) {
  const { state, rows } = app;
  const asked = new URLSearchParams(location.hash.slice(1));
  const reading = { swapped: asked.get("swapped") === "1" && canSwap(app), text: typedText(app, asked.get("text")) };
  if (isChanged({ ...reading, edits: [] })) app.history.push({ ...UNCHANGED, ...reading });
  derive(app);
  const edits = asked.getAll("edit").map((text) => editOf(text, app));
  if (edits.some(Boolean)) app.history.push({ ...app.changes, edits: edits.filter(Boolean) });
  derive(app);
  const { model } = app;
  const whole = (text, low, high) => (/^-?\d+$/.test(text ?? "") ? Math.max(low, Math.min(high, Number(text))) : null);
  const preferred = (navigator.languages || [navigator.language]).find((name) => /^(en|ko)\b/.test(name)) || "en";
  state.lang = Object.hasOwn(WORDS, asked.get("lang") ?? "") ? asked.get("lang") : preferred.slice(0, 2);
  state.b = whole(asked.get("b"), 0, model.N - 1) ?? 0;
  if (rows.some((row) => row.key === asked.get("row"))) state.row = asked.get("row");
  // At step 0 the recurrent term is 0, or h_0's: the step after it shows the layer at work.
  state.t = whole(asked.get("t"), -1, model.T) ?? Math.min(1, model.lengths[state.b] - 1, model.T - 1);
  if (state.t < 0 && !asked.has("t")) state.t = 0;
  state.gate = model.kind.gates.some(({ name }) => isGated(model.kind) && name === asked.get("gate")) ? asked.get("gate") : null;
  state.back = asked.get("back") === "1";
  const steps = (asked.get("loss") || "").split(".").map((text) => whole(text, 0, model.T - 1));
  state.loss = steps.every((t) => t !== null) ? steps : null;
  state.unit = whole(asked.get("unit"), 0, model.D * model.H - 1) ?? 0;
  const [row, t] = (asked.get("pin") || "").split(".");
  if (rows.some((one) => one.key === row) && whole(t, -1, model.T) !== null)
    state.pin = { row, t: whole(t, -1, model.T) };
}
