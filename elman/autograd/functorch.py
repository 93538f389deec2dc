"""The rule under torch.func: grad, vjp, jacrev and vmap, in any order, on the kernels."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman.autograd import levels, operator, rule
from elman.autograd.flat import Flat
from elman.autograd.mapped import map_backward, map_forward
from elman.autograd.rule import Back, Gradients
from elman.kernels import moment
from elman.kernels.problem import Problem, Run


def run(problem: Problem) -> tuple[Tensor, tuple[Tensor, ...]]:
    """output and the last states, under every transform that `levels` knows."""
    # views: nobody else holds what is saved of them, so nobody can replace it before the way back
    found = _forward(problem.with_inputs([t.view_as(t) for t in problem.inputs]))
    return found.output.clone(), found.last  # nor the output, whose own is kept; no level sees all writing to it


def _forward(problem: Problem) -> Run:
    """The run at the level where this is called."""
    form = Flat(problem)
    run: Run = _form_of_run(problem).of(levels.apply(_Forward, form, form.at(problem)))
    return run


def _form_of_run(problem: Problem) -> Flat:
    any_tensor = problem.x
    saved = (any_tensor,) * (1 + len(problem.cell.saved))
    return Flat(Run(any_tensor, (any_tensor,) * len(problem.cell.states), saved))


def _backward(problem: Problem, back: Back, needs: tuple[bool, ...], groups: int | None) -> Gradients:
    """The way back at the level where this is called, for autograd and vmap to go on with."""
    form = Flat((problem, back))
    found = iter(levels.apply(_Backward, _Way(form, needs, groups), form.at((problem, back))))
    return [next(found) if needed else None for needed in needs]


class _Way(NamedTuple):
    """What is the same for every mapped way back."""

    form: Flat
    """Of the pair (Problem, Back)."""
    needs: tuple[bool, ...]
    groups: int | None


class _Forward(torch.autograd.Function):
    """Of the tensors of a problem: those of its Run."""

    @staticmethod
    def forward(form: Flat, *tensors: Tensor) -> tuple[Tensor, ...]:
        problem: Problem = form.of(tensors)
        run = operator.forward if moment.obstacle() == moment.WATCHED else rule.forward
        return tuple(_form_of_run(problem).at(run(problem)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.form, *tensors = inputs
        ctx.form_of_run = _form_of_run(ctx.form.of(tensors))
        run: Run = ctx.form_of_run.of(output)
        ctx.save_for_backward(run.output, *run.saved, *tensors)
        ctx.mark_non_differentiable(*run.saved)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        at: Run = ctx.form_of_run.of(gradients)
        output, *kept = ctx.saved_tensors
        saved, tensors = tuple(kept[: len(at.saved)]), kept[len(at.saved) :]
        problem: Problem = ctx.form.of(tensors)
        needs = tuple(map(bool, ctx.form.of(ctx.needs_input_grad[1:]).inputs))
        if forward_ad._current_level >= 0:  # a tangent to carry
            found = rule.by_hand(problem, at.output, at.last, needs)
        else:
            found = _backward(problem, Back(output, saved, at.output, at.last), needs, None)
        return None, *ctx.form.at(_gradients_at(problem, found))

    @staticmethod
    def vmap(info: Any, axes: Any, form: Flat, *tensors: Any) -> Any:
        return map_forward(_forward, info.batch_size, axes[1:], form, tensors)


def _gradients_at(problem: Problem, found: Gradients) -> Problem:
    """A record with gradients in the places of the inputs."""
    tables = {"lengths": None, "reset": None, "masks": None, "recurrent_masks": None}
    return problem._replace(**tables).with_inputs(found)  # type: ignore[arg-type]


class _Backward(torch.autograd.Function):
    """The backward pass as a function of its own. Its derivative is that of the pass in plain operators."""

    @staticmethod
    def forward(way: _Way, *tensors: Tensor) -> tuple[Tensor, ...]:
        problem, back = way.form.of(tensors)
        run = operator.backward if moment.obstacle() == moment.WATCHED else rule.backward
        found = run(problem, back, way.needs, way.groups)
        return tuple(g for g in found if g is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.way, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        way = ctx.way
        problem, back = way.form.of(ctx.saved_tensors)
        inputs, d_output, d_last = rule.differentiate_backward(
            problem, back.d_output, back.d_last, way.needs, way.groups, gradients
        )
        at_back = Back(None, (None,) * len(back.saved), d_output, d_last)  # type: ignore[arg-type]
        return None, *way.form.at((_gradients_at(problem, inputs), at_back))

    @staticmethod
    def vmap(info: Any, axes: Any, way: _Way, *tensors: Any) -> Any:
        def back(problem: Problem, back: Back, groups: int | None) -> Gradients:
            return _backward(problem, back, way.needs, groups)

        return map_backward(back, way.needs, way.groups, info.batch_size, axes[1:], way.form, tensors)
