// A text of the learner's own, where the page knows the vector of each token.

const LONGEST = 200; // tokens that are read

// The tokens of a text: known ones as numbers of the vocabulary, and what is not in it.
function tokensOf(app, text) {
  const { tokens, separator } = app.data.vocabulary;
  const own = app.data.translations ?? {};
  const number = (word) => {
    const direct = tokens.indexOf(word);
    if (direct >= 0) return direct;
    return tokens.findIndex((token) => Object.values(own).some((words) => words[token] === word));
  };
  const parts = separator ? text.split(separator).filter((word) => word !== "") : Array.from(text);
  const found = { known: [], unknown: [] };
  for (const part of parts.slice(0, LONGEST)) {
    const k = number(part);
    if (k >= 0) found.known.push(k);
    else if (!found.unknown.includes(part)) found.unknown.push(part);
  }
  return found;
}

// A text that can be read, or null.
function typedText(app, text) {
  return text !== null && app.data.vocabulary && tokensOf(app, text).known.length ? text : null;
}

function typedRun(app, text) {
  const { data, recorded } = app;
  const { I, H, L, D } = data.sizes;
  const { known } = tokensOf(app, text);
  const x = new Float64Array(known.length * I);
  known.forEach((k, t) => x.set(view(app.vectors, k, I), t * I));
  const tokens = known.map((k) => data.vocabulary.tokens[k]);
  return {
    ...recorded,
    T: known.length,
    N: 1,
    lengths: [known.length],
    sequences: [0],
    batch: 1,
    tokens: [tokens],
    targets: isNextAsked(recorded) ? [tokens.map((_, t) => tokens[t + 1] ?? null)] : null,
    x,
    starts: forStates(data, () => new Float64Array(L * D * H)),
  };
}

// Whether the next token should come out at each step: of a typed text it is known, too.
function isNextAsked({ tokens, targets }) {
  const read = tokens?.[0] ?? [];
  return Boolean(targets?.[0].every((target, t) => target === (read[t + 1] ?? null)));
}

function drawTyped(app) {
  const { vocabulary } = app.data;
  byId("typed-box").hidden = !vocabulary;
  if (!vocabulary) return;
  const field = byId("typed");
  const text = app.changes.text;
  if (document.activeElement !== field) field.value = text ?? "";
  field.placeholder = app.say.typedHint(vocabulary.separator);
  const unknown = text === null ? [] : tokensOf(app, text).unknown;
  write(byId("typed-said"), unknown.length ? app.say.typedUnknown(unknown.map(visible).join(" ")) : "");
}

function listenForText(app) {
  byId("typed").addEventListener("input", (event) => {
    const text = typedText(app, event.target.value);
    if (text === null && app.changes.text === null) return;
    const edits = app.changes.edits.filter(({ name }) => name !== "x" && !startOf(app.recorded, name));
    // A word is one step of change, however many letters it takes.
    app.change({ text, swapped: false, edits }, app.changes.text !== null);
  });
}
