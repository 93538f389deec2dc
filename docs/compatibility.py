"""Writes docs/compatibility.md: every row is run on torch's RNN, GRU and LSTM and on elman's, here and now.

python docs/compatibility.py            # writes the tables
python docs/compatibility.py --check    # only fails where torch passes and elman does not

Below the rows stands the table of captures, which tests/captures.py makes; it takes some minutes.
"""

import copy
import io
import pickle
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import typer
from torch import Tensor, multiprocessing, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads
from torch.nn.utils.rnn import pack_sequence
from torch.optim import swa_utils
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import elman

ROWS: dict[str, list[tuple[str, Callable[[type], None]]]] = {}
Layer = type


def row(section: str, text: str) -> Callable[[Callable[[type], None]], Callable[[type], None]]:
    """Adds a function of the layer's class to the table: the row passes if it returns."""

    def add(function: Callable[[type], None]) -> Callable[[type], None]:
        ROWS.setdefault(section, []).append((text, function))
        return function

    return add


def same(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected)


def weights_of(layer: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in layer.named_parameters()}


def loss_of(layer: nn.Module) -> Callable[..., Tensor]:
    return lambda weights, x: functional_call(layer, weights, (x,))[0].sin().sum()


def theirs(cls: Layer) -> Layer:
    """torch's class of the same name."""
    found: Layer = getattr(nn, cls.__name__)
    return found


def states(last: Any) -> tuple[Tensor, ...]:
    """The states in a row: of an LSTM two, else one."""
    return last if isinstance(last, tuple) else (last,)


def zeros(cls: Layer, *shape: int) -> Any:
    """States as the class takes them."""
    return (torch.zeros(shape), torch.zeros(shape)) if cls.__name__ == "LSTM" else torch.zeros(shape)


X = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0))


# Training


@row("Training", "forward and backward; state_dict both ways")
def _(cls: Layer) -> None:
    layer, other = cls(3, 8, 2, bidirectional=True), theirs(cls)(3, 8, 2, bidirectional=True)
    other.load_state_dict(layer.state_dict())
    layer.load_state_dict(other.state_dict())
    for each in (layer, other):
        each(X)[0].sin().sum().backward()
    same(layer.weight_hh_l1.grad, other.weight_hh_l1.grad)


@row("Training", "double and triple backward, gradient penalty")
def _(cls: Layer) -> None:
    layer, x = cls(3, 8), X.clone().requires_grad_()
    value = layer(x)[0].sum()
    for _turn in range(3):
        (g,) = torch.autograd.grad(value, x, create_graph=True)
        value = g.square().sum()
    value.backward()


@row("Training", "the output is written to before backward: +=, [t] = 0, relu_")
def _(cls: Layer) -> None:
    results = []
    for in_place in (False, True):
        torch.manual_seed(0)
        layer = cls(3, 8)
        output, _ = layer(X)
        if in_place:
            output += 0.1
            output[2] = 0
            output.relu_()
        else:
            output = ((output + 0.1) * (torch.arange(5) != 2).view(5, 1, 1)).relu()
        output.sin().sum().backward()
        results.append(layer.weight_hh_l0.grad)
    same(*results)


@row("Training", "saved_tensors_hooks, save_on_cpu, detect_anomaly")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    identity = torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t)
    for context in (identity, torch.autograd.graph.save_on_cpu(), torch.autograd.detect_anomaly(check_nan=True)):
        with context:
            layer(X)[0].sin().sum().backward()


@row("Training", "backward in eval mode")
def _(cls: Layer) -> None:
    cls(3, 8).eval()(X)[0].sum().backward()


@row("Training", "bfloat16 and float16, autocast")
def _(cls: Layer) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        cls(3, 8, dtype=dtype)(X.to(dtype))[0].sum().backward()
    with torch.autocast("cpu"):
        cls(3, 8)(X)[0].sum().backward()


@row("Training", "complex numbers, forward")
def _(cls: Layer) -> None:
    cls(3, 8, dtype=torch.complex64)(X.to(torch.complex64))


@row("Training", "checkpointing, FlopCounterMode, use_deterministic_algorithms")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    checkpoint(lambda x: layer(x)[0], X, use_reentrant=False).sum().backward()
    with FlopCounterMode(display=False) as counter:
        layer(X)
    assert counter.get_total_flops() == 2 * 5 * 4 * layer.weight_hh_l0.shape[0] * (3 + 8)
    torch.use_deterministic_algorithms(True)
    try:
        layer(X)[0].sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


# Transforms


@row("torch.func", "jvp, jacrev, jacfwd, hessian, is_grads_batched")
def _(cls: Layer) -> None:
    layer = cls(3, 4)
    f = lambda x: sum(state.sin().sum() for state in states(layer(x)[1]))  # noqa: E731
    jvp(f, (X,), (X,))
    same(jacrev(f)(X), jacfwd(f)(X))
    hessian(f)(X[:2, :1])
    x = X.clone().requires_grad_()
    y = states(layer(x)[1])[0].flatten()
    torch.autograd.grad(y, x, torch.eye(y.numel()), is_grads_batched=True)


@row("torch.func", "vmap over inputs")
def _(cls: Layer) -> None:
    layer, xs = cls(3, 8), torch.stack([X, X.sin()])
    same(vmap(layer)(xs)[0], torch.stack([layer(x)[0] for x in xs]))


@row("torch.func", "vmap over the first states")
def _(cls: Layer) -> None:
    layer, h = cls(3, 8), torch.randn(2, 1, 4, 8)
    of = lambda h: (h, h.cos()) if cls.__name__ == "LSTM" else h  # noqa: E731
    same(vmap(lambda h: layer(X, of(h))[0])(h), torch.stack([layer(X, of(each))[0] for each in h]))


@row("torch.func", "vmap over stacked models")
def _(cls: Layer) -> None:
    models = [cls(3, 8) for _ in range(3)]
    weights, _ = stack_module_state(models)
    found = vmap(lambda w: functional_call(models[0], w, (X,))[0])(weights)
    same(found, torch.stack([model(X)[0] for model in models]))


@row("torch.func", "vmap(grad): per-sample gradients")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    xs, weights = X.transpose(0, 1).contiguous(), weights_of(layer)
    found = vmap(grad(loss_of(layer)), (None, 0))(weights, xs)
    same({n: g[1] for n, g in found.items()}, grad(loss_of(layer))(weights, xs[1]))


@row("torch.func", "torch's expanded weights (call_for_per_sample_grads)")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    call_for_per_sample_grads(layer, batch_size=4, batch_first=False)(X)[0].sum().backward()
    assert layer.weight_hh_l0.grad_sample.shape == (4, *layer.weight_hh_l0.shape)


@row("torch.func", "Opacus, on a subclass that returns one tensor")
def _(cls: Layer) -> None:
    from opacus import GradSampleModule

    class Encoder(cls):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[0]

    layer = Encoder(3, 8, batch_first=True)
    GradSampleModule(layer)(X.transpose(0, 1)).sum().backward()
    assert layer.weight_hh_l0.grad_sample.shape == (4, *layer.weight_hh_l0.shape)


# Compilers and exporters


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
    call = (x, *states(first))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(model, example(cls), path, dynamic_shapes=axes(cls), dynamo=True, verbose=False)
        assert nodes is None or sum(node.op_type == cls.__name__ for node in onnx.load(path).graph.node) == nodes
        session = onnxruntime.InferenceSession(path)
        names = [each.name for each in session.get_inputs()]
        found = session.run(None, {name: t.numpy() for name, t in zip(names, call, strict=True)})
    output, last = model(x, first)
    same([torch.from_numpy(y) for y in found], [output, *states(last)])


row("Compilers and exporters", "ONNX, T and N dynamic, in ONNX Runtime at other sizes")(partial(onnx, nodes=None))
row("Compilers and exporters", "ONNX, one RNN, GRU or LSTM node a layer")(partial(onnx, nodes=1))


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


@row("Compilers and exporters", "torch.jit.script (deprecated by torch)")
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


# Shapes


@row("Shapes", "PackedSequence; unbatched input; N = 0")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    layer(pack_sequence([X[:3, 0], X[:5, 1]], enforce_sorted=False))
    layer(X[:, 0])
    layer(X[:, :0])[0].sum().backward()


@row("Shapes", "T = 0")
def _(cls: Layer) -> None:
    cls(3, 8)(X[:0])


@row("Shapes", "sequences of length 0, in any order, lengths on any device")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    if cls is not theirs(cls):
        layer(X, lengths=torch.tensor([3, 0, 5, 1]))
    else:
        layer(nn.utils.rnn.pack_padded_sequence(X, torch.tensor([3, 0, 5, 1]), enforce_sorted=False))


# Modules


@row("As a module", "pickle, deepcopy, hooks, functional_call")
def _(cls: Layer) -> None:
    layer, seen = cls(3, 8), []
    layer.register_forward_hook(lambda *_: seen.append(1))
    same(copy.deepcopy(layer)(X), layer(X))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    torch.load(file, weights_only=True)
    functional_call(layer, weights_of(layer), (X,))
    assert seen


@row("As a module", "saved whole, loaded with assign=True and mmap=True, state_dict hooks")
def _(cls: Layer) -> None:
    layer, seen = cls(3, 8), []
    layer.register_state_dict_pre_hook(lambda *_: seen.append(1))
    layer.register_load_state_dict_post_hook(lambda *_: seen.append(2))
    same(pickle.loads(pickle.dumps(cls(3, 8, 2)))(X)[0].shape, (5, 4, 8))
    with tempfile.TemporaryDirectory() as folder:
        torch.save(layer.state_dict(), Path(folder) / "weights.pt")
        loaded = torch.load(Path(folder) / "weights.pt", mmap=True)
        expected = layer(X)
        layer.load_state_dict(loaded, assign=True)
        same(layer(X), expected)
    assert seen == [1, 2]


@row("As a module", "AveragedModel, parameters_to_vector, DataParallel on the CPU")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    same(swa_utils.AveragedModel(layer)(X), layer(X))
    vector = nn.utils.parameters_to_vector(layer.parameters())
    nn.utils.vector_to_parameters(vector, layer.parameters())
    same(nn.DataParallel(layer)(X), layer(X))


@row("As a module", "share_memory, another process by fork")
def _(cls: Layer) -> None:
    layer, context = cls(3, 8).share_memory(), multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=lambda: queue.put(layer(X)[0].tolist()))
    process.start()
    process.join(30)
    if process.is_alive():  # it waits for threads that a fork does not copy
        process.kill()
        raise TimeoutError
    same(torch.tensor(queue.get()), layer(X)[0])


@row("As a module", "weight_norm, orthogonal, spectral_norm, pruning take effect")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    for change in (parametrizations.weight_norm, parametrizations.orthogonal, parametrizations.spectral_norm):
        change(layer, "weight_hh_l0")
        parametrize.remove_parametrizations(layer, "weight_hh_l0")
    before = layer(X)[0]
    prune.l1_unstructured(layer, "weight_hh_l0", amount=0.9)
    assert not torch.allclose(layer(X)[0], before)


@row("As a module", "weights tied across layers, one trained by the optimiser")
def _(cls: Layer) -> None:
    layer = cls(3, 8, 2)
    layer.weight_hh_l1 = layer.weight_hh_l0
    layer(X)[0].sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()
    layer(X)


def passes(function: Callable[[type], None], cls: type) -> str | None:
    """None, or what was raised."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    try:
        function(cls)
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed"
    except Exception as error:  # noqa: BLE001 - what torch raises, of whatever kind, is the finding
        return type(error).__name__
    return None


CELLS = ("RNN", "GRU", "LSTM")


def main(check: bool = typer.Option(False, "--check", help="Write nothing.")) -> None:
    """Runs every row on torch's layers and on elman's."""
    warnings.simplefilter("ignore")
    lines = [
        "# What works inside what",
        "",
        f"Every row was run on torch's and elman's layers by `python docs/compatibility.py`: torch "
        f"{torch.__version__.split('+')[0]}, Python {platform.python_version()}, on the CPU. A failing row names the "
        "error that was raised.",
    ]
    worse = []
    for section, rows in ROWS.items():
        heads = [f"{home}.{cell}" for cell in CELLS for home in ("nn", "elman")]
        lines += ["", f"## {section}", "", f"| | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
        for text, function in rows:
            said = []
            for cell in CELLS:
                torchs, ours = (passes(function, getattr(home, cell)) for home in (nn, elman))
                said += ["yes" if error is None else f"no: {error}" for error in (torchs, ours)]
                if ours is not None and torchs is None:
                    worse.append(f"{text}, {cell}: {ours}")
            lines.append(f"| {text} | {' | '.join(said)} |")
    if not check:
        lines += captures()
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    if worse:
        print("elman fails what torch passes: " + "; ".join(worse), file=sys.stderr)
        raise typer.Exit(1)


def captures() -> list[str]:
    """The section of captured programs, as tests/captures.py finds them."""
    script = Path(__file__).parent.parent / "tests" / "captures.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    return [
        "",
        "## Captured programs at other sizes and lengths than the example's",
        "",
        "The layer inside a model, captured from one example and called with other T, N, lengths and marks: right is "
        "torch's layer in eager mode, piece by piece; refused is an error that says why, at the capture or at the "
        "call. Never other numbers in silence. By `python tests/captures.py`.",
        "",
        *done.stdout.strip().splitlines(),
    ]


if __name__ == "__main__":
    typer.run(main)
