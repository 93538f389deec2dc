"""Leak, drive, zoneout and recurrent dropout on elman's kernels, beside the definition; and beside loops over cells."""

from collections.abc import Iterator
from typing import Any

import drawn
import pytest
import torch
from cases import assert_same
from torch import nn

import elman
from elman.kernels.cells import CELLS, FUNCTIONS
from elman.kernels.numba_cpu import api
from elman.kernels.problem import Problem
from elman.kernels.reference import by_hand, loop
from elman.kernels.table import OWN

KINDS = {
    "plain": {},
    "many steps": {"T": 150, "N": 9, "H": 20, "L": 1},
    "units shared by two threads": {"T": 20, "N": 2, "H": 150, "L": 1, "D": 1},
    "lengths reset dropout": {"lengths": True, "reset": True, "dropout": True},
}
PROJECTED = {name: {**KINDS[name], "P": 3} for name in ("plain", "many steps", "lengths reset dropout")}


def problem_of(
    cell: str,
    leak: tuple[int, ...] | None,
    drive: tuple[int, ...] | None,
    T: int = 5,
    N: int = 4,
    H: int = 4,
    L: int = 2,
    D: int = 2,
    recurrent: bool = True,
    lengths: bool = False,
    reset: bool = False,
    dropout: bool = False,
    P: int = 0,
) -> Problem:
    """A random one, in float64; with P, h is projected. Axes of the terms' shapes: 0 stands for all of that axis, 1 for
    the same everywhere."""
    torch.manual_seed(1)
    table, of = CELLS[cell], {"dtype": torch.float64}
    rows, wide, weights = len(table.gates) * H, P or H, []
    for place in range(L * D):
        shapes = (rows, 3 if place < D else D * wide), (rows, wide), (rows,), (rows,), *([(P, H)] if P else [])
        weights += [torch.randn(shape, **of) / H**0.5 for shape in shapes]
    problem = Problem(
        table,
        L,
        D,
        True,
        P > 0,
        torch.randn(T, N, 3, **of),
        tuple(torch.randn(L * D, N, wide if state == "h" else H, **of) for state in table.states),
        tuple(weights),
        lengths=torch.randint(0, T + 1, (N,)) if lengths else None,
        reset=torch.rand(T, N) < 0.3 if reset else None,
        masks=2 * (torch.rand(L - 1, T, N, D * wide) < 0.5).double() if dropout else None,
        recurrent_masks=2 * (torch.rand(L * D, N, wide) < 0.5).double() if recurrent else None,
    )
    width = problem.leak_width()
    wholes = (L * D, T, N, width), (L * D, T, N, H)
    shapes = [
        tuple(size or whole for size, whole in zip(shape, of_all, strict=True))
        for shape, of_all in zip((leak, drive), wholes, strict=True)
        if shape is not None
    ]
    problem = problem._replace(terms=tuple(torch.rand(shape, **of) for shape in shapes))
    return problem.with_inputs([t.requires_grad_() for t in problem.inputs])


def compare(problem: Problem, groups: int | None = None) -> None:
    """The run and all gradients on elman's kernels, sealed or not, beside the definition's."""
    assert OWN.obstacle(problem) is None
    expected = loop.forward(problem)
    above = torch.randn_like(expected.output), [torch.randn_like(state) for state in expected.last]
    needs = [t.requires_grad for t in problem.inputs]
    gradients = by_hand.backward(problem, *above, needs, groups)
    sealed, seal = api.forward_sealed(problem)
    for run, of_run in ((api.forward(problem, True), None), (sealed, seal)):
        torch.testing.assert_close((run.output, run.last), (expected.output, expected.last))
        given = run.output, run.saved, above[0], tuple(above[1]), tuple(needs)
        found = api.backward(problem, *given, groups, seal=of_run)
        for place, (actual, wanted) in enumerate(zip(found, gradients, strict=True)):
            if wanted is not None:
                torch.testing.assert_close(actual, wanted, msg=lambda said, place=place: f"input {place}: {said}")
    assert torch.equal(api.forward(problem, False).output, sealed.output)


def cases() -> Iterator[tuple[str, str, Any, Any]]:
    """Each function once, each form in every kind, every shape of a term somewhere."""
    for form in ("leaky", "potential"):
        for name in FUNCTIONS:
            yield f"{form}_{name}", "plain", (1, 1, 1, 1), (0, 0, 0, 0)
        yield f"{form}_tanh", "many steps", (0, 1, 1, 0), (1, 0, 1, 0)
        yield f"{form}_tanh", "units shared by two threads", (0, 0, 0, 0), None
        yield f"{form}_softplus", "lengths reset dropout", (1, 0, 0, 1), (1, 1, 1, 0)
        yield f"{form}_relu", "lengths reset dropout", (1, 1, 1, 0), None
    for cell in ("gru", "lstm", "rnn_tanh"):
        for kind in KINDS:
            yield cell, kind, None if cell == "rnn_tanh" else (0, 0, 0, 0), None
        if cell != "rnn_tanh":
            yield cell, "plain", (1, 1, 1, 1), None
    for kind in PROJECTED:
        yield "lstm", f"projected {kind}", (0, 0, 0, 0), None


@pytest.mark.parametrize(("cell", "kind", "leak", "drive"), [*cases()])
def test_kernels_are_the_definition(cell: str, kind: str, leak: Any, drive: Any) -> None:
    of_kind = PROJECTED[kind.removeprefix("projected ")] if "projected" in kind else KINDS[kind]
    problem = problem_of(cell, leak, drive, **of_kind)
    if not problem.cell.leaks:
        problem = problem._replace(terms=tuple(term.detach() for term in problem.terms))
    compare(problem)
    if problem.sequences == 4:
        compare(problem, 2)
    if problem.cell.leaks:  # then less is kept
        compare(problem._replace(terms=tuple(term.detach() for term in problem.terms)))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_dropout_over_time_is_a_loop_over_torchs_cell(kind: str) -> None:
    """One mask where W_hh reads h: torch's cell of W_hh times it, a sequence at a time."""
    T, N, H = 7, 3, 5
    torch.manual_seed(0)
    layer = getattr(elman, kind)(4, H, recurrent_dropout=0.4, zoneout=0.3, dtype=torch.float64)
    cell = getattr(nn, f"{kind}Cell")(4, H, dtype=torch.float64)
    x = torch.randn(T, N, 4, dtype=torch.float64, requires_grad=True)
    widths = (H, H) if kind == "LSTM" else (H,)
    for training in (True, False):
        layer.train(training)
        torch.manual_seed(7)
        output, last = layer(x)
        torch.manual_seed(7)
        moves = torch.full((T, N, sum(widths)), 0.7, dtype=torch.float64)
        masks = torch.ones(N, H, dtype=torch.float64)
        if training:
            moves = drawn.moves(1, T, N, sum(widths), rate=0.3)[0]
            masks = drawn.moves(1, N, H, rate=0.4)[0] / 0.6
        columns, ends = [], []
        for n in range(N):
            own = {
                name: getattr(layer, f"{name}_l0") * (masks[n] if name == "weight_hh" else 1)
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            states = tuple(torch.zeros(1, H, dtype=torch.float64) for _ in widths)
            rows = []
            for t in range(T):
                hx = states if kind == "LSTM" else states[0]
                new: Any = torch.func.functional_call(cell, own, (x[t, n : n + 1], hx))
                new = new if isinstance(new, tuple) else (new,)
                shares = moves[t, n].split(widths)
                states = tuple((1 - a) * old + a * s for a, old, s in zip(shares, states, new, strict=True))
                rows.append(states[0])
            columns.append(torch.cat(rows))
            ends.append(torch.cat(states))
        expected = torch.stack(columns, 1)
        wanted = {"x": x, **dict(layer.named_parameters())}
        values = []
        for found in (output, expected):
            gradients = torch.autograd.grad(found.sin().sum(), [*wanted.values()], retain_graph=True)
            values.append({"output": found} | dict(zip(wanted, gradients, strict=True)))
        assert_same(*values)
        states_n = last if isinstance(last, tuple) else (last,)
        torch.testing.assert_close(torch.stack(states_n, 2)[0], torch.stack(ends))


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_of_a_projected_lstm_follows_the_projection(training: bool) -> None:
    """A loop over torch's own layer, a step at a time: its h, which is projected, is blended after that."""
    torch.manual_seed(0)
    of = {"proj_size": 2, "dtype": torch.float64}
    layer, theirs = elman.LSTM(4, 5, zoneout=(0.3, 0.6), **of).train(training), nn.LSTM(4, 5, **of)
    theirs.load_state_dict(layer.state_dict())
    x = torch.randn(7, 3, 4, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(7)
    output, last = layer(x)
    torch.manual_seed(7)
    if training:
        shares = drawn.moves(1, 7, 3, 2, rate=0.3), drawn.moves(1, 7, 3, 5, rate=0.6)
    else:
        shares = tuple(torch.full((1, 7, 3, w), share, dtype=torch.float64) for w, share in ((2, 0.7), (5, 0.4)))
    states = tuple(torch.zeros(1, 3, width, dtype=torch.float64) for width in (2, 5))
    rows = []
    for t in range(7):
        _, new = theirs(x[t : t + 1], states)
        states = tuple(a[:, t] * s + (1 - a[:, t]) * old for a, s, old in zip(shares, new, states, strict=True))
        rows.append(states[0])
    expected = torch.cat(rows)
    torch.testing.assert_close((output, last), (expected, states))
    found, wanted = (
        torch.autograd.grad(y.sin().sum(), [x, *of_layer.parameters()], retain_graph=True)
        for y, of_layer in ((output, layer), (expected, theirs))
    )
    torch.testing.assert_close(found, wanted)


def test_an_lstm_has_a_zoneout_for_each_state() -> None:
    torch.manual_seed(0)
    layer = elman.LSTM(3, 4, zoneout=(0.2, 0.0), dtype=torch.float64).eval()
    both = elman.LSTM(3, 4, zoneout=0.2, dtype=torch.float64).eval()
    both.load_state_dict(layer.state_dict())
    x = torch.randn(1, 2, 3, dtype=torch.float64)
    (output, (_, c_n)), (same, (_, less)) = layer(x), both(x)
    torch.testing.assert_close(output, same)
    torch.testing.assert_close(less, 0.8 * c_n)
    with pytest.raises(ValueError, match="zoneout should be"):
        elman.GRU(3, 4, zoneout=(0.2, 0.1))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_what_torch_cannot_compute_is_never_dropped(kind: str) -> None:
    layer = getattr(elman, kind)(3, 4, zoneout=0.2)
    done = elman.to_torch(layer)
    assert not done.converted
    assert "zoneout" in done.left[""]
    with pytest.raises(RuntimeError, match="has no zoneout"):
        torch.jit.script(layer)
    with elman.use_backend("torch"), pytest.raises(RuntimeError, match=r"no zoneout|no leaky cell|no potential cell"):
        layer(torch.randn(5, 2, 3))
    dropping = getattr(elman, kind)(3, 4, recurrent_dropout=0.2)
    with pytest.raises(RuntimeError, match="Recurrent dropout has one mask"):
        elman.Stream(dropping)(torch.randn(2, 3))


OVER_TIME = {
    "zoneout": lambda: elman.RNN(5, 6, zoneout=0.3),
    "recurrent dropout": lambda: elman.RNN(5, 6, recurrent_dropout=0.3),
    "both of a GRU": lambda: elman.GRU(5, 6, zoneout=0.3, recurrent_dropout=0.2),
    "one zoneout of an LSTM": lambda: elman.LSTM(5, 6, zoneout=0.3),
    "two of an LSTM": lambda: elman.LSTM(5, 6, zoneout=(0.3, 0.2), recurrent_dropout=0.2),
    "leak": lambda: elman.LeakyRNN(5, 6),
    "leak and noise of a potential": lambda: elman.LeakyRNN(5, 6, form="potential", noise=0.1),
    "a leaky cell": lambda: elman.LeakyRNNCell(5, 6, form="potential", noise=0.1),
}


@pytest.mark.parametrize("name", OVER_TIME)
def test_what_is_drawn_for_all_steps_compiles_without_a_break(name: str) -> None:
    """Before 2.10 torch.compile follows less of a record."""
    layer, x = OVER_TIME[name](), torch.randn(4, 3, 5)
    given = x[0] if isinstance(layer, elman.LeakyRNNCell) else x
    found = []
    for run in (layer, torch.compile(layer, fullgraph=True, backend="eager")):
        torch.manual_seed(1)
        found.append(run(given))
    torch.testing.assert_close(found[1], found[0])
