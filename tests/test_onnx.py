"""ONNX: one standard RNN node a layer, checked by onnx, run by ONNX Runtime at sizes other than the example's."""

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

import elman

# torch's own exporter raises them
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.* is deprecated:FutureWarning", "ignore:# The axis name. N will not be used:UserWarning"
)

LAYERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "both ways, batch first": dict(num_layers=2, bidirectional=True, batch_first=True),
    "three layers of relu without bias": dict(num_layers=3, nonlinearity="relu", bias=False),
}
layers = pytest.mark.parametrize("arguments", LAYERS.values(), ids=LAYERS)


class Model(torch.nn.Module):
    """What a user exports: the layer, its state in and out, something after it."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.rnn = elman.RNN(3, 8, **arguments)

    def forward(self, input: Tensor, hx: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, h_n = self.rnn(input, hx) if lengths is None else self.rnn(input, hx, lengths=lengths)
        return output * 2, h_n


def given(rnn: elman.RNN, T: int, N: int) -> tuple[Tensor, Tensor]:
    shape = (N, T, 3) if rnn.batch_first else (T, N, 3)
    return torch.randn(shape), torch.randn(rnn.num_layers * (2 if rnn.bidirectional else 1), N, 8)


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
    return [node for node in model.graph.node if node.op_type == "RNN"]


@pytest.mark.parametrize("lengths", [False, True], ids=["", "lengths"])
@layers
def test_one_node_a_layer_runs_at_every_size(arguments: dict[str, Any], lengths: bool, tmp_path: Path) -> None:
    model = Model(**arguments).eval()
    example: tuple[Any, ...] = given(model.rnn, 5, 2)
    axes: tuple[Any, ...] = ({0: "N", 1: "T"} if model.rnn.batch_first else {0: "T", 1: "N"}, {1: "N"})
    if lengths:
        example, axes = (*example, torch.tensor([3, 5])), (*axes, {0: "N"})
    exported = export(model, example, axes, tmp_path / "model.onnx")
    assert len(nodes(exported)) == model.rnn.num_layers
    assert not exported.functions
    for node in nodes(exported):
        assert node.domain in ("", "ai.onnx")
        assert bool(node.input[4]) == lengths, "sequence_lens"
        assert node.input[5], "initial_h"
    for T, N in [(9, 7), (1, 1), (200, 3)]:
        call = given(model.rnn, T, N)
        if lengths:
            call = (*call, torch.arange(N) * 2 % (T + 1))
        with torch.no_grad():
            expected = model(*call)
        torch.testing.assert_close(run(tmp_path / "model.onnx", *call), list(expected))


def test_state_starts_at_zero_without_h0(tmp_path: Path) -> None:
    layer = elman.RNN(3, 8, 2).eval()
    exported = export(layer, (torch.randn(5, 2, 3),), ({0: "T", 1: "N"},), tmp_path / "model.onnx")
    assert [each.name for each in exported.graph.input] == ["input"]
    assert not any(len(node.input) > 5 and node.input[5] for node in nodes(exported))
    input = torch.randn(7, 4, 3)
    with torch.no_grad():
        torch.testing.assert_close(run(tmp_path / "model.onnx", input), list(layer(input)))


class Step(torch.nn.Module):
    """One step with the state as input and output."""

    def __init__(self, rnn: elman.RNN) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        output, state = self.rnn(x.unsqueeze(0), state)
        return output.squeeze(0), state


def test_one_step_export_streams(tmp_path: Path) -> None:
    """Fed step by step it computes what the layer computes of the whole sequence."""
    layer = elman.RNN(3, 8, 2).eval()
    example = (torch.randn(2, 3), torch.randn(2, 2, 8))
    exported = export(Step(layer).eval(), example, ({0: "N"}, {1: "N"}), tmp_path / "step.onnx")
    assert len(nodes(exported)) == 2
    input, state = torch.randn(11, 4, 3), torch.randn(2, 4, 8)
    with torch.no_grad():
        expected, expected_state = layer(input, state)
    outputs = []
    for x in input:
        y, state = run(tmp_path / "step.onnx", x, state)
        outputs.append(y)
    torch.testing.assert_close((torch.stack(outputs), state), (expected, expected_state))


def test_an_exported_program_becomes_onnx(tmp_path: Path) -> None:
    """torch.export first, torch.onnx after it, without a table of translations."""
    model = Model().eval()
    axes = ({0: torch.export.Dim("T"), 1: torch.export.Dim("N")}, {1: torch.export.Dim("N")})
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


def test_reset_is_refused_in_words() -> None:
    layer, reset = elman.RNN(3, 8).eval(), torch.zeros(5, 2, dtype=torch.bool)
    with pytest.raises(Exception, match="ONNX's RNN node knows no reset: export without reset="):
        torch.onnx.export(layer, (torch.randn(5, 2, 3),), kwargs={"reset": reset}, dynamo=True, verbose=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:Exporting a model to ONNX with a batch_size:UserWarning")
def test_the_old_exporter_writes_what_it_writes_for_torch(tmp_path: Path) -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = elman.RNN(3, 8, 2)

        def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
            return self.rnn(input)

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
def test_the_old_exporter_takes_the_layer_itself(call: str, tmp_path: Path) -> None:
    """It hands keyword-only arguments over by position."""
    layer, path, names = elman.RNN(3, 8, 2).eval(), tmp_path / "old.onnx", call.split()
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
