"""Compilers and exporters."""

import io
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from compatibility_rows.common import Layer, X, row, same, states, zeros


class Model(nn.Module):
    def __init__(self, cls: type, **arguments: Any) -> None:
        super().__init__()
        self.rnn = cls(3, 8, **arguments)

    def forward(self, x: Tensor, h: Any) -> tuple[Tensor, Any]:
        output, last = self.rnn(x, h)
        return output * 2, last


def example(cls: Layer, T: int = 5, N: int = 4) -> tuple[Tensor, Any]:
    """The input and the first states."""
    h, c = torch.randn(2, 1, N, 8).unbind()
    return torch.randn(T, N, 3), (h, c) if cls.__name__ == "LSTM" else h


def axes(cls: Layer) -> tuple[Any, ...]:
    """Which of them may have other sizes."""
    T, N = torch.export.Dim("T"), torch.export.Dim("N")
    return {0: T, 1: N}, ({1: N}, {1: N}) if cls.__name__ == "LSTM" else {1: N}


@row("Compilers and exporters", "torch.compile, graph breaks allowed")
def _(cls: Layer) -> None:
    model = Model(cls)
    call = example(cls)
    same(torch.compile(model, backend="aot_eager")(*call), model(*call))


@row("Compilers and exporters", "torch.compile(fullgraph=True)")
def _(cls: Layer) -> None:
    model, call = Model(cls), example(cls)
    same(torch.compile(model, backend="aot_eager", fullgraph=True)(*call), model(*call))


@row("Compilers and exporters", "torch.compile: no new graph at a third, fourth, fifth length")
def _(cls: Layer) -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(Model(cls), backend=counter, fullgraph=True)
    for T in (5, 7, 9, 11, 13):
        compiled(*example(cls, T))
    assert counter.frame_count == 2


def exported(cls: type, strict: bool) -> None:
    model = Model(cls).eval()
    program = torch.export.export(model, example(cls), dynamic_shapes=axes(cls), strict=strict)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    call = example(cls, 9, 7)
    same(torch.export.load(file).module()(*call), model(*call))


row("Compilers and exporters", "torch.export, T and N dynamic, saved and loaded")(partial(exported, strict=False))
row("Compilers and exporters", "the same, strict=True")(partial(exported, strict=True))


def onnx(cls: type, nodes: int | None) -> None:
    import onnx
    import onnxruntime

    model, (x, first) = Model(cls).eval(), example(cls, 9, 7)
    call, op_type = (x, *states(first)), {"LeakyRNN": "Scan"}.get(cls.__name__, cls.__name__)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(model, example(cls), path, dynamic_shapes=axes(cls), dynamo=True, verbose=False)
        assert nodes is None or sum(node.op_type == op_type for node in onnx.load(path).graph.node) == nodes
        session = onnxruntime.InferenceSession(path)
        names = [each.name for each in session.get_inputs()]
        found = session.run(None, {name: t.numpy() for name, t in zip(names, call, strict=True)})
    output, last = model(x, first)
    same([torch.from_numpy(y) for y in found], [output, *states(last)])


row("Compilers and exporters", "ONNX, T and N dynamic, in ONNX Runtime at other sizes")(partial(onnx, nodes=None))
row("Compilers and exporters", "ONNX, one RNN, GRU or LSTM node a layer", LeakyRNN="a Scan a direction")(
    partial(onnx, nodes=1)
)


@row("Compilers and exporters", "the old ONNX exporter (dynamo=False), inside a model")
def _(cls: Layer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        torch.onnx.export(Model(cls).eval(), example(cls), Path(folder) / "old.onnx", dynamo=False)


@row("Compilers and exporters", "the same, the layer itself")
def _(cls: Layer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        torch.onnx.export(cls(3, 8).eval(), (X,), Path(folder) / "old.onnx", dynamo=False)


@row("Compilers and exporters", "torch.fx.symbolic_trace of a model")
def _(cls: Layer) -> None:
    model, call = Model(cls), example(cls)
    same(torch.fx.symbolic_trace(model)(*call), model(*call))


@row("Compilers and exporters", "make_fx, FakeTensorMode, the meta device")
def _(cls: Layer) -> None:
    model, call = Model(cls), example(cls)
    same(make_fx(model)(*call)(*call), model(*call))
    with FakeTensorMode():
        Model(cls)(torch.empty(5, 4, 3), zeros(cls, 1, 4, 8))
    with torch.device("meta"):
        model.to("meta")(torch.empty(5, 4, 3), zeros(cls, 1, 4, 8))


@row("Compilers and exporters", "torch.jit.trace")
def _(cls: Layer) -> None:
    model, call = Model(cls).eval(), example(cls)
    same(torch.jit.trace(model, call)(*call), model(*call))


@row("Compilers and exporters", "torch.jit.script (deprecated by torch)", LeakyRNN="it compiles torch's layers alone")
def _(cls: Layer) -> None:
    class Scripted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = cls(3, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x)[0]

    model = Scripted()
    expected = model(X)
    same(torch.jit.script(model)(X), expected)
