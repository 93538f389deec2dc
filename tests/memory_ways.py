"""The ways in and back, for elman's layer and torch's alike: forward, then a change, then the gradients.

Each way takes a `Run` and returns what was computed, by name. `run.change()` replaces what the case says.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import definition
import torch
from cases import States, cotangent, states_of
from pieces import run_pieces
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import elman

Values = dict[str, Tensor]


class Run:
    """A layer, its arguments and the change, as one of the ways uses them."""

    def __init__(self, layer: torch.nn.Module, tensors: Values, options: dict[str, Any], change: Callable[[], None]):
        self.layer, self.tensors, self.options, self.change = layer, tensors, options, change
        self.ours = type(layer).__module__.startswith("elman")
        self.pair = type(layer).__name__.startswith("LSTM")

    def __getattr__(self, name: str) -> Any:
        return self.tensors.get(name)

    @property
    def wanted(self) -> Values:
        named = {"x": self.x, "h0": self.h0, "c0": self.c0} | dict(self.layer.named_parameters())
        return {name: t for name, t in named.items() if t is not None and t.requires_grad}

    @property
    def hx(self) -> States:
        """The first states as the layer takes them."""
        return (self.h0, self.c0) if self.pair and self.h0 is not None else self.h0

    def hx_of(self, states: Sequence[Tensor]) -> States:
        """The same of states in a row."""
        return tuple(states) if self.pair and states else states[0] if states else None

    def forward(self) -> tuple[Tensor, ...]:
        """The layer, with lengths and reset where there are any."""
        words = {name: t for name in ("lengths", "reset") if (t := self.tensors.get(name)) is not None}
        if not words or self.ours:
            return self.keep(*self.layer(self.x, self.hx, **words))
        return self.keep(*run_pieces(self.layer, self.x, self.hx, **words))

    def keep(self, output: Tensor, last: States) -> tuple[Tensor, ...]:
        """Remembers the results, which may be replaced too, and what they were like; gives them in a row."""
        outputs = (output, *states_of(last))
        self.tensors |= dict(zip(("output", "h_n", "c_n"), outputs, strict=False))
        self.like = [torch.empty_like(y, memory_format=torch.contiguous_format) for y in outputs]
        return outputs

    def cotangents(self) -> list[Tensor]:
        """The same random gradients for both layers, in the layout that the case asks for."""
        torch.manual_seed(9)
        layouts: dict[str, Callable[[Tensor], Tensor]] = {
            "plain": lambda c: c,
            "expanded": lambda c: c.flatten()[0].expand(c.shape) if c.numel() else c,
            "transposed": lambda c: c.transpose(0, -1).contiguous().transpose(0, -1),
            "repeated": lambda c: c[:1].expand(c.shape),
            "columns": lambda c: torch.cat([c, c.sin()], -1)[..., : c.shape[-1]],
            "strided": lambda c: torch.stack([c, c], -1)[..., 0],
            "negated": lambda c: torch._neg_view(c),
            "zeros": lambda c: torch._efficientzerotensor(c.shape, dtype=c.dtype),
        }
        return [layouts[self.options["grad_layout"]](cotangent(like)) for like in self.like]

    def gradients(self, outputs: tuple[Tensor, ...], **words: Any) -> Values:
        """By .backward() or by torch.autograd.grad, for a loss on either result or on both."""
        given = self.cotangents()
        if (which := self.options["loss"]) != "both":
            outputs, given = [list(pair)[which : which + 1] for pair in (outputs, given)]
        if self.options["accumulates"] and not words.get("create_graph"):
            torch.autograd.backward(outputs, given, **words)
            return {name: t.grad for name, t in self.wanted.items() if t.grad is not None}
        found = torch.autograd.grad(outputs, list(self.wanted.values()), given, allow_unused=True, **words)
        return {name: g for name, g in zip(self.wanted, found, strict=True) if g is not None}


def call(run: Run) -> Values:
    outputs = run.forward()
    if run.options["in_a_hook"] and outputs[run.options["loss"] == 1].requires_grad:
        outputs[run.options["loss"] == 1].register_hook(lambda _: run.change())
    else:
        run.change()
    return run.gradients(outputs)


def packed(run: Run) -> Values:
    T, N = reversed(run.x.shape[:2]) if run.layer.batch_first else run.x.shape[:2]
    torch.manual_seed(3)
    lengths = torch.randint(1, T + 1, (N,))
    rows = pack_padded_sequence(run.x, lengths, run.layer.batch_first, enforce_sorted=False)
    # the rows themselves are what the layer is given, and what is replaced
    run.tensors["x"] = x = rows.data.detach().requires_grad_(run.x.requires_grad)
    output, last = run.layer(type(rows)(x, *rows[1:]), run.hx)
    outputs = run.keep(output.data, last)
    run.change()
    return run.gradients(outputs)


def hooks(run: Run) -> Values:
    """What is saved goes through hooks that keep its numbers."""
    kinds: list[tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = [
        (lambda t: t, lambda t: t),
        (Tensor.clone, Tensor.clone),
        (lambda t: (t.numpy(force=True).copy(), t.dtype), lambda kept: torch.from_numpy(kept[0]).to(kept[1])),
        (lambda t: t.mT.contiguous() if t.dim() > 1 else t.clone(), lambda t: t.mT if t.dim() > 1 else t),
    ]
    with torch.autograd.graph.saved_tensors_hooks(*kinds[run.options["choice"] % len(kinds)]):
        outputs = run.forward()
    run.change()
    return run.gradients(outputs)


def twice(run: Run) -> Values:
    outputs = run.forward()
    before = run.gradients(outputs, retain_graph=True)
    before = {f"first {name}": g.clone() for name, g in before.items()}
    for t in run.wanted.values():
        t.grad = None
    run.change()
    return before | run.gradients(outputs)


def second(run: Run) -> Values:
    first = run.gradients(run.forward(), create_graph=True)
    run.change()
    loss = sum(g.square().sum() for g in first.values())
    if not loss.requires_grad:  # of relu, and of x alone: the second derivative is 0
        return {}
    found = torch.autograd.grad(loss, list(run.wanted.values()), allow_unused=True)
    return {name: g for name, g in zip(run.wanted, found, strict=True) if g is not None}


def watched(run: Run) -> Values:
    """Gradients that can be differentiated again, of what was replaced before them."""
    outputs = run.forward()
    run.change()
    return run.gradients(outputs, create_graph=True)


def vjp(run: Run) -> Values:
    names = [name for name, _ in run.layer.named_parameters()]
    words = [name for name in ("x", "h0", "c0") if run.tensors.get(name) is not None]

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        weights, (x, *states) = given[: len(names)], given[len(names) :]
        output, last = functional_call(run.layer, dict(zip(names, weights, strict=True)), (x, run.hx_of(states)))
        return output, *states_of(last)

    given = [*run.layer.parameters(), *(run.tensors[word] for word in words)]
    (output, *last), pull = torch.func.vjp(function, *given)
    run.keep(output, tuple(last))
    run.change()
    found = pull(tuple(run.cotangents()))
    return dict(zip([*names, *words], found, strict=True))


def checkpointed(run: Run) -> Values:
    outputs = run.keep(*checkpoint(run.layer, run.x, run.hx, use_reentrant=False))
    run.change()
    return run.gradients(outputs)


def other_thread(run: Run) -> Values:
    outputs, found = run.forward(), []
    run.change()

    def work() -> None:
        try:
            found.append(run.gradients(outputs))
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that waits
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def inference(run: Run) -> Values:
    """No gradients: the layer is called, something is replaced, and it is called again."""
    with torch.inference_mode() if run.options["choice"] % 2 else torch.no_grad():
        run.forward()
    run.change()
    with torch.no_grad():
        return dict(zip(("output", "h_n", "c_n"), run.forward(), strict=False))


def at_forward(run: Run) -> Values:
    """The change comes first: what the layer is given is in that layout, of that dtype, of that size."""
    run.change()
    torch.manual_seed(3)  # the masks of the other ways
    return run.gradients(run.forward())


def cell(run: Run) -> Values:
    state = run.hx
    for x in run.x:
        state = run.layer(x, state)
    h, *rest = states_of(state)
    outputs = run.keep(h, tuple(rest))
    run.change()
    return run.gradients(outputs)


def stream(run: Run) -> Values:
    """Steps between which something is replaced; torch's layer on sequences of one step."""
    time = 1 if run.layer.batch_first else 0
    steps, found = run.x.detach().unbind(time), {}
    # a stream has a state of its own from the start: what becomes of hx before the first step is not seen
    state = torch.utils._pytree.tree_map(torch.clone, run.hx)
    ours = elman.Stream(run.layer, state) if run.ours else None
    with torch.no_grad():
        for t, x in enumerate(steps):
            if t == len(steps) // 2:
                run.change()
            if ours is None:
                output, state = run.layer(x.unsqueeze(time), state)
                found[str(t)] = output.squeeze(time)
            else:
                found[str(t)] = ours(x)
    return found


def operator(run: Run) -> Values:
    """The operator of the layer beside the layer of torch."""
    layer = run.layer
    if run.ours:
        x, reset = (t.transpose(0, 1) if layer.batch_first and t is not None else t for t in (run.x, run.reset))
        choice = [layer.nonlinearity] if isinstance(layer, elman.RNN) else []
        states = [run.h0, run.c0] if run.pair else [run.h0]
        weights, kind = list(layer.parameters()), (layer.num_layers, layer.bidirectional)
        of_layer = getattr(torch.ops.elman, type(layer).__name__.lower())
        output, *rest = of_layer(x, *states, weights, run.lengths, reset, None, *choice, *kind)
        outputs = run.keep(output.transpose(0, 1) if layer.batch_first else output, tuple(rest[: len(states)]))
    else:
        outputs = run.forward()
    run.change()
    return run.gradients(outputs)


@functools.cache
def _compiled(
    ours: bool, cell: str, layers: int, directions: int, I: int, H: int, dtype: torch.dtype
) -> Callable[..., Any]:
    """One graph for all cases of a kind: the weights are arguments."""
    torch._dynamo.config.recompile_limit = 100  # they are one function to Dynamo
    if not ours:
        return torch.compile(
            functools.partial(definition.layer, cell, layers, directions), backend="aot_eager", fullgraph=True
        )
    layer = getattr(elman, cell.upper())(I, H, layers, bidirectional=directions == 2, dtype=dtype)
    names, pair = [name for name, _ in layer.named_parameters()], cell == "lstm"

    def function(x: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        states, weights = given[: 1 + pair], given[1 + pair :]
        hx = states if pair else states[0]
        output, last = functional_call(layer, dict(zip(names, weights, strict=True)), (x, hx))
        return output, *states_of(last)

    return torch.compile(function, backend="aot_eager", fullgraph=True)


def compiled(run: Run) -> Values:
    """A compiled graph keeps its arguments themselves: what is beside it is a graph of torch's operators."""
    layer = run.layer
    weights, states = list(layer.parameters()), states_of(run.hx)
    for t in (run.x, *states, *weights):
        t.requires_grad_()
    sizes = (layer.num_layers, 2 if layer.bidirectional else 1, layer.input_size, layer.hidden_size)
    graph = _compiled(run.ours, type(layer).__name__.lower(), *sizes, run.x.dtype)
    output, *last = graph(run.x, *states, *weights)
    outputs = run.keep(output, tuple(last))
    run.change()
    return run.gradients(outputs)


WAYS = {"call": call, "packed": packed, "hooks": hooks, "twice": twice, "second": second, "watched": watched}
WAYS |= {"vjp": vjp, "checkpoint": checkpointed, "other thread": other_thread, "inference": inference}
WAYS |= {"at forward": at_forward, "cell": cell, "stream": stream, "operator": operator, "compiled": compiled}
