"""A backend at forward, another at backward, on every way: the gradients are right, or the call is refused.

Right is torch.nn.RNN in float64, piece by piece (pieces.py) where there are lengths or resets.
"""

import contextlib
import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import cotangent
from pieces import run_pieces
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vjp, vmap
from torch.utils.checkpoint import checkpoint

import elman

# torch's own compiler raises them
pytestmark = pytest.mark.filterwarnings(
    "ignore:<class 'torch.autograd.function.Function'> should not:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch._dynamo.reset()


T, N, I, H = 5, 3, 3, 4
DTYPE = torch.float64
BACKENDS = ("none", "numba", "torch", "reference")
SQUARE = list(itertools.product(BACKENDS, BACKENDS))
KINDS: dict[str, dict[str, Tensor]] = {
    "plain": {},
    "lengths": {"lengths": torch.tensor([2, 5, 4])},
    "a length of 0": {"lengths": torch.tensor([0, 5, 3])},
    "reset": {"reset": torch.eye(T, N).roll(1, 0).bool()},
    "lengths and reset": {"lengths": torch.tensor([4, 0, 5]), "reset": torch.eye(T, N).roll(2, 0).bool()},
}
Values = dict[str, Tensor]


def under(name: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if name == "none" else elman.use_backend(name)


def layer_of(cls: type[torch.nn.Module]) -> torch.nn.Module:
    """Two layers, both directions."""
    torch.manual_seed(1)
    return cls(I, H, 2, bidirectional=True, dtype=DTYPE)


def arguments() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    shapes = (T, N, I), (4, N, H)
    return tuple(torch.randn(shape, dtype=DTYPE, requires_grad=True) for shape in shapes)


def loss_of(output: Tensor, h_n: Tensor) -> Tensor:
    torch.manual_seed(3)
    return (output * cotangent(output)).sum() + (h_n.sin() * cotangent(h_n)).sum()


def named(gradients: Any) -> Values:
    names = ["x", "h0", *(name for name, _ in layer_of(torch.nn.RNN).named_parameters())]
    return dict(zip(names, gradients, strict=True))


def weights_of(layer: torch.nn.Module) -> Values:
    return {name: p.detach() for name, p in layer.named_parameters()}


# The ways. Each is called as way(kind, at_forward, at_backward) and returns gradients by name, or other numbers.


def eager(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str, run: Any = None) -> Values:
    x, h0 = arguments()
    with under(at_forward):
        outputs = (layer if run is None else run)(x, h0, **words)
    with under(at_backward):
        return named(torch.autograd.grad(loss_of(*outputs), [x, h0, *layer.parameters()]))


@functools.cache
def compiled_layer(compiled_under: str) -> tuple[torch.nn.Module, Callable[..., Any]]:
    """Compiled once; the first call, which traces it, is that of the case."""
    layer = layer_of(elman.RNN)
    return layer, torch.compile(layer, backend="aot_eager")


def compiled(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    layer, run = compiled_layer("any")
    return eager(layer, words, at_forward, at_backward, run)


def compiled_there(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    """A graph for each backend, traced under it."""
    layer, run = compiled_layer(at_forward)
    return eager(layer, words, at_forward, at_backward, run)


def operator(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    def run(x: Tensor, h0: Tensor, lengths: Tensor | None = None, reset: Tensor | None = None) -> Any:
        return torch.ops.elman.rnn(x, h0, list(layer.parameters()), lengths, reset, None, "tanh", 2, True)[:2]

    return eager(layer, words, at_forward, at_backward, run)


def checkpointed(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    """What the first run computed is computed again, under the backend of the way back."""
    run = functools.partial(checkpoint, layer, use_reentrant=False)
    return eager(layer, words, at_forward, at_backward, run)


def other_thread(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    x, h0 = arguments()
    with under(at_forward):
        loss = loss_of(*layer(x, h0, **words))
    found: list[Any] = []

    def work() -> None:
        try:
            with under(at_backward):
                found.append(named(torch.autograd.grad(loss, [x, h0, *layer.parameters()])))
        except Exception as error:  # noqa: BLE001 - raised below
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def function_of(layer: torch.nn.Module, words: Any, at_forward: str) -> Callable[..., Tensor]:
    """The loss as a function of everything; the forward pass alone runs under a backend."""
    names = [name for name, _ in layer.named_parameters()]

    def function(x: Tensor, h0: Tensor, *weights: Tensor) -> Tensor:
        with under(at_forward):
            outputs = functional_call(layer, dict(zip(names, weights, strict=True)), (x, h0), words)
        return loss_of(*outputs)

    return function


def everything(layer: torch.nn.Module) -> list[Tensor]:
    return [*(t.detach() for t in arguments()), *weights_of(layer).values()]


def func_grad(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    given = everything(layer)
    with under(at_backward):
        return named(grad(function_of(layer, words, at_forward), tuple(range(len(given))))(*given))


def func_vjp(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    loss, pull = vjp(function_of(layer, words, at_forward), *everything(layer))
    with under(at_backward):
        return named(pull(torch.ones_like(loss)))


def func_jacrev(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    given = everything(layer)
    with under(at_backward):
        found = jacrev(lambda *a: function_of(layer, words, at_forward)(*a).view(1), tuple(range(len(given))))(*given)
    return named(g[0] for g in found)


def func_vmap_grad(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    """Mapped over a stack of three, of which the second is the one that is asked for."""
    given = everything(layer)
    stacks = [torch.stack([t * 0.5, t, -t]) for t in given]
    function = grad(function_of(layer, words, at_forward), tuple(range(len(given))))
    with under(at_backward):
        return named(g[1] for g in vmap(function)(*stacks))


def grads_batched(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    x, h0 = arguments()
    with under(at_forward):
        loss = loss_of(*layer(x, h0, **words))
    batch = torch.tensor([2.0, 1.0], dtype=DTYPE)
    with under(at_backward):
        found = torch.autograd.grad(loss, [x, h0, *layer.parameters()], batch, is_grads_batched=True)
    return named(g[1] for g in found)


def create_graph(layer: torch.nn.Module, words: Any, at_forward: str, at_backward: str) -> Values:
    """The second derivative, of which the forward pass and the two backward passes each have their backend."""
    x, h0 = arguments()
    wanted = [x, h0, *layer.parameters()]
    with under(at_forward):
        loss = loss_of(*(layer(x, h0, **words)))
    with under(at_backward):
        first = torch.autograd.grad(loss, wanted, create_graph=True)
    with under(BACKENDS[(BACKENDS.index(at_backward) + 1) % 4]):
        return named(torch.autograd.grad(sum(g.square().sum() for g in first), wanted))


WAYS = {
    "eager": eager,
    "compiled": compiled,
    "compiled under it": compiled_there,
    "operator": operator,
    "checkpoint": checkpointed,
    "another thread": other_thread,
    "torch.func.grad": func_grad,
    "torch.func.vjp": func_vjp,
    "torch.func.jacrev": func_jacrev,
    "vmap of grad": func_vmap_grad,
    "is_grads_batched": grads_batched,
    "create_graph": create_graph,
}
FIRST = ("eager", "operator", "checkpoint", "another thread", "compiled")
"""What every backend can do: where forward and backward agree, or nothing is asked at backward, no refusal will do. A
checkpoint runs forward again, under the other backend, which may save other things: torch refuses that."""


@functools.cache
def expected(kind: str, twice: bool) -> Values:
    layer = layer_of(torch.nn.RNN)
    x, h0 = arguments()
    wanted = [x, h0, *layer.parameters()]
    loss = loss_of(*run_pieces(layer, x, h0, **KINDS[kind]))
    first = torch.autograd.grad(loss, wanted, create_graph=twice)
    if not twice:
        return named(first)
    return named(torch.autograd.grad(sum(g.square().sum() for g in first), wanted))


def refusal(error: Exception) -> bool:
    """Whether this is an answer to a user: a sentence, in a class that says what kind of thing was wrong."""
    return isinstance(error, RuntimeError | ValueError | NotImplementedError) and len(str(error).split()) > 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_backends_at_forward_and_backward(way: str, kind: str) -> None:
    wrong = []
    for at_forward, at_backward in SQUARE:
        place = f"{at_forward} at forward, {at_backward} at backward"
        try:
            found = WAYS[way](layer_of(elman.RNN), KINDS[kind], at_forward, at_backward)
        except Exception as error:  # noqa: BLE001 - the class is what is judged
            agreed = at_backward == at_forward or (at_backward == "none" and way != "checkpoint")
            able = way in FIRST and agreed and at_forward != "torch"  # which knows no reset
            if able or not refusal(error):
                wrong.append(f"{place}: {type(error).__name__}: {error}")
            continue
        for name, value in expected(kind, way == "create_graph").items():
            try:
                torch.testing.assert_close(found[name], value)
            except AssertionError:
                wrong.append(f"{place}: {name} off by {(found[name] - value).abs().max():.2g}")
                break
    assert not wrong, "\n".join([f"{len(wrong)} of {len(SQUARE)}", *wrong])


def test_per_sample_gradients_of_expanded_weights() -> None:
    """torch's call_for_per_sample_grads, which goes through the layer's own backward."""
    from torch.nn.utils._per_sample_grad import call_for_per_sample_grads

    layer, theirs, wrong = layer_of(elman.RNN), layer_of(torch.nn.RNN), []
    x, h0 = (t.detach() for t in arguments())
    alone = []
    for n in range(N):
        output, h_n = theirs(x[:, n : n + 1], h0[:, n : n + 1])
        alone.append(torch.autograd.grad(output.sin().sum() + h_n.cos().sum(), list(theirs.parameters())))
    for at_forward, at_backward in SQUARE:
        try:
            with under(at_forward):
                output, h_n = call_for_per_sample_grads(layer, batch_size=N, batch_first=False)(x, h0)
            with under(at_backward):
                (output.sin().sum() + h_n.cos().sum()).backward()
        except RuntimeError as error:
            if at_forward == "none":
                wrong.append(str(error))
            continue
        for p, *each in zip(layer.parameters(), *alone, strict=True):
            if not torch.allclose(p.grad_sample, torch.stack(each)):
                wrong.append(f"{at_forward}, {at_backward}")
            p.grad_sample = None
    assert not wrong
