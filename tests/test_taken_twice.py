"""What changes between forward and backward and is no tensor: threads, dtypes, modes, attributes, arguments given.

Beside torch.nn.RNN under the same change; where torch has no such thing, beside a run without the change.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from cases import assert_same, cotangent
from pieces import run_pieces
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

import elman

# torch's own compiler raises them
pytestmark = pytest.mark.filterwarnings(
    "ignore:<class 'torch.autograd.function.Function'> should not:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


T, N, I, H = 9, 8, 5, 16
WAYS = ("eager", "operator", "compiled", "vjp")
Values = dict[str, Tensor]


def layer_of(cls: type[torch.nn.Module], **options: Any) -> torch.nn.Module:
    torch.manual_seed(1)
    return cls(I, H, 2, bidirectional=True, dtype=torch.float64, **options)


def arguments() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return tuple(torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((T, N, I), (4, N, H)))


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def fewer_threads_in_another() -> Iterator[None]:
    """Another thread sets its own count, which torch keeps a thread apart."""
    thread = threading.Thread(target=torch.set_num_threads, args=(1,))
    thread.start()
    thread.join()
    yield


MODES: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "nothing": contextlib.nullcontext,
    "one thread": lambda: threads(1),
    "two threads": lambda: threads(2),
    "five threads": lambda: threads(5),
    "another thread's count": fewer_threads_in_another,
    "default dtype bfloat16": lambda: default_dtype(torch.bfloat16),
    "default dtype float64": lambda: default_dtype(torch.float64),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
    "the meta device": lambda: torch.device("meta"),
    "counted flops": lambda: FlopCounterMode(display=False),
    "fake tensors": FakeTensorMode,
    "anomaly": lambda: torch.autograd.detect_anomaly(check_nan=True),
    "hooks": lambda: torch.autograd.graph.saved_tensors_hooks(lambda t: t.half(), lambda t: t.double()),
    "saved on the CPU": torch.autograd.graph.save_on_cpu,
    "the reference": lambda: elman.use_backend("reference"),
    "torch's operators": lambda: elman.use_backend("torch"),
    "one thread of the backward pass": lambda: torch.autograd.set_multithreading_enabled(False),
}


def gradients(way: str, layer: torch.nn.Module, before: Any, after: Any) -> Values | Exception:
    """The forward pass in one mode, the backward pass in another."""
    x, h0 = arguments()
    wanted = {"x": x, "h0": h0} | dict(layer.named_parameters())

    def run(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        if way == "operator" and isinstance(layer, elman.RNN):
            return torch.ops.elman.rnn(x, h0, list(layer.parameters()), None, None, None, "tanh", 2, True)[:2]
        return layer(x, h0)

    if way == "compiled" and isinstance(layer, elman.RNN):
        run = torch.compile(run, backend="aot_eager")
    try:
        with before():
            outputs, pull = torch.func.vjp(run, x, h0) if way == "vjp" else (run(x, h0), None)
        torch.manual_seed(3)
        given = [cotangent(torch.empty(y.shape, dtype=y.dtype)) for y in outputs]
        with after():
            if pull is not None:
                found = dict(zip(("x", "h0"), pull(tuple(given)), strict=True))
            else:
                found = dict(zip(wanted, torch.autograd.grad(outputs, list(wanted.values()), given), strict=True))
    except Exception as error:  # noqa: BLE001 - among fake tensors torch raises AssertionError
        return error
    return {name: g.detach().clone() for name, g in found.items()}


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled:UserWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [name for name in MODES if name != "nothing"])
def test_mode_of_the_backward_pass(mode: str, way: str) -> None:
    """What the forward pass saw decides; torch's layer raises among fake tensors, and so may this one."""
    theirs, ours = (gradients(way, layer_of(c), MODES["nothing"], MODES[mode]) for c in (torch.nn.RNN, elman.RNN))
    if isinstance(ours, Exception):
        assert isinstance(theirs, Exception), ours
        return
    right = theirs if isinstance(theirs, dict) else gradients(way, layer_of(elman.RNN), *[MODES["nothing"]] * 2)
    assert isinstance(right, dict)
    assert_same(ours, right)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["five threads", "default dtype bfloat16", "default dtype float64", "counted flops"])
def test_mode_of_the_forward_pass(mode: str, way: str) -> None:
    theirs, ours = (gradients(way, layer_of(c), MODES[mode], MODES["nothing"]) for c in (torch.nn.RNN, elman.RNN))
    assert isinstance(ours, dict), ours
    assert_same(ours, theirs)


@pytest.mark.parametrize("way", ["eager", "vjp"])
@pytest.mark.parametrize("at_backward", ["nothing", "autocast", "no_grad"])
def test_autocast_of_the_forward_pass(at_backward: str, way: str) -> None:
    """In float32 weights: whatever mode the way back is in, it goes where forward came from."""
    results = []
    for mode in ("autocast", at_backward):
        layer = layer_of(elman.RNN).float()
        x, h0 = (t.detach().float().requires_grad_() for t in arguments())
        wanted = [x, h0] if way == "vjp" else [x, h0, *layer.parameters()]
        with torch.autocast("cpu"):
            (output, h_n), pull = torch.func.vjp(layer, x, h0) if way == "vjp" else (layer(x, h0), None)
        assert output.dtype == torch.bfloat16
        with MODES[mode]():
            given = torch.ones_like(output), torch.ones_like(h_n)
            results.append(pull(given) if pull else torch.autograd.grad((output, h_n), wanted, given))
    torch.testing.assert_close(*results)


# Attributes of the layer

ATTRIBUTES: dict[str, Callable[[torch.nn.Module], Any]] = {
    "eval": lambda layer: layer.eval(),
    "dropout": lambda layer: setattr(layer, "dropout", 0.9),
    "nonlinearity": lambda layer: (setattr(layer, "nonlinearity", "relu"), setattr(layer, "mode", "RNN_RELU")),
    "bidirectional": lambda layer: setattr(layer, "bidirectional", False),
    "num_layers": lambda layer: setattr(layer, "num_layers", 1),
    "hidden_size": lambda layer: setattr(layer, "hidden_size", 3),
    "batch_first": lambda layer: setattr(layer, "batch_first", True),
    "bias": lambda layer: setattr(layer, "bias", False),
    "a parameter removed": lambda layer: delattr(layer, "weight_hh_l0"),
    "moved": lambda layer: layer.to("meta"),
}


@pytest.mark.parametrize("way", ["eager", "operator", "compiled"])
@pytest.mark.parametrize("change", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_attributes_changed_before_backward(change: Callable[[torch.nn.Module], Any], way: str) -> None:
    """Of a layer with dropout, whose masks torch draws alike."""
    dropout = 0.0 if way != "eager" else 0.5
    results = []
    for cls in (torch.nn.RNN, elman.RNN):
        layer = layer_of(cls, dropout=dropout)
        wanted = dict(layer.named_parameters())
        x, h0 = arguments()
        torch.manual_seed(7)
        if way == "operator" and cls is elman.RNN:
            outputs = torch.ops.elman.rnn(x, h0, list(layer.parameters()), None, None, None, "tanh", 2, True)[:2]
        elif way == "compiled" and cls is elman.RNN:
            outputs = torch.compile(layer, backend="aot_eager")(x, h0)
        else:
            outputs = layer(x, h0)
        change(layer)
        found = torch.autograd.grad(sum(y.sin().sum() for y in outputs), [x, h0, *wanted.values()])
        results.append(dict(zip(["x", "h0", *wanted], found, strict=True)))
    assert_same(*results[::-1])


# Arguments that the caller keeps and writes to


def written_lengths(kind: str) -> tuple[Any, Callable[[], Any]]:
    values = [T, 3, 0, 5, T, 1, 2, 7]
    if kind == "a list":
        given: Any = list(values)
        return given, lambda: given.__setitem__(slice(None), [1] * N)
    if kind == "an array":
        given = np.array(values)
        return given, lambda: given.fill(1)
    given = torch.tensor(values, dtype=torch.int32 if kind == "an int32 tensor" else torch.int64)
    if kind == "a tensor that is resized":
        return given, lambda: given.resize_(1000).fill_(2**40)
    if kind == "a tensor whose storage is emptied":
        return given, lambda: given.untyped_storage().resize_(0)
    return given, lambda: given.fill_(1)


@pytest.mark.parametrize(
    "kind",
    [
        "a list",
        "an array",
        "a tensor",
        "an int32 tensor",
        "a tensor that is resized",
        "a tensor whose storage is emptied",
    ],
)
@pytest.mark.parametrize("backend", ["numba", "reference", "torch"], indirect=True)
def test_lengths_written_to_before_backward(kind: str, backend: str) -> None:
    ours, theirs = layer_of(elman.RNN), layer_of(torch.nn.RNN)
    results = []
    for layer in (ours, theirs):
        x, h0 = arguments()
        lengths, write = written_lengths(kind)
        if layer is ours:
            outputs = ours(x, h0, lengths=torch.from_numpy(lengths) if kind == "an array" else lengths)
            write()
        else:
            outputs = run_pieces(theirs, x, h0, torch.as_tensor(lengths))
        found = torch.autograd.grad(sum(y.sin().sum() for y in outputs), [x, h0, *layer.parameters()])
        results.append(dict(enumerate(found)))
    assert_same(*results)


def written_to_later(way: str, name: str) -> Values | Exception:
    """Gradients where lengths or reset, a tensor, are written to in between; by the operator it is their own tensor."""
    layer = layer_of(elman.RNN)
    x, h0 = arguments()
    torch.manual_seed(5)
    words = {"lengths": torch.tensor([T, 3, 0, 5, T, 1, 2, 7]), "reset": torch.rand(T, N) < 0.3}
    if way == "operator":
        weights = list(layer.parameters())
        outputs = torch.ops.elman.rnn(x, h0, weights, words["lengths"], words["reset"], None, "tanh", 2, True)[:2]
    elif way == "compiled":
        outputs = torch.compile(layer, backend="aot_eager")(x, h0, **words)
    else:
        outputs = layer(x, h0, **words)
    if name:
        words[name].copy_(torch.ones_like(words[name]))
    try:
        found = torch.autograd.grad(sum(y.sin().sum() for y in outputs), [x, h0, *layer.parameters()])
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        return error
    return dict(enumerate(found))


@pytest.mark.parametrize("name", ["lengths", "reset"])
@pytest.mark.parametrize("way", ["eager", "operator", "compiled"])
def test_lengths_and_reset_written_to(way: str, name: str) -> None:
    """What forward saw, or torch's words for a saved tensor that was written to."""
    found, right = written_to_later(way, name), written_to_later(way, "")
    assert isinstance(right, dict)
    if isinstance(found, dict):
        assert_same(found, right)


def test_packed_lengths_written_to() -> None:
    results = []
    for cls in (torch.nn.RNN, elman.RNN):
        layer = layer_of(cls)
        x, h0 = arguments()
        rows = pack_padded_sequence(x, torch.tensor([9, 3, 2, 5, 9, 1, 2, 7]), enforce_sorted=False)
        output, h_n = layer(rows, h0)
        rows.batch_sizes.fill_(8)
        rows.sorted_indices.fill_(0)
        loss = output.data.sin().sum() + h_n.cos().sum()
        try:
            results.append(dict(enumerate(torch.autograd.grad(loss, [x, h0, *layer.parameters()]))))
        except RuntimeError as error:  # torch's index_select saved the indices
            results.append(error)
    if isinstance(results[0], dict):
        assert_same(results[1], results[0])
    else:
        assert str(results[1]).split(":")[0] == str(results[0]).split(":")[0]
