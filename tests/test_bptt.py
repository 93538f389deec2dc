"""The backward pass by hand (kernels/bptt.py) beside the definition that autograd differentiates, in float64."""

import pytest
import torch
from cases import CASES, Case, assert_same
from torch import Tensor

import elman
from elman.kernels import _old_bptt as bptt, _old_reference as reference
from elman.kernels._old_problem import Problem

DTYPE = torch.float64


def given(case: Case, kinds: str) -> tuple[Problem, Tensor, Tensor | None, list[Tensor], Tensor | None, Tensor | None]:
    """A problem of a case with what `kinds` names, its tensors, and gradients at output and h_n."""
    torch.manual_seed(5)
    T, N = case.T, case.N
    lengths = torch.randint(0, T + 1, (N,)) if "lengths" in kinds else None
    reset = torch.rand(T, N) < 0.3 if "reset" in kinds else None
    masks = 2.0 * (torch.rand(case.L - 1, T, N, case.D * case.H) < 0.5).to(DTYPE) if "dropout" in kinds else None
    problem = Problem(case.nonlinearity, case.L, case.D, case.bias, lengths, reset, masks)
    weights = list(case.layer(elman.RNN, DTYPE).parameters())
    x = torch.randn(T, N, case.I, dtype=DTYPE)
    if lengths is not None:
        x[torch.arange(T).unsqueeze(1) >= lengths] = torch.nan  # padding reaches nothing
    d_output = None if "h_n" in kinds else torch.randn(T, N, case.D * case.H, dtype=DTYPE)
    d_h_n = None if "output" in kinds else torch.randn(case.L * case.D, N, case.H, dtype=DTYPE)
    x.requires_grad_()
    return problem, x, None if "zero" in kinds else case.h0(DTYPE), weights, d_output, d_h_n


KINDS = ["plain", "from zero", "output only", "h_n only", "lengths", "reset", "lengths reset dropout"]
SOME = (*CASES[:4], *CASES[10:13], CASES[15])


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("case", SOME, ids=lambda case: case.id)
def test_is_the_derivative_of_the_definition(case: Case, kinds: str) -> None:
    problem, x, h0, weights, d_output, d_h_n = given(case, kinds)
    needs = (True, h0 is not None, *[True] * len(weights))
    arguments = (problem, x, h0, weights, (), d_output, d_h_n, needs)
    with torch.no_grad():
        ours, expected = bptt.rnn_backward(*arguments), reference.rnn_backward(*arguments)
    names = ["dx", "dh0", *(f"dw{i}" for i in range(len(weights)))]
    assert (ours[1] is None) == (expected[1] is None) == (h0 is None)
    pairs = zip(names, ours, expected, strict=True)
    kept = {name: (a, b) for name, a, b in pairs if a is not None}
    assert_same({name: a for name, (a, _) in kept.items()}, {name: b for name, (_, b) in kept.items()})


def test_computes_only_what_is_asked_for() -> None:
    problem, x, h0, weights, d_output, d_h_n = given(CASES[0], "plain")
    for place in range(2 + len(weights)):
        needs = tuple(i == place for i in range(2 + len(weights)))
        found = bptt.rnn_backward(problem, x, h0, weights, (), d_output, d_h_n, needs)
        assert [g is not None for g in found] == list(needs)


@pytest.mark.parametrize("kinds", KINDS)
def test_can_be_differentiated_again(kinds: str) -> None:
    """Its own derivative, by autograd, is the second derivative of the definition."""
    case = CASES[12]
    problem, x, h0, weights, d_output, d_h_n = given(case, kinds)
    tensors = [x, h0, *weights, d_output, d_h_n]
    results = []
    for kernels in (bptt, reference):
        leaves = [None if t is None else t.detach().requires_grad_() for t in tensors]
        a_x, a_h0, *a_weights, a_output, a_h_n = leaves
        needs = (True, h0 is not None, *[True] * len(weights))
        first = kernels.rnn_backward(problem, a_x, a_h0, a_weights, (), a_output, a_h_n, needs)
        penalty = sum(g.square().sum() for g in first if g is not None)
        wanted = {str(i): t for i, t in enumerate(leaves) if t is not None}
        second = torch.autograd.grad(penalty, list(wanted.values()), allow_unused=True, materialize_grads=True)
        results.append(dict(zip(wanted, second, strict=True)))
    assert_same(*results)
    assert any(g.any() for g in results[0].values())
