// What reads the output: a linear layer y = W h + b, whose numbers are values, or scores of outcomes.

function decodeHead(head) {
  return head && { ...head, weight: decode(head.weight), bias: decode(head.bias) };
}

const scores = (app, t, model = app.model) => affine(app.head.weight, model.y(t, app.state.b), app.head.bias);

function softmax(values) {
  const most = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - most));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

const GUESSES = 5;

// Whether there is a row of predictions.
const expects = (app) => Boolean(app.head?.names || app.data.predictions);

// What is expected after a step, likeliest first: from the output layer, or as it was recorded.
function expectedAt(app, t) {
  const { head, data, model, state } = app;
  if (!model.there(t, state.b)) return [];
  if (head?.names) {
    const shares = softmax(scores(app, t));
    if (!shares.every(Number.isFinite)) return [];
    const order = Array.from(shares, (probability, k) => ({ token: head.names[k], probability }));
    return order.sort((one, other) => other.probability - one.probability).slice(0, GUESSES);
  }
  if (isChanged(app.changes) || !data.predictions) return [];
  return data.predictions[data.predictions.length > 1 ? state.b : 0][t];
}
