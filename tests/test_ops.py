"""torch.ops.elman: what torch's own checks of an operator ask, the numbers of the layer, and torch's count of flops."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from cases import CASES, Case, assert_same, cotangent, detached, gated, states_of
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
GATED = [
    *(f"{cell} {kinds}" for cell in ("gru", "lstm") for kinds in KINDS if "relu" not in kinds),
    "gru no bias",
    "lstm projected lengths reset",
    "lstm projected dropout from zero",
]


class Made(NamedTuple):
    """What the operators of a layer are given, and what that is as a problem."""

    name: str
    problem: Problem

    @property
    def forward(self) -> Any:
        return getattr(torch.ops.elman, self.name)

    @property
    def backward(self) -> Any:
        return getattr(torch.ops.elman, f"{self.name}_backward")

    @property
    def rest(self) -> tuple[Any, ...]:
        """The arguments after the weights."""
        problem = self.problem
        choice = () if problem.cell.nonlinearity is None else (problem.cell.nonlinearity,)
        return problem.lengths, problem.reset, problem.masks, *choice, problem.num_layers, True

    def arguments(self, *inputs: Tensor) -> tuple[Any, ...]:
        """Those of the forward operator, with these inputs or the problem's own."""
        problem = self.problem.with_inputs(inputs or self.problem.inputs)
        states = problem.states or (None,) * len(problem.cell.states)
        return problem.x, *states, list(problem.weights), *self.rest

    def arguments_back(self, groups: int | None = None) -> tuple[Any, ...]:
        """Those of the backward operator."""
        output, *others = self.forward(*self.arguments())
        count = len(self.problem.cell.states)
        above = [torch.randn_like(y).requires_grad_() for y in (output, *others[:count])]
        saved = [a.detach() for a in others[count:]]
        return *self.arguments(), output.detach(), saved, *above, [True] * len(self.problem.inputs), groups


def given(kinds: str, dtype: torch.dtype = torch.float32) -> Made:
    """Two layers both ways."""
    torch.manual_seed(5)
    name = next((name for name in ("gru", "lstm") if name in kinds), "rnn")
    H, T, N = 4, 0 if "no steps" in kinds else 3, 0 if "no sequences" in kinds else 2
    options: dict[str, Any] = {"bias": "no bias" not in kinds, "bidirectional": True, "dtype": dtype}
    if "projected" in kinds:
        options["proj_size"] = 3
    layer = getattr(elman, name.upper())(3, H, 2, **options)
    P = layer.proj_size or H
    x = torch.randn(T, N, 3, dtype=dtype, requires_grad=True)
    widths = () if "zero" in kinds else (P, H) if name == "lstm" else (H,)
    masks = 2 * (torch.rand(1, T, N, 2 * P) < 0.5).to(dtype) if "dropout" in kinds else None
    cell = CELLS[name if name != "rnn" else "rnn_relu" if "relu" in kinds else "rnn_tanh"]
    return Made(
        name,
        Problem(
            cell,
            2,
            2,
            layer.bias,
            layer.proj_size > 0,
            x,
            tuple(torch.randn(4, N, width, dtype=dtype, requires_grad=True) for width in widths),
            tuple(layer.parameters()),
            lengths=torch.tensor([2, 0]) if "lengths" in kinds else None,
            reset=torch.rand(T, N) < 0.3 if "reset" in kinds else None,
            masks=masks,
        ),
    )


@pytest.mark.parametrize("kinds", [*KINDS, *GATED])
def test_opcheck_of_the_forward_is_clean(kinds: str) -> None:
    made = given(kinds)
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    if kinds not in GATED or "lengths reset" in kinds:  # traces the gradient, which takes a second
        checks.append("test_aot_dispatch_dynamic")
    opcheck(made.forward.default, made.arguments(), test_utils=checks)


@pytest.mark.parametrize("groups", [None, 2])
@pytest.mark.parametrize("kinds", [*KINDS, *GATED])
def test_opcheck_of_the_backward_is_clean(kinds: str, groups: int | None) -> None:
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    if kinds == "lengths reset" and groups is None:  # traces the second derivative, which takes seconds
        checks.append("test_aot_dispatch_dynamic")
    made = given(kinds)
    opcheck(made.backward.default, made.arguments_back(groups), test_utils=checks)


@pytest.mark.parametrize("kinds", [*KINDS, *GATED])
@pytest.mark.parametrize("backend", ["chosen", "reference", "torch"], indirect=True)
def test_operator_computes_the_layer(kinds: str, backend: str) -> None:
    """In float64, beside the definition differentiated by autograd."""
    if backend == "torch" and ("reset" in kinds or "no steps" in kinds):
        pytest.skip("torch's operators know no reset and refuse T = 0")
    made = given(kinds, torch.float64)
    problem, count = made.problem, 1 + len(made.problem.cell.states)
    found = made.forward(*made.arguments())[:count]
    run = loop.forward(problem)
    wanted = {str(i): t for i, t in enumerate(problem.inputs)}
    torch.manual_seed(6)
    cotangents = [cotangent(y) for y in found]
    results = []
    for row in (found, (run.output, *run.last)):
        gradients = torch.autograd.grad(list(row), list(wanted.values()), cotangents, materialize_grads=True)
        named = dict(zip(("output", *problem.cell.states), row, strict=True))
        results.append(named | dict(zip(wanted, gradients, strict=True)))
    assert_same(*results)


@pytest.mark.parametrize("kinds", ["lengths reset", "gru lengths reset", "lstm projected lengths reset"])
def test_second_derivative_through_the_operators(kinds: str) -> None:
    made = given(kinds, torch.float64)

    def call(*inputs: Tensor) -> tuple[Tensor, ...]:
        return made.forward(*made.arguments(*inputs))[: 1 + len(made.problem.cell.states)]

    assert torch.autograd.gradgradcheck(call, made.problem.inputs, fast_mode=True)


@pytest.mark.parametrize("mapped", ["x", "h0", "weights", "everything"])
@pytest.mark.parametrize("kinds", ["lengths reset", "gru lengths reset", "lstm projected lengths reset"])
def test_vmap_of_the_operators_is_a_loop(kinds: str, mapped: str) -> None:
    torch.manual_seed(6)
    made = given(kinds)
    problem, count = made.problem, 1 + len(made.problem.cell.states)
    given_back = made.arguments_back()
    above, needs = given_back[-2 - count : -2], given_back[-2]
    names = ["x", *["h0"] * len(problem.states), *["weights"] * len(problem.weights)]
    runs = [
        [
            torch.randn_like(t) if mapped in (name, "everything") else t
            for t, name in zip(problem.inputs, names, strict=True)
        ]
        for _ in range(3)
    ]
    stacks = [torch.stack(ts) if ts[0] is not ts[1] else ts[0] for ts in zip(*runs, strict=True)]
    axes = tuple(0 if a is not b else None for a, b in zip(*runs[:2], strict=True))

    def forward(*inputs: Tensor) -> Any:
        found = made.forward(*made.arguments(*inputs))
        return *found[:count], *found[count + 1 :]  # not the mark, which holds the seal of all runs

    def backward(*inputs: Tensor) -> Any:
        output, *others = made.forward(*made.arguments(*inputs))
        saved = others[count - 1 :]
        return made.backward(*made.arguments(*inputs), output, saved, *above, needs, None)

    with torch.no_grad():
        for function in (forward, backward):
            expected = [torch.stack(parts) for parts in zip(*(function(*run) for run in runs), strict=True)]
            torch.testing.assert_close(list(vmap(function, axes)(*stacks)), expected)


NEEDS = ["x h0 weights", "weights", "x", "h0", "h0 weights", "weight_hh_l1", "bias_ih_l0", "weight_hr_l0"]
OF_FLOPS = (CASES[0], CASES[3], CASES[10], CASES[13], *gated(CASES[3], CASES[10], CASES[13]))


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("case", OF_FLOPS, ids=lambda case: case.id)
def test_flops_are_torchs(case: Case, needs: str) -> None:
    """Forward and backward, for every choice of what is differentiated."""
    if not hasattr(case.layer(torch.nn), needs) and "_l" in needs:
        pytest.skip("the layer has no such parameter")
    layer, dtype = case.layer(torch.nn), torch.float32
    if case.cell == "LSTM" and not case.P:  # torch counts nothing of what oneDNN computes, which is float32 alone
        layer, dtype = case.layer(torch.nn, torch.float64), torch.float64
    for name, p in layer.named_parameters():
        p.requires_grad_("weights" in needs or name == needs)
    x, hx = case.input(dtype).detach(), detached(case.hx(dtype))
    x = (x.transpose(0, 1) if case.batch_first else x).requires_grad_("x" in needs.split())
    for state in states_of(hx):
        state.requires_grad_("h0" in needs)
    choice = (case.nonlinearity,) if case.cell == "RNN" else ()
    rest = (list(layer.parameters()), None, None, None, *choice, case.L, case.D == 2)
    counts: list[list[int]] = []
    calls: list[Callable[[], Any]] = [
        lambda: flat(layer(x.transpose(0, 1) if case.batch_first else x, hx)),
        lambda: getattr(torch.ops.elman, case.cell.lower())(x, *states_of(hx), *rest)[: 1 + len(states_of(hx))],
    ]
    for call in calls:
        with FlopCounterMode(display=False) as forward:
            results = call()
        with FlopCounterMode(display=False) as backward:
            sum(y.sum() for y in results).backward()
        counts.append([forward.get_total_flops(), backward.get_total_flops()])
    assert counts[1] == counts[0]
    assert min(counts[0]) > 0


def flat(results: tuple[Tensor, Any]) -> tuple[Tensor, ...]:
    return results[0], *states_of(results[1])


def test_bad_lengths_are_refused_by_the_operator() -> None:
    for cell in ("", "gru ", "lstm "):
        made = given(f"{cell}plain")
        arguments = list(made.arguments())
        arguments[2 + len(made.problem.states)] = torch.tensor([1, 9])
        with pytest.raises(ValueError, match=r"lengths\[1\] = 9.*time 3, batch 2"):
            made.forward(*arguments)


def test_arguments_that_do_not_fit_are_refused_by_the_operator() -> None:
    made = given("lstm plain")
    x, h0, c0, weights, *rest = made.arguments()
    for arguments, words in (
        ((x, h0, None, weights, *rest), "takes all of h0, c0 or none of them"),
        ((x, c0[:, :1], c0, weights, *rest), r"h0 should have the shape \(4, 2, 4\)"),
        ((x, h0, c0[..., :3], weights, *rest), r"c0 should have the shape \(4, 2, 4\)"),
        ((x, h0, c0, weights[:-1], *rest), "15 weights"),
    ):
        with pytest.raises(RuntimeError, match=words):
            made.forward(*arguments)


def test_an_input_without_numbers_adds_nothing() -> None:
    """torch's layers refuse it; the operator takes any width."""
    w_hh, b_ih, b_hh = torch.randn(4, 4), torch.randn(4), torch.randn(4)
    weights = [torch.empty(4, 0), w_hh, b_ih, b_hh]
    with_zeros = [torch.zeros(4, 1), w_hh, b_ih, b_hh]
    results = []
    for inputs, given in ((0, weights), (1, with_zeros)):
        given = [w.clone().requires_grad_() for w in given]
        output = torch.ops.elman.rnn(torch.zeros(3, 2, inputs), None, given, None, None, None, "tanh", 1, False)[0]
        results.append([output, *torch.autograd.grad(output.sum(), given)[1:]])
    torch.testing.assert_close(*results)
