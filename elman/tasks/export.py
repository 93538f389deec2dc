"""A trained run as an ONNX file: a standard RNN, GRU or LSTM node a layer, vocabulary or scale in its metadata.

The graphs are written node by node, each beside the model whose forward it repeats, so no tracing decides what is in
them; time and batch are free. onnx is an extra, imported when a graph is built.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

import elman
from elman.autograd.onnx import in_order
from elman.kernels.cells import CELLS, Cell
from elman.tasks.errors import MissingExtra, RunError
from elman.tasks.files.places import refuse_existing
from elman.tasks.labels import run as labels_runs
from elman.tasks.labels.model import LabelsModel
from elman.tasks.series import run as series_runs
from elman.tasks.series.calibration import read_margin
from elman.tasks.series.clock import Clock
from elman.tasks.series.features import Features
from elman.tasks.series.graph import write_series
from elman.tasks.series.model import SeriesModel
from elman.tasks.text import run as text_runs
from elman.tasks.text.model import CharacterModel
from elman.tasks.training import checkpoint, runs

OPSET, IR = 18, 9  # of 2022: most runtimes read them
TEXT, LABELS, SERIES = "text", "labels", "series"


class Graph:
    """An ONNX graph that grows node by node.

    Args:
        name: of the graph.

    Raises:
        MissingExtra: onnx is not installed.
    """

    def __init__(self, name: str) -> None:
        try:
            import onnx
        except ImportError as error:
            raise MissingExtra("export needs a package: pip install elman[onnx]") from error
        self.onnx, self.name = onnx, name
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def input(self, name: str, dtype: str, shape: Sequence[str | int]) -> str:
        """A named input; a word in its shape is a free size."""
        self.inputs.append(self._value(name, dtype, shape))
        return name

    def output(self, value: str, name: str, dtype: str, shape: Sequence[str | int]) -> None:
        """Give a value out under this name."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self._value(name, dtype, shape))

    def constant(self, value: Any, name: str | None = None) -> str:
        """A tensor or array stored in the file."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        name = name or f"constant{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node; returns the name of its output, or their names."""
        names = [f"{kind.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def recurrent(
        self, rnn: nn.RNNBase, x: str, lengths: str | None = None, starts: Sequence[str] = ()
    ) -> tuple[str, list[str], str]:
        """A stack of layers on (T, N, I).

        Args:
            rnn: the layers.
            x: their input.
            lengths: of the sequences.
            starts: h_0, and c_0 of an LSTM, each (L D, N, H); zeros unless given.

        Returns:
            The output (T, N, D H), each part of the last state (L D, N, H), and h of the last layer alone.
        """
        hidden, directions = rnn.hidden_size, 2 if rnn.bidirectional else 1
        cell = CELLS[rnn.mode.lower()]
        attributes = {"linear_before_reset": 1} if cell.layer == "gru" else {}
        found: list[list[str]] = []
        for layer in range(rnn.num_layers):
            if layer:  # Y is (T, D, N, H)
                x = self.node("Reshape", self.node("Transpose", x, perm=[0, 2, 1, 3]), self.constant([0, 0, -1]))
            ends = ("", "_reverse")[:directions]
            w, r = (
                self.constant(np.stack([_rows(rnn, cell, f"weight_{kind}_l{layer}{end}") for end in ends]))
                for kind in ("ih", "hh")
            )
            both = [
                np.concatenate([_rows(rnn, cell, f"bias_{kind}_l{layer}{end}") for kind in ("ih", "hh")])
                for end in ends
            ]
            limits = layer * directions, (layer + 1) * directions, 0  # of its rows, along axis 0
            own = [self.node("Slice", start, *(self.constant([limit]) for limit in limits)) for start in starts]
            way = "bidirectional" if directions == 2 else "forward"
            inputs = (x, w, r, self.constant(np.stack(both)), lengths or "", *own)
            outputs = 1 + len(cell.states)
            x, *state = self.node(
                cell.layer.upper(), *inputs, outputs=outputs, hidden_size=hidden, direction=way, **attributes
            )
            found.append(state)
        x = self.node("Reshape", self.node("Transpose", x, perm=[0, 2, 1, 3]), self.constant([0, 0, -1]))
        parts = zip(*found, strict=True)
        last = [self.node("Concat", *part, axis=0) if len(part) > 1 else part[0] for part in parts]
        return x, last, found[-1][0]

    def pooled(self, output: str, lengths: str) -> tuple[str, str]:
        """Mean and largest value of (T, N, D H) over each sequence's own steps, (N, D H)."""
        first, one = self.constant(np.array(0)), self.constant(np.array(1))
        time = self.node("Gather", self.node("Shape", output), first)
        steps = self.node("Unsqueeze", self.node("Range", first, time, one), self.constant([1, 2]))
        there = self.node("Less", steps, self.node("Unsqueeze", lengths, self.constant([1])))  # (T, N, 1)
        zero, least = (self.constant(np.array(value, np.float32)) for value in (0, -np.inf))
        count = self.node("Cast", self.node("Unsqueeze", lengths, self.constant([1])), to=self.onnx.TensorProto.FLOAT)
        axis = self.constant([0])
        total = self.node("ReduceSum", self.node("Where", there, output, zero), axis, keepdims=0)
        highest = self.node("ReduceMax", self.node("Where", there, output, least), axis, keepdims=0)
        return self.node("Div", total, count), highest

    def linear(self, layer: nn.Linear, x: str) -> str:
        """x W^T + b."""
        product = self.node("MatMul", x, self.constant(layer.weight.T))
        return str(self.node("Add", product, self.constant(layer.bias)))

    def model(self, facts: Mapping[str, Any]) -> Any:
        """The whole as a checked model; each fact is JSON in the file's metadata."""
        helper = self.onnx.helper
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        model.producer_name, model.producer_version = "elman", elman.__version__
        helper.set_model_props(model, {name: json.dumps(fact, ensure_ascii=False) for name, fact in facts.items()})
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def _value(self, name: str, dtype: str, shape: Sequence[str | int]) -> Any:
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)


def text_graph(model: CharacterModel) -> Graph:
    """Streaming: the state goes in and comes out, so that a text is read in pieces of any length."""
    graph = Graph("elman text")
    size, shape = model.linear.out_features, (model.rnn.num_layers, "batch", model.rnn.hidden_size)
    ids = graph.input("ids", "int64", ["time", "batch"])
    states = CELLS[model.rnn.mode.lower()].states
    starts = [graph.input(f"{state}0", "float32", shape) for state in states]
    x = graph.node("Gather", graph.constant(model.embedding.weight, "embedding"), ids)
    output, last, _ = graph.recurrent(model.rnn, x, starts=starts)
    graph.output(graph.linear(model.linear, output), "logits", "float32", ["time", "batch", size])
    for state, name in zip(states, last, strict=True):
        graph.output(name, f"{state}_n", "float32", shape)
    return graph


def labels_graph(model: LabelsModel) -> Graph:
    """Sequences side by side with their lengths in, p(label) out; what is past a sequence's end does not matter."""
    graph = Graph("elman labels")
    if model.tokens is None:
        values = graph.input("values", "float64", ["time", "batch", len(model.mean)])
        centred = graph.node("Sub", values, graph.constant(model.mean, "mean"))
        scaled = graph.node("Div", centred, graph.constant(model.std, "std"))
        x = graph.node("Cast", scaled, to=graph.onnx.TensorProto.FLOAT)
    else:
        ids = graph.input("ids", "int64", ["time", "batch"])
        if model.embedding is None:
            x = graph.node("Gather", graph.constant(np.eye(model.tokens, dtype=np.float32), "one_hot"), ids)
        else:
            x = graph.node("Gather", graph.constant(model.embedding.weight, "embedding"), ids)
    lengths = graph.input("lengths", "int64", ["batch"])
    ends = graph.node("Cast", lengths, to=graph.onnx.TensorProto.INT32)
    output, _, last = graph.recurrent(model.rnn, x, ends)
    kept = graph.node("Reshape", graph.node("Transpose", last, perm=[1, 0, 2]), graph.constant([0, -1]))
    if model.pooled:
        kept = graph.node("Concat", kept, *graph.pooled(output, lengths), axis=-1)
    p = graph.node("Softmax", graph.linear(model.linear, kept), axis=-1)
    graph.output(p, "probabilities", "float32", ["batch", model.linear.out_features])
    return graph


def series_graph(model: SeriesModel, margin: npt.NDArray[Any], features: Features, clock: Clock) -> Graph:
    """The last values in their own units in, the quantiles of the next K in the same units out, intervals widened by a
    margin, (K, C). Where the model reads the place in the year, `place` says how many steps the first value is after
    the clock's first; where it reads columns that are known ahead, `future` holds them for the values' steps and the K
    after them."""
    graph = Graph("elman series")
    write_series(graph, model, margin, features, clock)
    return graph


def export_run(folder: Path, path: Path, *, overwrite: bool = False) -> dict[str, list[str]]:
    """Write a run's best weights as an ONNX file.

    Args:
        folder: a run folder of any task.
        path: the file to write; nothing may be there unless `overwrite`.
        overwrite: whether a file that is there is replaced.

    Returns:
        The inputs and the outputs, each with its type and shape, in words.

    Raises:
        UserError: the folder is not usable, the file is there, or onnx is not installed.
    """
    refuse_existing(path, overwrite=overwrite)
    task = checkpoint.read_task(folder)
    exporters: dict[str, Callable[[Path], Any]] = {TEXT: _text, LABELS: _labels, SERIES: _series}
    if task not in exporters:
        raise RunError(f"{folder} was trained for another task: {task}, not {', '.join(exporters)}")
    model = exporters[task](folder)
    checkpoint.write_atomically(path, model.SerializeToString())
    return {"in": [_in_words(v) for v in model.graph.input], "out": [_in_words(v) for v in model.graph.output]}


def _text(folder: Path) -> Any:
    model, vocabulary = text_runs.load_model(folder)
    return text_graph(model).model({"task": TEXT, "vocabulary": vocabulary.characters})


def _labels(folder: Path) -> Any:
    model, config, settings = runs.load_model(labels_runs.JOB, folder)
    assert isinstance(model, LabelsModel)
    facts = {"task": LABELS, "labels": config["labels"]}
    if model.tokens is None:
        return labels_graph(model).model(facts)
    return labels_graph(model).model({**facts, "tokens": settings.tokens, "vocabulary": config["vocabulary"]})


def _series(folder: Path) -> Any:
    model, config, settings = runs.load_model(series_runs.JOB, folder)
    assert isinstance(model, SeriesModel)
    tail = (1 - settings.interval) / 2
    facts = {name: config[name] for name in ("columns", "read", "features", "season", "scale", "clock")}
    facts |= {
        "task": SERIES,
        "window": settings.window,
        "steps": model.ahead + settings.window,
        "quantiles": [tail, 0.5, 1 - tail],
    }
    margin = read_margin(folder, model.horizon, model.columns)
    features, clock = Features(**config["features"]), Clock(**config["clock"])
    return series_graph(model, margin, features, clock).model(facts)


def _rows(rnn: nn.RNNBase, cell: Cell, name: str) -> Any:
    """A weight or bias with its gates in ONNX's order."""
    return in_order(cell, rnn.get_parameter(name)).detach().cpu().numpy()


def _in_words(value: Any) -> str:
    tensor = value.type.tensor_type
    kind = {1: "float32", 7: "int64", 11: "float64"}[tensor.elem_type]
    sizes = ", ".join(str(size.dim_param or size.dim_value) for size in tensor.shape.dim)
    return f"{value.name}: {kind} ({sizes})"
