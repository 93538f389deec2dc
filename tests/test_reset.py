"""reset=: the state is h_0 again before a marked step, which is the same as running the pieces apart."""

from itertools import pairwise

import pytest
import torch
from cases import Values, assert_same, weighed
from torch import Tensor

import elman

DTYPE = torch.float64
T, N, I, H = 8, 4, 3, 5
MARKS = {
    "here and there": [(2, 0), (5, 0), (3, 1), (7, 2)],
    "at the first step": [(0, 0), (0, 1), (4, 1)],
    "nowhere": [],
    "twice in a row": [(3, 0), (4, 0), (5, 0), (6, 3), (7, 3)],
    "everywhere": [(t, n) for t in range(T) for n in range(N)],
}
KINDS = {
    "D1 L1": dict(num_layers=1, bidirectional=False),
    "D1 L3": dict(num_layers=3, bidirectional=False),
    "D2 L1": dict(num_layers=1, bidirectional=True),
    "D2 L2": dict(num_layers=2, bidirectional=True),
    "D2 L2 relu batch first": dict(num_layers=2, bidirectional=True, nonlinearity="relu", batch_first=True),
}


pytestmark = pytest.mark.parametrize("backend", ["reference", "numba"], indirect=True)


def pair(**arguments: object) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(1)
    theirs = torch.nn.RNN(I, H, dtype=DTYPE, **arguments)
    ours = elman.RNN(I, H, dtype=DTYPE, **arguments)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def tensors(layer: torch.nn.Module) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    states = layer.num_layers * (2 if layer.bidirectional else 1)
    input = torch.randn(T, N, I, dtype=DTYPE, requires_grad=True)
    return input, torch.randn(states, N, H, dtype=DTYPE, requires_grad=True)


def marked(marks: list[tuple[int, int]]) -> Tensor:
    reset = torch.zeros(T, N, dtype=torch.bool)
    for t, n in marks:
        reset[t, n] = True
    return reset


def apart(layer: torch.nn.Module, marks: list[tuple[int, int]], lengths: list[int], with_h0: bool) -> Values:
    """Every piece between two marks through torch's layer by itself, each from h_0.

    h_n is the state a direction ends with: the last piece's for the forward one, the first piece's for the reverse.
    """
    input, h0 = tensors(layer)
    start = h0 if with_h0 else torch.zeros_like(h0)
    D = 2 if layer.bidirectional else 1
    outputs, states = [], []
    for n, length in enumerate(lengths):
        cuts = sorted({0, length} | {t for t, row in marks if row == n and t < length})
        runs = [layer(input[a:b, n], start[:, n]) for a, b in pairwise(cuts)]
        outputs.append(torch.cat([output for output, _ in runs] + [input.new_zeros(T - length, D * H)]))
        h_n = torch.stack([runs[-1 if s % D == 0 else 0][1][s] for s in range(len(start))])
        states.append(h_n)
    wanted = {"x": input} | ({"h0": h0} if with_h0 else {}) | dict(layer.named_parameters())
    return weighed(torch.stack(outputs, 1), torch.stack(states, 1), wanted)


def together(layer: torch.nn.Module, with_h0: bool, reset: Tensor, **keywords: object) -> Values:
    input, h0 = tensors(layer)
    given, order = (input.transpose(0, 1), reset.T) if layer.batch_first else (input, reset)
    output, h_n = layer(given, h0 if with_h0 else None, reset=order, **keywords)
    wanted = {"x": input} | ({"h0": h0} if with_h0 else {}) | dict(layer.named_parameters())
    return weighed(output.transpose(0, 1) if layer.batch_first else output, h_n, wanted)


@pytest.mark.parametrize("with_h0", [False, True], ids=["zero h0", "h0"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("marks", MARKS.values(), ids=list(MARKS))
def test_reset_is_running_the_pieces_apart(
    marks: list[tuple[int, int]], kind: dict[str, object], with_h0: bool, backend: str
) -> None:
    ours, theirs = pair(**kind)
    assert_same(together(ours, with_h0, marked(marks)), apart(theirs, marks, [T] * N, with_h0))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_reset_and_lengths_together(kind: dict[str, object], backend: str) -> None:
    """Marks past a sequence's end mean nothing."""
    ours, theirs = pair(**kind)
    marks, lengths = MARKS["here and there"], [6, 3, 8, 1]
    assert_same(together(ours, True, marked(marks), lengths=lengths), apart(theirs, marks, lengths, True))


def test_every_piece_sends_its_gradient_to_h0(backend: str) -> None:
    """With all weights frozen but h_0, a loss on the last piece alone still moves h_0."""
    ours, _ = pair()
    ours.requires_grad_(False)
    input, h0 = tensors(ours)
    for piece in (slice(0, 3), slice(3, 6), slice(6, 8)):
        output, _ = ours(input.detach(), h0, reset=marked([(t, n) for t in (3, 6) for n in range(N)]))
        (dh0,) = torch.autograd.grad(output[piece].sum(), h0)
        assert (dh0 != 0).all()


def test_double_backward_with_reset(backend: str) -> None:
    ours, theirs = pair(num_layers=2, bidirectional=True)
    marks = [(3, n) for n in range(N)]
    results = []
    for layer in (ours, theirs):
        input, h0 = tensors(layer)
        if layer is ours:
            output, _ = layer(input, h0, reset=marked(marks))
        else:
            output = torch.cat([layer(input[:3], h0)[0], layer(input[3:], h0)[0]])
        first = torch.autograd.grad(output.square().sum(), [input, h0], create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), layer.weight_hh_l1)[0]
        results.append({"dx": first[0], "dh0": first[1], "ddw": second})
    assert_same(*results)


def test_unbatched_reset_has_one_axis(backend: str) -> None:
    ours, theirs = pair(bidirectional=True)
    input = torch.randn(T, I, dtype=DTYPE)
    output, _ = ours(input, reset=marked([(3, 0)])[:, 0])
    torch.testing.assert_close(output, torch.cat([theirs(input[:3])[0], theirs(input[3:])[0]]))


BAD = {
    "swapped axes": (torch.zeros(N, T, dtype=torch.bool), (f"{N}, {T}", f"{T}, {N}")),
    "one axis": (torch.zeros(T, dtype=torch.bool), (f"{T}",)),
    "numbers": (torch.zeros(T, N), ("bool", "float32")),
    "a list": ([[False] * N] * T, ("bool", "list")),
}


@pytest.mark.parametrize(("reset", "says"), BAD.values(), ids=list(BAD))
def test_bad_reset_is_refused_in_words(reset: object, says: tuple[str, ...], backend: str) -> None:
    ours, _ = pair()
    with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
        ours(torch.randn(T, N, I, dtype=DTYPE), reset=reset)
    for words in ("reset", *says):
        assert words in str(caught.value)


def test_torchs_operators_by_name_refuse(backend: str) -> None:
    ours, _ = pair()
    input, h0 = tensors(ours)
    with elman.use_backend("torch"), pytest.raises(RuntimeError, match="reset"):
        ours(input, h0, reset=marked([]))
