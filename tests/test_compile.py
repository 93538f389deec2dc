"""torch.compile and torch.export: one graph with the layer in it, for every T and N."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import forked
import pytest
import torch
from cases import States, assert_same, detached, named_states, run, weighed
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.export import Dim, ExportedProgram, export

import elman

# torch's own compiler and exporter raise them
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning"),
    # what torch 2.10 says of the file that it loads, and 2.8 where it looks into code that runs beside its graph
    pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning"),
    pytest.mark.filterwarnings("ignore:Dynamo (detected a call to a `functools.lru_cache`|does not know how to trace)"),
]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Tagger(torch.nn.Module):
    """A model around the layer, with its state as input and output."""

    def __init__(self, home: ModuleType = elman, cell: str = "RNN", **arguments: Any) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.rnn = getattr(home, cell)(3, 8, **arguments)
        width = (self.rnn.proj_size or 8) * (2 if self.rnn.bidirectional else 1)
        self.head = torch.nn.Linear(width, 2)

    def forward(self, input: Tensor, hx: States = None, lengths: Tensor | None = None) -> tuple[Tensor, States]:
        output, h_n = self.rnn(input * 2, hx) if lengths is None else self.rnn(input * 2, hx, lengths=lengths)
        return self.head(output).tanh(), h_n


def given(rnn: torch.nn.RNNBase, T: int, N: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, States]:
    torch.manual_seed(T)
    shape = (N, T, 3) if rnn.batch_first else (T, N, 3)
    states = rnn.num_layers * (2 if rnn.bidirectional else 1)
    input = torch.randn(shape, dtype=dtype, requires_grad=True)
    h, c = (torch.randn(states, N, wide, dtype=dtype, requires_grad=True) for wide in (rnn.proj_size or 8, 8))
    return input, (h, c) if isinstance(rnn, torch.nn.LSTM | elman.LSTM) else h


T, N = Dim("T", max=1000), Dim("N", max=1000)
DEEP = dict(num_layers=2, bidirectional=True, batch_first=True)
ARGUMENTS = {
    "plain": {},
    "deep, both ways, batch first": DEEP,
    "relu": dict(nonlinearity="relu", bias=False, num_layers=2),
    "GRU": dict(cell="GRU", **DEEP),
    "LSTM": dict(cell="LSTM", **DEEP),
    "LSTM, projected": dict(cell="LSTM", proj_size=5, **DEEP),
}
arguments = pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)


@arguments
def test_one_graph_for_every_length_and_batch(arguments: dict[str, Any]) -> None:
    """fullgraph, values and all gradients as torch.nn.RNN's; the second size makes it dynamic, and that is all."""
    ours, theirs = Tagger(**arguments), Tagger(torch.nn, **arguments)
    counter = CompileCounterWithBackend("aot_eager" if arguments else "inductor")
    compiled = torch.compile(ours, fullgraph=True, backend=counter)
    graphs = []
    for T, N in [(5, 2), (7, 3), (9, 3), (4, 4), (50, 6), (2, 2)]:
        input, hx = given(ours.rnn, T, N)
        wanted = {"x": input} | named_states(hx, "0") | dict(ours.named_parameters())
        assert_same(weighed(*compiled(input, hx), wanted), run(theirs, input, hx))
        graphs.append(counter.frame_count)
    assert graphs == [1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    "what", ["lengths", "list", "reset", "unbatched", "bfloat16", "autocast", "cell", "norm", "T0"]
)
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_compiles_whole(cell: str, what: str) -> None:
    """Everything the layer takes, in one graph without a compiler behind it."""
    if cell == "GRU" and what not in ("lengths", "reset", "cell", "T0"):
        pytest.skip("on the same way as the others")
    layer = getattr(elman, cell)(3, 8, 2, bidirectional=True)
    input, hx = given(layer, 5, 2)
    input, hx = input.detach(), detached(hx)
    call: dict[str, Any] = {"hx": hx}
    of_each = lambda change: tuple(map(change, hx)) if cell == "LSTM" else change(hx)  # noqa: E731
    if what == "lengths":
        call["lengths"] = torch.tensor([3, 0])
    elif what == "list":
        call["lengths"] = [3, 5]
    elif what == "reset":
        call["reset"] = torch.rand(5, 2) < 0.4
    elif what == "unbatched":
        input, call = input[:, 0], {"hx": of_each(lambda state: state[:, 0])}
    elif what == "bfloat16":
        layer, input, call = layer.bfloat16(), input.bfloat16(), {"hx": of_each(Tensor.bfloat16)}
    elif what == "cell":
        layer, input, call = getattr(elman, f"{cell}Cell")(3, 8), input[0], {"hx": of_each(lambda state: state[0])}
    elif what == "norm":
        torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    elif what == "T0":
        input = input[:0]
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", enabled=what == "autocast"):
        ours, expected = compiled(input, **call), layer(input, **call)
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_dropout_compiles_and_drops(cell: str) -> None:
    layer = getattr(elman, cell)(3, 50, 2, dropout=0.5)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    input = torch.randn(5, 2, 3)
    assert not torch.allclose(compiled(input)[0], compiled(input)[0])
    layer.eval()
    torch.testing.assert_close(compiled(input), layer(input))


@pytest.mark.parametrize("strict", [False, True], ids=["non-strict", "strict"])
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_dropout_between_layers_is_in_the_exported_program(cell: str, strict: bool) -> None:
    """In training mode; where the lower layers are dropped whole, the upper one reads zeros, which shows."""
    layer = getattr(elman, cell)(3, 50, 2, dropout=0.5).train()
    input = torch.randn(5, 2, 3)
    exported = export(layer, (input,), dynamic_shapes=({0: T, 1: N},), strict=strict).module()
    other = torch.randn(9, 4, 3)
    assert not torch.allclose(exported(other)[0], exported(other)[0])
    layer.dropout = 1.0
    all_dropped = export(layer, (input,), dynamic_shapes=({0: T, 1: N},), strict=strict).module()
    torch.testing.assert_close(all_dropped(other)[0], all_dropped(other * 2)[0])
    torch.testing.assert_close(all_dropped(other)[0], layer(other)[0])
    quiet = export(layer.eval(), (input,), dynamic_shapes=({0: T, 1: N},), strict=strict).module()
    torch.testing.assert_close(quiet(other), layer(other))


def test_compiled_layer_says_what_is_wrong() -> None:
    """Lengths are known when the graph runs, sizes when it is made."""
    compiled = torch.compile(elman.RNN(3, 8), fullgraph=True, backend="aot_eager")
    with pytest.raises(ValueError, match=r"lengths\[1\] = 9: a length lies between 0 and the number of steps"):
        compiled(torch.ones(5, 2, 3), lengths=torch.tensor([1, 9]))
    says = r"input.size\(-1\) must be equal to input_size. Expected 3, got 4"
    with pytest.raises(Exception, match=says if torch.__version__ >= "2.10" else "Observed exception"):
        compiled(torch.ones(5, 2, 4))


def test_packed_sequences_break_the_graph_and_compute() -> None:
    layer = elman.RNN(3, 8)
    packed = torch.nn.utils.rnn.pack_sequence([torch.randn(4, 3), torch.randn(2, 3)])
    with torch.no_grad():
        output, h_n = torch.compile(layer, backend="aot_eager")(packed)
        expected, expected_h_n = layer(packed)
    torch.testing.assert_close((output.data, h_n), (expected.data, expected_h_n))


def test_use_backend_holds_where_the_graph_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.kernels.reference import loop

    compiled, ran = torch.compile(elman.RNN(3, 8), fullgraph=True, backend="aot_eager"), []
    forward = loop.forward
    monkeypatch.setattr(loop, "forward", lambda *a: (ran.append("reference"), forward(*a))[1])
    expected = compiled(torch.ones(5, 2, 3))
    assert ran == []
    with elman.use_backend("reference"):
        torch.testing.assert_close(compiled(torch.ones(5, 2, 3)), expected)
    assert ran == ["reference"]


def test_transforms_of_a_compiled_layer_and_compiled_transforms() -> None:
    layer = elman.RNN(3, 8).requires_grad_(False)
    input, weights = torch.randn(4, 5, 2, 3), dict(layer.named_parameters())

    def per_sample(weights: dict[str, Tensor], input: Tensor) -> dict[str, Tensor]:
        loss = lambda w, x: torch.func.functional_call(layer, w, (x,))[0].sin().sum()  # noqa: E731
        return torch.vmap(torch.func.grad(loss), (None, 0))(weights, input)

    expected = per_sample(weights, input)
    assert_same(torch.compile(per_sample, backend="aot_eager")(weights, input), expected)


def program(model: torch.nn.Module, strict: bool, lengths: bool) -> ExportedProgram:
    input, hx = given(model.rnn, 5, 2)
    call = {"lengths": torch.tensor([3, 5])} if lengths else {}
    of_states = ({1: N}, {1: N}) if isinstance(hx, tuple) else {1: N}
    axes: dict[str, Any] = {"input": {0: N, 1: T} if model.rnn.batch_first else {0: T, 1: N}, "hx": of_states}
    axes |= {"lengths": {0: N}} if lengths else {}
    return export(model, (input.detach(), detached(hx)), call, dynamic_shapes=axes, strict=strict)


@pytest.mark.covering
@pytest.mark.parametrize("strict", [False, True], ids=["non-strict", "strict"])
@pytest.mark.parametrize("lengths", [False, True], ids=["", "lengths"])
@arguments
def test_exported_program_runs_at_other_sizes(arguments: dict[str, Any], lengths: bool, strict: bool) -> None:
    model = Tagger(**arguments).eval()
    file = io.BytesIO()
    torch.export.save(program(model, strict, lengths), file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for T, N in [(9, 7), (1, 1), (300, 2)]:
        input, h0 = given(model.rnn, T, N)
        call = {"lengths": torch.randint(0, T + 1, (N,))} if lengths else {}
        torch.testing.assert_close(loaded(input, h0, **call), model(input, h0, **call))


def test_exported_program_is_trained_on() -> None:
    model = Tagger().train()
    exported = program(model, False, False).module()
    input, h0 = given(model.rnn, 9, 4)
    names = dict(model.named_parameters())
    expected, ours = (
        torch.autograd.grad(m(input, h0)[0].sum(), [dict(m.named_parameters())[n] for n in names])
        for m in (model, exported)
    )
    torch.testing.assert_close(ours, expected)


def test_exported_program_runs_in_another_process(tmp_path: Path) -> None:
    """`import torch, elman` is enough to load and run it."""
    model = Tagger(num_layers=2).eval()
    torch.export.save(program(model, False, False), tmp_path / "model.pt2")
    input, h0 = (t.detach() for t in given(model.rnn, 9, 4))
    torch.save((input, h0, *(y.detach() for y in model(input, h0))), tmp_path / "numbers.pt")
    code = """
import sys, torch, elman
input, h0, *expected = torch.load(sys.argv[2])
torch.testing.assert_close(list(torch.export.load(sys.argv[1]).module()(input, h0)), expected)
print("done")
"""
    done = forked.run(code, tmp_path / "model.pt2", tmp_path / "numbers.pt", OMP_NUM_THREADS="1")
    assert done.stdout.strip() == "done", done.stderr
