"""torch.ops.elman: what torch's own checks of an operator ask, the numbers of the layer, and torch's count of flops."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import CASES, Case, assert_same, cotangent
from torch import Tensor
from torch.func import vmap
from torch.library import opcheck
from torch.utils.flop_counter import FlopCounterMode

import elman
from elman.kernels.cells import CELLS
from elman.kernels.problem import Problem
from elman.kernels.reference import loop

elman.RNN  # noqa: B018 - the operators are registered with the first name used
KINDS = ["plain", "from zero", "lengths reset", "dropout", "relu, no bias", "no steps", "no sequences"]


def given(kinds: str, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    """The arguments of torch.ops.elman.rnn."""
    torch.manual_seed(5)
    layers, two, bias, H = 2, True, "no bias" not in kinds, 4
    T, N = 0 if "no steps" in kinds else 3, 0 if "no sequences" in kinds else 2
    layer = elman.RNN(3, H, layers, bias=bias, bidirectional=two, dtype=dtype)
    x = torch.randn(T, N, 3, dtype=dtype, requires_grad=True)
    h0 = None if "zero" in kinds else torch.randn(4, N, H, dtype=dtype, requires_grad=True)
    lengths = torch.tensor([2, 0]) if "lengths" in kinds else None
    reset = torch.rand(T, N) < 0.3 if "reset" in kinds else None
    masks = 2 * (torch.rand(1, T, N, 2 * H) < 0.5).to(dtype) if "dropout" in kinds else None
    relu = "relu" if "relu" in kinds else "tanh"
    return x, h0, list(layer.parameters()), lengths, reset, masks, relu, layers, two


def given_backward(kinds: str, groups: int | None = None) -> tuple[Any, ...]:
    """The arguments of torch.ops.elman.rnn_backward."""
    x, h0, weights, *problem = given(kinds)
    output, h_n, *saved = torch.ops.elman.rnn(x, h0, weights, *problem)
    d_output, d_h_n = (torch.randn_like(y).requires_grad_() for y in (output, h_n))
    needs = [True] * (1 + (h0 is not None) + len(weights))
    kept = [a.detach() for a in saved]
    return x, h0, weights, *problem, output.detach(), kept, d_output, d_h_n, needs, groups


@pytest.mark.parametrize("kinds", KINDS)
def test_opcheck_of_the_forward_is_clean(kinds: str) -> None:
    opcheck(torch.ops.elman.rnn.default, given(kinds))


@pytest.mark.parametrize("groups", [None, 2])
@pytest.mark.parametrize("kinds", KINDS)
def test_opcheck_of_the_backward_is_clean(kinds: str, groups: int | None) -> None:
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    if kinds == "lengths reset" and groups is None:  # traces the second derivative, which takes seconds
        checks.append("test_aot_dispatch_dynamic")
    opcheck(torch.ops.elman.rnn_backward.default, given_backward(kinds, groups), test_utils=checks)


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("backend", ["chosen", "reference", "torch"], indirect=True)
def test_operator_computes_the_layer(kinds: str, backend: str) -> None:
    """In float64, beside the definition differentiated by autograd."""
    if backend == "torch" and kinds in ("lengths reset", "no steps"):
        pytest.skip("torch's operators know no reset and refuse T = 0")
    x, h0, weights, *problem = given(kinds, torch.float64)
    output, h_n, *_ = torch.ops.elman.rnn(x, h0, weights, *problem)
    lengths, reset, masks, nonlinearity, layers, _ = problem
    states = () if h0 is None else (h0,)
    form = CELLS[f"rnn_{nonlinearity}"], layers, 2, len(weights) == 16, False
    run = loop.forward(Problem(*form, x, states, tuple(weights), lengths, reset, masks))
    expected = run.output, run.last[0]
    wanted = {str(i): t for i, t in enumerate((x, h0, *weights)) if t is not None}
    torch.manual_seed(6)
    cotangents = [cotangent(output), cotangent(h_n)]
    results = []
    for pair in ((output, h_n), expected):
        gradients = torch.autograd.grad(list(pair), list(wanted.values()), cotangents, materialize_grads=True)
        results.append({"output": pair[0], "h_n": pair[1]} | dict(zip(wanted, gradients, strict=True)))
    assert_same(*results)


def test_second_derivative_through_the_operators() -> None:
    x, h0, weights, *problem = given("lengths reset", torch.float64)

    def call(x: Tensor, h0: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ops.elman.rnn(x, h0, list(weights), *problem)[:2]

    assert torch.autograd.gradgradcheck(call, (x, h0, *weights), fast_mode=True)


@pytest.mark.parametrize("mapped", ["x", "h0", "weights", "everything"])
def test_vmap_of_the_operators_is_a_loop(mapped: str) -> None:
    torch.manual_seed(6)
    x, h0, weights, *problem, _, _, d_output, d_h_n, needs, groups = given_backward("lengths reset")
    names = ["x", "h0", *["weights"] * len(weights)]
    runs = [
        [
            torch.randn_like(t) if mapped in (name, "everything") else t
            for t, name in zip((x, h0, *weights), names, strict=True)
        ]
        for _ in range(3)
    ]
    stacks = [torch.stack(ts) if ts[0] is not ts[1] else ts[0] for ts in zip(*runs, strict=True)]
    axes = tuple(0 if a is not b else None for a, b in zip(*runs[:2], strict=True))

    def forward(x: Tensor, h0: Tensor, *weights: Tensor) -> Any:
        return torch.ops.elman.rnn(x, h0, list(weights), *problem)

    def backward(x: Tensor, h0: Tensor, *weights: Tensor) -> Any:
        output, _, *saved = forward(x, h0, *weights)
        given = output, saved, d_output, d_h_n, needs, groups
        return torch.ops.elman.rnn_backward(x, h0, list(weights), *problem, *given)

    with torch.no_grad():
        for function in (forward, backward):
            expected = [torch.stack(parts) for parts in zip(*(function(*run) for run in runs), strict=True)]
            torch.testing.assert_close(list(vmap(function, axes)(*stacks)), expected)


NEEDS = ["x h0 weights", "weights", "x", "h0", "h0 weights", "weight_hh_l1", "bias_ih_l0"]


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[10], CASES[13]], ids=lambda case: case.id)
def test_flops_are_torchs(case: Case, needs: str) -> None:
    """Forward and backward, for every choice of what is differentiated."""
    if not hasattr(case.layer(torch.nn.RNN), needs) and "_l" in needs:
        pytest.skip("the layer has no such parameter")
    layer = case.layer(torch.nn.RNN)
    for name, p in layer.named_parameters():
        p.requires_grad_("weights" in needs or name == needs)
    x, h0 = case.input().detach(), case.h0().detach()
    x = (x.transpose(0, 1) if case.batch_first else x).requires_grad_("x" in needs.split())
    h0.requires_grad_("h0" in needs)
    weights, two = list(layer.parameters()), case.D == 2
    problem = (None, None, None, case.nonlinearity, case.L, two)
    counts: list[list[int]] = []
    calls: list[Callable[[], Any]] = [
        lambda: layer(x.transpose(0, 1) if case.batch_first else x, h0),
        lambda: torch.ops.elman.rnn(x, h0, weights, *problem),
    ]
    for call in calls:
        with FlopCounterMode(display=False) as forward:
            output, h_n, *_ = call()
        with FlopCounterMode(display=False) as backward:
            (output.sum() + h_n.sum()).backward()
        counts.append([forward.get_total_flops(), backward.get_total_flops()])
    assert counts[1] == counts[0]
    assert min(counts[0]) > 0


def test_bad_lengths_are_refused_by_the_operator() -> None:
    x, h0, weights, _, *problem = given("plain")
    with pytest.raises(ValueError, match=r"lengths\[1\] = 9.*time 3, batch 2"):
        torch.ops.elman.rnn(x, h0, weights, torch.tensor([1, 9]), *problem)
