"""ONNX: one standard RNN, GRU or LSTM node a layer, checked by onnx, run by ONNX Runtime at other sizes.

ONNX Runtime's GRU and LSTM are written by others, from ONNX's own equations: a second opinion beside torch's.
"""

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from cases import states_of
from torch import Tensor

import elman

# torch's own exporter raises them
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.* is deprecated:FutureWarning", "ignore:# The axis name. N will not be used:UserWarning"
)

DEEP = dict(num_layers=2, bidirectional=True, batch_first=True)
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "both ways, batch first": DEEP,
    "three layers without bias": dict(num_layers=3, bias=False),
}


class Model(torch.nn.Module):
    """What a user exports: the layer, its state in and out, something after it."""

    def __init__(self, cell: str = "RNN", **arguments: Any) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.rnn = getattr(elman, cell)(3, 8, **arguments)

    def forward(self, input: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        """Of the input, its states, and lengths where there are any."""
        count = 2 if isinstance(self.rnn, elman.LSTM) else 1
        hx, lengths = given[:count], given[count:]
        words = {"lengths": lengths[0]} if lengths else {}
        output, last = self.rnn(input, hx if count == 2 else hx[0], **words)
        return output * 2, *states_of(last)


def given(rnn: torch.nn.RNNBase, T: int, N: int) -> tuple[Tensor, ...]:
    shape = (N, T, 3) if rnn.batch_first else (T, N, 3)
    states = (rnn.num_layers * (2 if rnn.bidirectional else 1), N, 8)
    return torch.randn(shape), *(torch.randn(states) for _ in range(2 if isinstance(rnn, elman.LSTM) else 1))


def axes_of(rnn: torch.nn.RNNBase, lengths: bool = False) -> tuple[Any, ...]:
    """Which axes of the arguments may have other sizes; what *given takes is one of them."""
    rows = {0: "N", 1: "T"} if rnn.batch_first else {0: "T", 1: "N"}
    states = [{1: "N"}] * (2 if isinstance(rnn, elman.LSTM) else 1)
    return rows, (*states, *[{0: "N"}] * lengths)


def export(model: torch.nn.Module, example: tuple[Any, ...], axes: Any, path: Path) -> onnx.ModelProto:
    """The file as a user writes it, checked."""
    torch.onnx.export(model, example, path, dynamic_shapes=axes, dynamo=True, verbose=False)
    exported = onnx.load(path)
    onnx.checker.check_model(exported, full_check=True)
    return exported


def run(path: Path, *inputs: Tensor) -> list[Tensor]:
    session = onnxruntime.InferenceSession(path)
    names = [each.name for each in session.get_inputs()]
    assert len(names) == len(inputs)
    found = session.run(None, {name: t.numpy() for name, t in zip(names, inputs, strict=True)})
    return [torch.from_numpy(y) for y in found]


def nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in ("RNN", "GRU", "LSTM")]


@pytest.mark.covering
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_one_node_a_layer_runs_at_every_size(cell: str, shape: str, lengths: bool, tmp_path: Path) -> None:
    """RNN without bias is one of relu."""
    arguments = dict(SHAPES[shape], cell=cell)
    if cell == "RNN" and "without bias" in shape:
        arguments["nonlinearity"] = "relu"
    model = Model(**arguments).eval()
    example: tuple[Any, ...] = given(model.rnn, 5, 2)
    if lengths:
        example = (*example, torch.tensor([3, 5]))
    exported = export(model, example, axes_of(model.rnn, lengths), tmp_path / "model.onnx")
    assert [node.op_type for node in nodes(exported)] == [cell] * model.rnn.num_layers
    assert not exported.functions
    for node in nodes(exported):
        assert node.domain in ("", "ai.onnx")
        assert bool(node.input[4]) == lengths, "sequence_lens"
        assert all(node.input[5 : 5 + len(given(model.rnn, 1, 1)) - 1]), "initial_h and initial_c"
        if node.op_type == "GRU":
            assert [a.i for a in node.attribute if a.name == "linear_before_reset"] == [1]
    for T, N in [(9, 7), (1, 1), (200, 3)]:
        call = given(model.rnn, T, N)
        if lengths:
            call = (*call, torch.arange(N) * 2 % (T + 1))
        with torch.no_grad():
            expected = model(*call)
        torch.testing.assert_close(run(tmp_path / "model.onnx", *call), list(expected))


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_state_starts_at_zero_without_h0(cell: str, tmp_path: Path) -> None:
    layer = getattr(elman, cell)(3, 8, 2).eval()
    exported = export(layer, (torch.randn(5, 2, 3),), ({0: "T", 1: "N"},), tmp_path / "model.onnx")
    assert [each.name for each in exported.graph.input] == ["input"]
    assert not any(len(node.input) > 5 and node.input[5] for node in nodes(exported))
    input = torch.randn(7, 4, 3)
    with torch.no_grad():
        output, last = layer(input)
    torch.testing.assert_close(run(tmp_path / "model.onnx", input), [output, *states_of(last)])


class Step(torch.nn.Module):
    """One step with the state as input and output."""

    def __init__(self, rnn: torch.nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        output, last = self.rnn(x.unsqueeze(0), states if len(states) > 1 else states[0])
        return output.squeeze(0), *states_of(last)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_one_step_export_streams(cell: str, tmp_path: Path) -> None:
    """Fed step by step it computes what the layer computes of the whole sequence."""
    layer = getattr(elman, cell)(3, 8, 2).eval()
    states = [torch.randn(2, 4, 8) for _ in range(2 if cell == "LSTM" else 1)]
    example = (torch.randn(2, 3), *(state[:, :2] for state in states))
    exported = export(Step(layer).eval(), example, ({0: "N"}, ({1: "N"},) * len(states)), tmp_path / "step.onnx")
    assert len(nodes(exported)) == 2
    input = torch.randn(11, 4, 3)
    with torch.no_grad():
        expected, last = layer(input, tuple(states) if cell == "LSTM" else states[0])
    outputs = []
    for x in input:
        y, *states = run(tmp_path / "step.onnx", x, *states)
        outputs.append(y)
    torch.testing.assert_close((torch.stack(outputs), states), (expected, [*states_of(last)]))


def test_an_exported_program_becomes_onnx(tmp_path: Path) -> None:
    """torch.export first, torch.onnx after it, without a table of translations."""
    model = Model().eval()
    axes = ({0: torch.export.Dim("T"), 1: torch.export.Dim("N")}, ({1: torch.export.Dim("N")},))
    program = torch.export.export(model, given(model.rnn, 5, 2), dynamic_shapes=axes)
    torch.onnx.export(program, f=tmp_path / "model.onnx", dynamo=True, verbose=False)
    assert len(nodes(onnx.load(tmp_path / "model.onnx"))) == 1
    call = given(model.rnn, 9, 7)
    with torch.no_grad():
        torch.testing.assert_close(run(tmp_path / "model.onnx", *call), list(model(*call)))


def test_one_unbatched_sequence(tmp_path: Path) -> None:
    layer = elman.RNN(3, 8).eval()
    export(layer, (torch.randn(5, 3),), ({0: "T"},), tmp_path / "one.onnx")
    input = torch.randn(9, 3)
    with torch.no_grad():
        torch.testing.assert_close(run(tmp_path / "one.onnx", input), list(layer(input)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:Exporting a model to ONNX with a batch_size:UserWarning")
@pytest.mark.filterwarnings("ignore:Exporting a model while it is in training mode:UserWarning")
@pytest.mark.parametrize("way", ["model", "program", "old"])
@pytest.mark.covering(1)
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_in_training_mode_every_run_draws_its_mask(cell: str, way: str, tmp_path: Path) -> None:
    """At sizes that are fixed too, where the exporter works out what follows from no input. ONNX Runtime takes every
    Dropout out of a graph that it optimizes, also those of torch's layers, and so computes what eval() does."""
    layer, path, input = getattr(elman, cell)(3, 8, 2, dropout=0.3), tmp_path / "model.onnx", torch.randn(5, 2, 3)
    if way == "old":
        words = dict(training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)
        torch.onnx.export(layer, (input,), path, dynamo=False, **words)
    else:
        model = torch.export.export(layer, (input,)) if way == "program" else layer
        torch.onnx.export(model, (input,), path, dynamo=True, verbose=False)
    exported = onnx.load(path)
    (dropout,) = [node for node in exported.graph.node if node.op_type == "Dropout"]
    exported.graph.output.append(onnx.helper.make_empty_tensor_value_info(dropout.output[0]))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(exported.SerializeToString(), options)
    halves = [getattr(torch.nn, cell)(3 if k == 0 else 8, 8) for k in range(2)]  # the layer in two, for a mask between
    for k, half in enumerate(halves):
        own = {n: p for n, p in layer.state_dict().items() if n.endswith(f"l{k}")}
        half.load_state_dict({n.removesuffix(f"l{k}") + "l0": p for n, p in own.items()})
    masks = []
    for _ in range(2):
        output, *_, mask = map(torch.from_numpy, session.run(None, {session.get_inputs()[0].name: input.numpy()}))
        torch.testing.assert_close(mask.unique(), torch.tensor([0.0, 1 / 0.7]))
        with torch.no_grad():
            torch.testing.assert_close(output, halves[1](halves[0](input)[0] * mask)[0])
        masks.append(mask)
    assert not torch.equal(*masks)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_reset_is_refused_in_words(cell: str) -> None:
    layer, reset = getattr(elman, cell)(3, 8).eval(), torch.zeros(5, 2, dtype=torch.bool)
    with pytest.raises(Exception, match=f"ONNX's {cell} node knows no reset: export without reset="):
        torch.onnx.export(layer, (torch.randn(5, 2, 3),), kwargs={"reset": reset}, dynamo=True, verbose=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:Exporting a model to ONNX with a batch_size:UserWarning")
@pytest.mark.parametrize("dynamo", [True, False])
def test_a_projection_is_refused_in_words(dynamo: bool, tmp_path: Path) -> None:
    layer = elman.LSTM(3, 8, proj_size=5).eval()
    with pytest.raises(Exception, match=r"LSTM.*proj"):
        torch.onnx.export(layer, (torch.randn(5, 2, 3),), tmp_path / "model.onnx", dynamo=dynamo, verbose=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:Exporting a model to ONNX with a batch_size:UserWarning")
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_the_old_exporter_writes_what_it_writes_for_torch(cell: str, tmp_path: Path) -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = getattr(elman, cell)(3, 8, 2)

        def forward(self, input: Tensor) -> tuple[Tensor, ...]:
            output, last = self.rnn(input)
            return output, *states_of(last)

    model, path = Plain().eval(), tmp_path / "old.onnx"
    axes = {"input": {0: "T", 1: "N"}}
    torch.onnx.export(model, (torch.randn(5, 2, 3),), path, dynamo=False, dynamic_axes=axes, input_names=["input"])
    assert len(nodes(onnx.load(path))) == 2
    input = torch.randn(9, 7, 3)
    with torch.no_grad():
        torch.testing.assert_close(run(path, input), list(model(input)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:Exporting a model to ONNX with a batch_size:UserWarning")
@pytest.mark.parametrize("call", ["input", "input hx", "input lengths"])
@pytest.mark.parametrize("cell", ["RNN", "GRU"])
def test_the_old_exporter_takes_the_layer_itself(cell: str, call: str, tmp_path: Path) -> None:
    """It hands keyword-only arguments over by position."""
    layer, path, names = getattr(elman, cell)(3, 8, 2).eval(), tmp_path / "old.onnx", call.split()
    example = {"input": torch.randn(5, 2, 3), "hx": torch.randn(2, 2, 8), "lengths": torch.tensor([3, 5])}
    axes = {"input": {0: "T", 1: "N"}, "hx": {1: "N"}, "lengths": {0: "N"}}
    torch.onnx.export(
        layer,
        (example["input"],),
        path,
        kwargs={name: example[name] for name in names[1:]},
        dynamo=False,
        input_names=names,
        dynamic_axes={name: axes[name] for name in names},
    )
    given = {"input": torch.randn(9, 7, 3), "hx": torch.randn(2, 7, 8), "lengths": torch.arange(1, 8)}
    given = {name: given[name] for name in names}
    with torch.no_grad():
        torch.testing.assert_close(run(path, *given.values()), list(layer(**given)))


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # torch's own scan
@pytest.mark.covering(1)
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize(
    ("cell", "arguments"),
    [
        ("LeakyRNN", {"form": "potential", "nonlinearity": "softplus", "num_layers": 2, "bidirectional": True}),
        ("LeakyRNN", {"batch_first": True, "learn_leak": True}),
        ("GRU", {"zoneout": 0.2}),
    ],
)
def test_what_leaks_is_a_scan(cell: str, arguments: dict[str, Any], lengths: bool, tmp_path: Path) -> None:
    """By standard operators, at other sizes than the example's."""
    model = Model(cell, **arguments).eval()
    path, axes = tmp_path / "model.onnx", axes_of(model.rnn, lengths)
    more = (torch.tensor([5, 2]),) if lengths else ()
    exported = export(model, (*given(model.rnn, 5, 2), *more), axes, path)
    assert {"Scan"} <= {node.op_type for node in exported.graph.node}
    assert {node.domain for node in exported.graph.node} <= {"", "pkg.torch.__subgraph__", "pkg.onnxscript.torch_lib"}
    for T, N in ((9, 3), (1, 1)):
        inputs = given(model.rnn, T, N)
        if lengths:
            inputs = *inputs, torch.tensor([T, 0, 1][:N])
        for found, expected in zip(run(path, *inputs), model(*inputs), strict=True):
            torch.testing.assert_close(found, expected)
