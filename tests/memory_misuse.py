"""Calls that are wrong: refused, and the process lives. Each is a line, "misuse: what"; tensors end at forbidden pages.

python tests/memory_misuse.py 'misuse: rnn x of two axes'    one of them, here
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

import torch
from children import FINE
from guarded import guarded
from torch import Tensor

import elman

T, N, I, H, L, D = 5, 3, 4, 6, 2, 2
Arguments = dict[str, Any]
elman.RNN  # noqa: B018 - registers the operators


def arguments() -> Arguments:
    """What torch.ops.elman.rnn takes, every tensor at the end of its page."""
    torch.manual_seed(0)
    layer = elman.RNN(I, H, L, bidirectional=True)
    return dict(
        x=guarded(torch.randn(T, N, I)).requires_grad_(),
        h0=guarded(torch.randn(L * D, N, H)).requires_grad_(),
        weights=[guarded(p).requires_grad_() for p in layer.parameters()],
        lengths=guarded(torch.tensor([5, 0, 3])),
        reset=guarded(torch.rand(T, N) < 0.3),
        masks=guarded((torch.rand(L - 1, T, N, D * H) < 0.5).float() * 2),
        nonlinearity="tanh",
        num_layers=L,
        bidirectional=True,
    )


def with_one(name: str, place: int, make: Callable[[Tensor], Tensor]) -> Callable[[Arguments], None]:
    """One of a list of tensors replaced."""

    def change(a: Arguments) -> None:
        a[name][place] = make(a[name][place].detach())

    return change


def put(name: str, make: Callable[[Any], Any]) -> Callable[[Arguments], None]:
    def change(a: Arguments) -> None:
        a[name] = make(a[name].detach() if isinstance(a[name], Tensor) else a[name])

    return change


def less(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda v: guarded(v.narrow(axis, 0, v.shape[axis] - 1))


def more(axis: int) -> Callable[[Tensor], Tensor]:
    return lambda v: guarded(torch.cat([v, v.narrow(axis, 0, 1)], axis))


BAD_KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "half": lambda v: guarded(v.half()),
    "double": lambda v: guarded(v.double()),
    "complex": lambda v: v.to(torch.complex64),
    "integers": lambda v: v.long(),
    "bytes": lambda v: v.to(torch.uint8),
    "meta": lambda v: v.to("meta"),
    "sparse": lambda v: v.to_sparse(),
    "one number": lambda v: guarded(v.new_ones(1)),
    "a scalar": lambda v: v.new_ones(()),
    "empty": lambda v: v.new_empty(0),
    "without storage": lambda v: _emptied(v),
    "one axis more": lambda v: v.unsqueeze(0),
    "flat": lambda v: v.flatten() if v.dim() > 1 else v.unsqueeze(0),
    "shorter in the first axis": less(0),
    "shorter in the last axis": less(-1),
    "longer in the first axis": more(0),
    "longer in the last axis": more(-1),
}


def _emptied(v: Tensor) -> Tensor:
    v = v.clone()
    v.untyped_storage().resize_(0)
    return v


MISUSES: dict[str, Callable[[Arguments], None]] = {}
for tensor in ("x", "h0", "masks"):
    for kind, make in BAD_KINDS.items():
        MISUSES[f"{tensor} {kind}"] = put(tensor, make)
for place, weight in enumerate(("w_ih", "w_hh", "b_ih", "b_hh")):
    for kind, make in BAD_KINDS.items():
        MISUSES[f"{weight} of the second layer, reverse, {kind}"] = with_one("weights", 12 + place, make)
for kind in ("meta", "one number", "a scalar", "empty", "without storage", "one axis more", "longer in the last axis"):
    MISUSES[f"lengths {kind}"] = put("lengths", BAD_KINDS[kind])
    MISUSES[f"reset {kind}"] = put("reset", BAD_KINDS[kind])
MISUSES |= {
    "x of more steps than reset": put("x", more(0)),
    "lengths below 0": put("lengths", lambda v: v - 1),
    "lengths beyond T": put("lengths", lambda v: v + 1),
    "lengths of 2 ** 62": put("lengths", lambda v: v + 2**62),
    "lengths that are floating": put("lengths", lambda v: v.double()),
    "reset of numbers": put("reset", lambda v: v.float()),
    "reset with its axes swapped": put("reset", lambda v: v.T.contiguous()),
    "no weights": put("weights", lambda v: []),
    "one weight": put("weights", lambda v: v[:1]),
    "a weight missing": put("weights", lambda v: v[:-1]),
    "a weight too many": put("weights", lambda v: [*v, v[0]]),
    "the weights of one layer": put("weights", lambda v: v[:8]),
    "the weights twice": put("weights", lambda v: v * 2),
    "the weights in another order": put("weights", lambda v: v[::-1]),
    "no layers": put("num_layers", lambda v: 0),
    "a negative number of layers": put("num_layers", lambda v: -1),
    "too many layers": put("num_layers", lambda v: 4),
    "2 ** 40 layers": put("num_layers", lambda v: 2**40),
    "one direction": put("bidirectional", lambda v: False),
    "another nonlinearity": put("nonlinearity", lambda v: "sigmoid"),
}

BACKWARD: dict[str, Callable[[Arguments], None]] = {}
for tensor in ("output", "d_output", "d_h_n", "x", "h0"):
    for kind, make in BAD_KINDS.items():
        BACKWARD[f"{tensor} {kind}"] = put(tensor, make)
for kind, make in BAD_KINDS.items():
    BACKWARD[f"w_hh of the second layer, reverse, {kind}"] = with_one("weights", 13, make)
for kind, make in BAD_KINDS.items():
    BACKWARD[f"the last saved {kind}"] = with_one("saved", -1, make)
BACKWARD |= {
    "the first saved empty": with_one("saved", 0, BAD_KINDS["empty"]),
    "the first saved meta": with_one("saved", 0, BAD_KINDS["meta"]),
    "nothing saved": put("saved", lambda v: []),
    "one more saved": put("saved", lambda v: [*v, v[-1]]),
    "another saved first": put("saved", lambda v: v[::-1]),
    "no needs": put("needs", lambda v: []),
    "too few needs": put("needs", lambda v: v[:-1]),
    "too many needs": put("needs", lambda v: [*v, True]),
    "0 groups": put("groups", lambda v: 0),
    "-1 groups": put("groups", lambda v: -1),
    "2 groups of 3 sequences": put("groups", lambda v: 2),
    "2 ** 40 groups": put("groups", lambda v: 2**40),
    "a weight missing": put("weights", lambda v: v[:-1]),
    "no layers": put("num_layers", lambda v: 0),
    "one direction": put("bidirectional", lambda v: False),
    "lengths beyond T": put("lengths", lambda v: v + 1),
}


def operator(name: str, differentiated: bool) -> str:
    a = arguments()
    MISUSES[name](a)
    if not differentiated:
        with torch.no_grad():
            return refused(lambda: torch.ops.elman.rnn(*a.values()))

    def call() -> None:
        output, h_n, _ = torch.ops.elman.rnn(*a.values())
        (output.sum() + h_n.sum()).backward()

    return refused(call)


def given_backward() -> Arguments:
    """What torch.ops.elman.rnn_backward takes, by name; `saved` is what forward returned besides its two results."""
    a = arguments()
    with torch.no_grad():
        output, h_n, *saved = torch.ops.elman.rnn(*a.values())
    a |= dict(output=guarded(output), saved=[guarded(t) for t in saved])
    a |= dict(d_output=guarded(torch.randn_like(output)), d_h_n=guarded(torch.randn_like(h_n)))
    a |= dict(needs=[True] * (2 + len(a["weights"])), groups=None, recurrent_masks=None)
    return {each.name: a[each.name] for each in torch.ops.elman.rnn_backward.default._schema.arguments}


def backward_operator(name: str) -> str:
    given = given_backward()
    BACKWARD[name](given)
    with torch.no_grad():
        return refused(lambda: torch.ops.elman.rnn_backward(*given.values()))


def refused(call: Callable[[], object]) -> str:
    try:
        call()
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        return (
            FINE if str(error) and not isinstance(error, RecursionError) else f"LAX no reason: {type(error).__name__}"
        )
    except Exception as error:  # noqa: BLE001 - a KeyError or AssertionError is a finding, not an answer
        return f"LAX by {type(error).__name__}: {error}"
    return "LAX taken"


# What a hook may hand back in place of what was saved: torch's own operators check it, and so must the kernels.


def odd_hook(name: str) -> str:
    layer, x = elman.RNN(I, H, L), torch.randn(T, N, I, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: BAD_KINDS[name](t.detach())):
        output, _ = layer(x)
    return refused(output.sum().backward)


# A stream that threads share


def shared_stream(name: str) -> str:
    torch.set_num_threads(1)
    layer, x = elman.RNN(32, 64, 2), torch.randn(8, 32)
    stream, odd = elman.Stream(layer), []
    expected = [layer(x_t.view(1, -1))[0][0] for x_t in x]

    def steps() -> None:
        for i in range(1500):
            try:
                y = stream(x[i % 8])
            except RuntimeError as error:  # refused
                if not str(error):
                    odd.append("no reason")
                continue
            if y.shape != (64,) or not y.isfinite().all() or y.abs().max() > 1:
                odd.append("odd numbers")

    def others() -> None:
        for i in range(400):
            try:
                if name == "reset":
                    stream.reset()
                elif name == "state":
                    stream.state = torch.randn(2, 64) if i % 2 else stream.state
                elif name == "weights":
                    for p in layer.parameters():
                        p.data = p.data.clone()
                elif name == "sizes":
                    stream.reset()
                    stream(torch.randn(i % 5 + 1, 32))
            except (RuntimeError, ValueError):
                pass

    threads = [threading.Thread(target=work) for work in (steps, steps, others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for y, x_t in zip(expected, x, strict=True):
        stream.reset()
        torch.testing.assert_close(stream(x_t), y.detach())
    return f"WRONG {odd[0]}" if odd and name not in ("sizes",) else FINE


# What is small enough to say in a few lines


def late_lengths(replace: Callable[[Tensor], object]) -> str:
    """The operator's own lengths after forward: what forward saw, or refused."""
    layer, lengths = elman.RNN(I, H), torch.tensor([5, 2, 3])
    wanted, found = list(layer.parameters()), []
    for change in (lambda t: None, replace):
        given = lengths.clone()
        x = torch.ones(T, N, I)
        output = torch.ops.elman.rnn(x, None, wanted, given, None, None, "tanh", 1, False)[0]
        change(given)
        try:
            found.append(torch.autograd.grad(output.sum(), wanted))
        except (RuntimeError, ValueError) as error:
            return FINE if str(error) else "LAX no reason"
    return FINE if all(map(torch.equal, *found)) else "WRONG other gradients"


def _put_data(t: Tensor) -> None:
    t.data = torch.full_like(t, 10**9)


def lengths_in_a_race(call: Callable[[Tensor, Tensor, elman.RNN], object]) -> str:
    """Another thread writes to the lengths all the time: refused, or run with either."""
    layer, lengths, ended = elman.RNN(I, H), torch.tensor([3, 2, 3]), threading.Event()

    def write() -> None:
        while not ended.is_set():
            lengths[0] = 10**9
            lengths[0] = 3

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3000):
            refused(lambda: call(torch.ones(T, N, I), lengths, layer))
    finally:
        ended.set()
        thread.join()
    return FINE


def short_of_room() -> str:
    """A step of a stream whose memory was cut off."""
    stream, x = elman.Stream(elman.RNN(4096, 5)), torch.randn(300, 4096)
    stream(x)
    x.untyped_storage().resize_(8)
    return refused(lambda: stream(x))


def kept_by_the_node() -> str:
    """The tensors that a node of autograd shows are cut off."""
    output, _ = elman.RNN(64, 512, 2)(torch.randn(7, 3, 64))
    for saved in output.grad_fn.saved_tensors:
        if saved is not None:
            saved.untyped_storage().resize_(4)
    return refused(output.sum().backward)


SMALL: dict[str, Callable[[], str]] = {
    "lengths written to through data": lambda: late_lengths(lambda t: t.data.fill_(10**9)),
    "lengths replaced": lambda: late_lengths(_put_data),
    "lengths in a race, by the layer": lambda: lengths_in_a_race(lambda x, n, layer: layer(x, lengths=n)),
    "lengths in a race, by the operator": lambda: lengths_in_a_race(
        lambda x, n, layer: torch.ops.elman.rnn(x, None, list(layer.parameters()), n, None, None, "tanh", 1, False)
    ),
    "a step without room": short_of_room,
    "saved tensors without room": kept_by_the_node,
}

NAMES = [
    *[f"small {name}" for name in SMALL],
    *[f"rnn {name}" for name in MISUSES],
    *[f"rnn no_grad {name}" for name in MISUSES],
    *[f"rnn_backward {name}" for name in BACKWARD],
    *[f"hook {name}" for name in BAD_KINDS if name != "integers"],
    *[f"stream {name}" for name in ("steps", "reset", "state", "weights", "sizes")],
]


def verdict(line: str) -> str:
    """ "fine", or what is wrong."""
    kind, name = line.removeprefix("misuse: ").split(" ", 1)
    if kind == "small":
        return SMALL[name]()
    if kind == "rnn":
        return operator(name.removeprefix("no_grad "), not name.startswith("no_grad "))
    return {"rnn_backward": backward_operator, "hook": odd_hook, "stream": shared_stream}[kind](name)


if __name__ == "__main__":
    print(verdict(sys.argv[1]))
