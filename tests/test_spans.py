"""How the kernels cut a run into pieces - spans of steps, groups of columns, chunks of sequences - changes nothing."""

import sys
from collections.abc import Iterator

import pytest
import torch
from cases import Case, assert_same
from plans import forget_plans
from torch import Tensor

import elman
from elman.kernels.cells import CELLS, Cell
from elman.kernels.numba_cpu import api
from elman.kernels.numba_cpu.plan import prepared
from elman.kernels.numba_cpu.plan import split as rules
from elman.kernels.numba_cpu.threads import team
from elman.kernels.problem import Problem
from elman.kernels.reference import by_hand

CASES = [
    Case("one direction", 11, 3, 4, 5),
    Case("one sequence, three layers", 23, 1, 3, 6, L=3),
    Case("both directions, three layers: two buffers between them", 10, 4, 3, 5, L=3, D=2),
    Case("both directions, two layers, relu", 9, 3, 3, 4, L=2, D=2, nonlinearity="relu"),
    Case("three panels of columns", 9, 2, 3, 75),
    Case("three panels of columns, both directions, three layers", 7, 2, 3, 76, L=3, D=2),
]


def _form(case: Case) -> tuple[Cell, int, int, bool, bool]:
    """What a problem of the case begins with."""
    return CELLS[f"rnn_{case.nonlinearity}"], case.L, case.D, case.bias, False


@pytest.fixture(params=[2, 3, 5])
def spans_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Spans of so many steps instead of about a thousand."""
    monkeypatch.setattr(prepared, "steps_of_a_span", lambda *sizes: request.param)
    monkeypatch.setattr(team, "_TEAM_WORK", 0)  # a second thread even for work as small as this
    monkeypatch.setattr(team, "_TEAM_STEP", 0)
    forget_plans()
    yield request.param
    forget_plans()


@pytest.fixture(params=["sequences", "pieces", "columns"])
def split(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the threads of the recurrence share, whatever the sizes; pieces: each sums its gradients at the weights. The
    caches are cleared by spans_of."""
    monkeypatch.setattr(rules, "_PIECE_ROWS", 0 if request.param == "pieces" else sys.maxsize)
    if request.param == "columns":
        monkeypatch.setattr(prepared, "shares_of_units", lambda *sizes: 2 if sizes[-1] > 1 else 0)
    else:
        monkeypatch.setattr(prepared, "shares_of_units", lambda *sizes: 0)
    return request.param


@pytest.mark.covering(3)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["whole", "lengths", "reset"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_gradients_however_it_is_cut(case: Case, kind: str, threads: int, split: str, spans_of: int) -> None:
    torch.set_num_threads(threads)
    assert team.threads_for(torch.get_num_threads(), 1, case.T, case.N) == threads
    options = {
        "whole": {},
        "lengths": {"lengths": torch.arange(case.N) * case.T // case.N},
        "reset": {"reset": torch.rand(case.T, case.N) < 0.3},
    }[kind]
    results = []
    for backend in ("numba", "reference"):
        layer, input, h0 = case.layer(elman.RNN, torch.float64), case.input(torch.float64), case.h0(torch.float64)
        layer.dropout = 0.5 if case.L > 1 else 0.0
        torch.manual_seed(5)
        with elman.use_backend(backend):
            output, h_n = layer(input, h0, **options)
        results.append(gradients(layer, input, h0, output, h_n))
    assert_same(*results)


def gradients(layer: torch.nn.Module, input: Tensor, h0: Tensor, output: Tensor, h_n: Tensor) -> dict[str, Tensor]:
    tensors = {"x": input, "h0": h0, **dict(layer.named_parameters())}
    found = torch.autograd.grad(output.sin().sum() + h_n.cos().sum(), list(tensors.values()))
    return {"output": output, "h_n": h_n} | {f"d{name}": g for name, g in zip(tensors, found, strict=True)}


@pytest.mark.covering(3)
@pytest.mark.parametrize("chunk", [1, 3, 12])
@pytest.mark.parametrize("groups", [1, 4, 12])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["whole", "lengths", "reset lengths", "from zero"])
@pytest.mark.parametrize("case", [CASES[2], CASES[3], CASES[4]], ids=lambda case: case.why)
def test_weight_gradients_of_groups_however_it_is_cut(
    case: Case, kind: str, threads: int, groups: int, chunk: int, spans_of: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of each group of neighbouring sequences apart, beside the pass in plain operators, for every tensor."""
    monkeypatch.setattr(prepared, "_CHUNK", chunk)
    torch.set_num_threads(threads)
    T, N, dtype = case.T, 12, torch.float64
    lengths = torch.randint(0, T + 1, (N,)) if "lengths" in kind else None
    reset = torch.rand(T, N) < 0.3 if "reset" in kind else None
    masks = 2.0 * (torch.rand(case.L - 1, T, N, case.D * case.H) < 0.5).to(dtype) if case.L > 1 else None
    weights = [w.detach() for w in case.layer(elman.RNN, dtype).parameters()]
    x, h0 = torch.randn(T, N, case.I, dtype=dtype), torch.randn(case.L * case.D, N, case.H, dtype=dtype)
    states = () if kind == "from zero" else (h0,)
    problem = Problem(*_form(case), x, states, tuple(weights), lengths, reset, masks)
    run = api.forward(problem, True)
    arguments = torch.randn_like(run.output), (torch.randn_like(run.last[0]),), (True,) * len(problem.inputs), groups
    ours = api.backward(problem, run.output, run.saved, *arguments)
    expected = by_hand.backward(problem, *arguments)
    assert ours[1 + len(states)].shape == (groups, case.H, case.I)
    names = ["dx", *["dh0"] * len(states), *(name for name, _ in case.layer(elman.RNN).named_parameters())]
    kept = [name for name, g in zip(names, expected, strict=True) if g is not None]
    assert_same(*({n: g for n, g in zip(names, found, strict=True) if n in kept} for found in (ours, expected)))


@pytest.mark.covering(3)
@pytest.mark.parametrize("groups", [None, 3])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["whole", "lengths", "reset lengths"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_a_batch_first_layer_is_read_where_it_lies(
    case: Case, kind: str, threads: int, groups: int | None, split: str, spans_of: int
) -> None:
    """x and the gradient at the output as (N, T, .) in memory give the bits that their copies in order give."""
    torch.set_num_threads(threads)
    T, N, D = case.T, 3, case.D
    lengths = torch.tensor([T - 2, T, 0]) if "lengths" in kind else None
    reset = torch.rand(T, N) < 0.3 if "reset" in kind else None
    weights = [w.detach() for w in case.layer(elman.RNN).parameters()]
    turned = [torch.randn(N, T, size).transpose(0, 1) for size in (case.I, D * case.H)]
    found = []
    for x, d_output in (turned, [t.contiguous() for t in turned]):
        problem = Problem(*_form(case), x, (), tuple(weights), lengths, reset)
        output, _, saved = api.forward(problem, True)
        for d_x in (False, True):
            needs = (d_x, *[True] * len(weights))
            found.append(api.backward(problem, output, saved, d_output, (None,), needs, groups))
    for ours, expected in zip(found[:2], found[2:], strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)
