"""A series model as nodes of an ONNX graph."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from elman.tasks.series.clock import Clock
from elman.tasks.series.features import Calendar, Features
from elman.tasks.series.model import HIGHEST, SeriesModel

if TYPE_CHECKING:
    from elman.tasks.export import Graph


def write_series(
    graph: "Graph", model: SeriesModel, margin: npt.NDArray[Any], features: Features, clock: Clock
) -> None:
    """Repeat `SeriesModel.forward` and `in_units`, with the interval widened by `calibrate`."""
    horizon, columns, ahead = model.horizon, model.columns, model.ahead
    single, double = graph.onnx.TensorProto.FLOAT, graph.onnx.TensorProto.DOUBLE
    values = graph.input("values", "float64", ["time", "batch", columns + model.read])
    future = _future(graph, values, features, clock, horizon)

    def rows(x: str, start: int, end: int = 2**62, axis: int = 0) -> str:
        limits = (graph.constant([limit]) for limit in (start, end, axis))
        return str(graph.node("Slice", x, *limits))

    y = rows(values, 0, columns, axis=2) if model.read else values
    y = graph.node("Where", graph.constant(model.log), graph.node("Log", y), y)
    seen = None
    if future is not None:
        seen = rows(future, 0, -horizon)
        y = graph.node("Sub", y, graph.node("MatMul", seen, graph.constant(model.slopes.T, "slopes")))
    y = graph.node("Div", graph.node("Sub", y, graph.constant(model.centre, "centre")), graph.constant(model.scale))
    now = rows(y, ahead)
    mean = graph.node("ReduceMean", rows(y, 0, ahead), graph.constant([0]), keepdims=1)
    parts = [now, graph.node("Sub", now, mean)]
    for season, spread in zip(model.seasons, model.spread, strict=True):
        change = graph.node("Sub", now, rows(rows(y, ahead - season), 0, -season))
        parts.append(graph.node("Div", change, graph.constant(spread)))
    if model.read:
        other = rows(rows(values, columns, axis=2), ahead)
        other = graph.node("Sub", other, graph.constant(model.read_mean))
        parts.append(graph.node("Div", other, graph.constant(model.read_std)))
    if seen is not None:
        parts.append(rows(seen, ahead))
    x = graph.node("Cast", graph.node("Concat", *parts, axis=-1), to=single)
    _, _, last = graph.recurrent(model.rnn, x)  # (1, N, H)
    state = [last, rows(x, -1)]
    if future is not None:
        coming = graph.node("Transpose", rows(future, -horizon), perm=[1, 2, 0])  # (N, J, K)
        flat = graph.node("Reshape", coming, graph.constant([1, -1, model.features * horizon]))
        state.append(graph.node("Cast", flat, to=single))
    raw = graph.linear(model.head, graph.node("Concat", *state, axis=-1))
    raw = graph.node("Reshape", raw, graph.constant([-1, horizon, columns, 3]))
    low, median, high = graph.node("Split", raw, outputs=3, axis=-1, num_outputs=3)
    low = graph.node("Sub", median, graph.node("Softplus", low))
    high = graph.node("Add", median, graph.node("Softplus", high))
    changes = graph.node("Concat", low, median, high, axis=-1)  # (N, K, C, 3)
    changes = graph.node("Mul", changes, graph.constant(model.deviation[..., None].float()))
    past = graph.node("Unsqueeze", graph.node("Transpose", rows(y, -model.reach), perm=[1, 2, 0]), graph.constant([2]))
    weights = graph.constant(model.linear[..., :-1].transpose(1, 2), "linear")  # (C, R, K)
    base = graph.node("Squeeze", graph.node("MatMul", past, weights), graph.constant([2]))  # (N, C, K)
    base = graph.node("Add", base, graph.constant(model.linear[..., -1]))
    base = graph.node("Unsqueeze", graph.node("Transpose", base, perm=[0, 2, 1]), graph.constant([-1]))
    found = graph.node("Add", graph.node("Cast", base, to=single), changes)
    found = graph.node("Cast", found, to=double)
    low, median, high = graph.node("Split", found, outputs=3, axis=-1, num_outputs=3)
    wider = graph.node("Mul", graph.node("Sub", high, low), graph.constant(margin[..., None].astype(np.float64)))
    low = graph.node("Min", graph.node("Sub", low, wider), median)
    high = graph.node("Max", graph.node("Add", high, wider), median)
    found = graph.node("Mul", graph.node("Concat", low, median, high, axis=-1), graph.constant(model.scale[:, None]))
    found = graph.node("Add", found, graph.constant(model.centre[:, None]))
    if future is not None:
        offset = graph.node("MatMul", rows(future, -horizon), graph.constant(model.slopes.T))  # (K, N, C)
        offset = graph.node("Unsqueeze", graph.node("Transpose", offset, perm=[1, 0, 2]), graph.constant([-1]))
        found = graph.node("Add", found, offset)
    power = graph.node("Exp", graph.node("Min", found, graph.constant(np.float64(HIGHEST))))
    found = graph.node("Where", graph.constant(model.log[:, None]), power, found)
    if model.positive:
        found = graph.node("Max", found, graph.constant(np.float64(0.0)))
    graph.output(found, "forecast", "float64", ["batch", horizon, columns, 3])


def _future(graph: "Graph", values: str, features: Features, clock: Clock, horizon: int) -> str | None:
    """The features of the values' steps and of the K after them, (time + K, batch, J); None where there are none."""
    node, constant, found = graph.node, graph.constant, []
    time, batch = (node("Slice", node("Shape", values), constant([i]), constant([i + 1])) for i in (0, 1))
    if features.calendar:
        calendar = Calendar(**features.calendar)
        place = node("Squeeze", graph.input("place", "int64", [1]))
        end = node("Add", place, node("Add", node("Squeeze", time), constant(np.int64(horizon))))
        steps = node("Cast", node("Range", place, end, constant(np.int64(1))), to=graph.onnx.TensorProto.DOUBLE)
        first, step = (constant(np.float64(number / calendar.period)) for number in (clock.origin, clock.step))
        years = node("Unsqueeze", node("Add", first, node("Mul", step, steps)), constant([1, 2]))
        angle = node("Mul", years, constant(2 * np.pi * np.arange(1.0, calendar.waves + 1)))
        terms = node("Concat", node("Sin", angle), node("Cos", angle), axis=-1)
        found.append(node("Expand", terms, node("Concat", constant([1]), batch, constant([1]), axis=0)))
    if features.columns:
        columns = graph.input("future", "float64", ["time and ahead", "batch", len(features.columns)])
        centred = node("Sub", columns, constant(np.array(features.mean)))
        found.append(node("Div", centred, constant(np.array(features.std))))
    if len(found) == 2:
        return str(node("Concat", *found, axis=-1))
    return str(found[0]) if found else None
