"""The backward pass by hand (kernels/reference/by_hand.py) beside the definition that autograd differentiates."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import CASES, Case, Values, assert_same
from problems import LAYERS, Given, given, kinds_of
from torch import Tensor

from elman.kernels.problem import Problem
from elman.kernels.reference import by_hand, loop

CELLS = list(LAYERS)
SOME = (*CASES[:4], *CASES[10:13])
EVERY = [(case, cell, kinds) for case in SOME for cell in CELLS for kinds in kinds_of(cell, case)]
SMALL = Case("two layers both ways: what is carried, up and down and between", 4, 4, 2, 3, L=2, D=2)


def backward(made: Given, groups: int | None = None) -> Values:
    """What it gives for every input, by name."""
    needs = [True] * len(made.problem.inputs)
    return made.named(by_hand.backward(made.problem, made.d_output, made.d_last, needs, groups))


def gradients(made: Given) -> Values:
    """The same, from the definition by autograd."""
    found = made.values(loop.forward(made.problem))
    return {name: value for name, value in found.items() if name.removeprefix("d") in made.names}


@pytest.mark.parametrize(("case", "cell", "kinds"), EVERY, ids=lambda value: getattr(value, "id", value))
def test_is_the_derivative_of_the_definition(case: Case, cell: str, kinds: str) -> None:
    made = given(case, cell, kinds)
    assert_same(backward(made), gradients(made))


@pytest.mark.parametrize("cell", CELLS)
def test_no_sequence_and_no_step(cell: str) -> None:
    for T, N in ((4, 0), (0, 3)):
        made = given(Case("nothing to run", T, N, 3, 5, L=2, D=2), cell, "lengths reset")
        assert_same(backward(made), gradients(made))


@pytest.mark.parametrize("cell", CELLS)
def test_computes_only_what_is_asked_for(cell: str) -> None:
    for kinds in ("plain", "from zero", *(["projected"] if cell == "lstm" else [])):
        made = given(SMALL, cell, kinds)
        every = backward(made)
        count = len(made.names)
        asked = [[i == place for i in range(count)] for place in range(count)]
        torch.manual_seed(0)
        asked += torch.randint(2, (20, count)).bool().tolist()
        for needs in asked:
            found = by_hand.backward(made.problem, made.d_output, made.d_last, needs)
            assert [d is not None for d in found] == needs
            values = made.named(found)
            assert_same(values, {name: every[name] for name in values})


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kinds", ["plain", "lengths reset dropout", "projected lengths"])
def test_groups_of_the_batch_get_weight_gradients_apart(cell: str, kinds: str) -> None:
    if kinds not in kinds_of(cell, SMALL) and cell != "lstm":
        kinds = "lengths"
    made = given(SMALL, cell, kinds)
    whole, problem = backward(made), made.problem
    N = problem.sequences
    for groups in (1, 2, N):
        found = backward(made, groups)
        parts = [backward(_part(made, slice(g * N // groups, (g + 1) * N // groups))) for g in range(groups)]
        for place, name in enumerate(made.names):
            of_batch = place <= len(problem.states)
            expected = whole[f"d{name}"] if of_batch else torch.stack([part[f"d{name}"] for part in parts])
            assert_same({name: found[f"d{name}"]}, {name: expected})


def _part(made: Given, batch: slice) -> Given:
    """Some of the sequences alone."""

    def some(tensor: Tensor | None, axis: int) -> Any:
        return None if tensor is None else tensor.movedim(axis, 0)[batch].movedim(0, axis)

    problem = made.problem
    part = problem._replace(
        x=some(problem.x, 1),
        states=tuple(some(s, 1) for s in problem.states),
        lengths=some(problem.lengths, 0),
        reset=some(problem.reset, 1),
        masks=some(problem.masks, 2),
    )
    return Given(part, some(made.d_output, 1), tuple(some(d, 1) for d in made.d_last), made.names)


class _ByHand(torch.autograd.Function):
    """A run whose backward pass is the one by hand."""

    @staticmethod
    def forward(ctx: Any, problem: Problem, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.problem = problem
        ctx.save_for_backward(*inputs)
        output, last, _ = loop.forward(problem.with_inputs(inputs))
        return output, *last

    @staticmethod
    def backward(ctx: Any, d_output: Tensor, *d_last: Tensor) -> Any:
        problem = ctx.problem.with_inputs(ctx.saved_tensors)
        return None, *by_hand.backward(problem, d_output, d_last, ctx.needs_input_grad[1:])


@pytest.mark.parametrize(
    ("cell", "kinds"),
    [("rnn_tanh", "reset dropout"), ("gru", "lengths reset"), ("lstm", "projected lengths reset dropout")],
)
def test_first_and_second_derivatives_are_those_of_differences(cell: str, kinds: str) -> None:
    made = given(Case("small: each number is moved", 2, 2, 2, 2, L=2), cell, kinds)
    inputs = [t.detach().nan_to_num().requires_grad_() for t in made.problem.inputs]

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        return _ByHand.apply(made.problem, *inputs)

    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


def again(first: Callable[[Given], Values], made: Given) -> Values:
    """The gradients of a penalty on first gradients, at the inputs and at the gradients from above."""
    above = [d.clone().requires_grad_() for d in (made.d_output, *made.d_last) if d is not None]
    rest = iter(above)
    d_output, *d_last = (None if d is None else next(rest) for d in (made.d_output, *made.d_last))
    found = first(Given(made.problem, d_output, tuple(d_last), made.names))
    penalty = sum(d.square().sum() for d in found.values())
    wanted = [*made.problem.inputs, *above]
    second = torch.autograd.grad(penalty, wanted, allow_unused=True, materialize_grads=True)
    return {f"{i}": d for i, d in enumerate(second)}


def differentiable_gradients(made: Given) -> Values:
    run = loop.forward(made.problem)
    pairs = [
        (r, d) for r, d in zip((run.output, *run.last), (made.d_output, *made.d_last), strict=True) if d is not None
    ]
    outputs, above = zip(*pairs, strict=True)
    return made.named(
        torch.autograd.grad(outputs, made.problem.inputs, above, create_graph=True, materialize_grads=True)
    )


@pytest.mark.parametrize(
    ("cell", "kinds"), [(cell, kinds) for cell in CELLS for kinds in kinds_of(cell, SMALL)], ids=str
)
def test_can_be_differentiated_again(cell: str, kinds: str) -> None:
    """Its own derivative, by autograd, is the second derivative of the definition."""
    made = given(SMALL, cell, kinds)
    assert_same(again(backward, made), again(differentiable_gradients, made))


@pytest.mark.parametrize("cell", CELLS)
def test_nan_from_above_at_the_padding_reaches_nothing(cell: str) -> None:
    made = given(SMALL, cell, "lengths dropout")
    past = torch.arange(SMALL.T).unsqueeze(1) >= made.problem.lengths
    assert past.any()
    spoilt = replace(made, d_output=made.d_output.masked_fill(past.unsqueeze(-1), torch.nan))
    assert_same(backward(spoilt), backward(made))
    assert_same(again(backward, spoilt), again(backward, made))


def test_a_state_that_overflows_at_the_end_reaches_no_gradient_through_the_padding() -> None:
    """The padding starts from it, with a gradient of zero, and zero times infinity is NaN."""
    made = given(Case("one sequence and its padding", 4, 1, 2, 3), "rnn_relu")
    x, h_0, w_ih, *others = (t.detach() for t in made.problem.inputs)
    x, w_ih = x / 1e155, w_ih * 1e155
    x[2, 0, 0], x[2, 0, 1] = 1e155, 0
    problem = made.problem.with_inputs([t.requires_grad_() for t in (x, h_0, w_ih, *others)])
    padded = replace(made, problem=problem._replace(lengths=torch.tensor([3])))
    short = replace(made, problem=problem._replace(x=problem.x[:3]), d_output=made.d_output[:3])
    assert loop.forward(short.problem).last[0].isinf().any()
    expected = backward(short)
    assert all(value.isfinite().all() for value in expected.values())
    for actual in (backward(padded), gradients(padded)):
        assert not actual["dx"][3].any()
        assert_same(actual | {"dx": actual["dx"][:3]}, expected)


@pytest.mark.parametrize("cell", CELLS)
def test_every_transform_sees_through(cell: str) -> None:
    """jvp and vmap over the gradients from above: a pass backward is linear in them."""
    made = given(SMALL, cell, "lengths reset")
    names = list(backward(made))

    def run(*above: Tensor) -> Sequence[Tensor]:
        found = by_hand.backward(made.problem, above[0], above[1:], [True] * len(made.names))
        return [d for d in found if d is not None]

    above = (made.d_output, *made.d_last)
    others = tuple(torch.randn_like(d) for d in above)
    expected = dict(zip(names, run(*others), strict=True))
    _, tangents = torch.func.jvp(lambda *above: tuple(run(*above)), above, others)
    assert_same(dict(zip(names, tangents, strict=True)), expected)
    both = torch.func.vmap(lambda *above: tuple(run(*above)))(
        *(torch.stack(p) for p in zip(above, others, strict=True))
    )
    assert_same({name: d[1] for name, d in zip(names, both, strict=True)}, expected)


@pytest.mark.parametrize("cell", CELLS)
def test_autocast_does_not_shorten_it(cell: str) -> None:
    made = given(SMALL, cell, "lengths", torch.float32)
    expected = backward(made)
    with torch.autocast("cpu", torch.bfloat16):
        found = backward(made)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
