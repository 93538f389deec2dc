"""The rule as operators of torch, `torch.ops.elman.rnn`, `gru`, `lstm`, `leaky`, `potential` and their backward passes:
what torch.compile, torch.export and every mode that watches operators see. `registered.py` says how they are called.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._library.autograd import Info, make_autograd_impl

from elman.autograd import flops, onnx, rule
from elman.autograd.arguments import Arguments
from elman.autograd.flat import Flat
from elman.autograd.mapped import map_backward, map_forward
from elman.autograd.private import unpack_saved
from elman.autograd.registered import SIGNATURES
from elman.autograd.rule import Back, Gradients
from elman.kernels import moment
from elman.kernels.numba_cpu.obstacle import PLAIN
from elman.kernels.problem import Problem, Run
from elman.kernels.shapes import checked


class _Operator(ABC):
    """What torch asks of one operator of one class of layer."""

    def __init__(self, taken: Arguments, name: str) -> None:
        self.taken, self.call = taken, getattr(torch.ops.elman, name).default
        self._arguments = len(self.call._schema.arguments)

    def autograd(self, keys: Any, *given: Any) -> Any:
        """What torch.library.register_autograd does, and a short way for a call that nothing differentiates or watches.

        torch goes through its dispatcher, in Python, a second time: 10 us a call. In a compiled graph all calls are
        such.
        """
        # the dispatcher leaves out what ends like the defaults, None, and a list among them wants all gradients
        arguments = (*given, *[None] * (self._arguments - len(given)))
        if not torch.is_grad_enabled():
            if moment.obstacle() is None and all(map(_is_plain, arguments)):
                return self.compute(*arguments)
        elif moment.obstacle() is None:  # views: nobody else holds what is saved of them, nor can replace it
            arguments = tuple(map(_viewed, arguments))
        return self._torchs(keys, *arguments)

    @functools.cached_property
    def _torchs(self) -> Callable[..., Any]:
        make: Callable[..., Any] = make_autograd_impl
        made: Callable[..., Any] = make(self.call, Info(self.differentiate, self.save))
        return made

    @abstractmethod
    def compute(self, *arguments: Any) -> Any: ...

    @abstractmethod
    def save(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None: ...

    @abstractmethod
    def differentiate(self, ctx: Any, *gradients: Any) -> tuple[Any, ...]: ...


class _Forward(_Operator):
    def compute(self, *arguments: Any) -> tuple[Tensor, ...]:
        return _row(rule.forward(checked(self.taken.problem(arguments)), True, True))

    def fake(self, *arguments: Any) -> tuple[Tensor, ...]:
        _hold_no_meta(arguments)
        problem = checked(self.taken.problem(arguments))
        x, cells = problem.x, problem.num_layers * problem.num_directions
        output = x.new_empty(*x.shape[:-1], problem.num_directions * problem.output_size)
        last = [x.new_empty(cells, x.shape[1], width) for width in problem.state_widths()]
        saved = [x.new_empty(shape) for shape in rule.saved_shapes(problem)]
        return (output, *last, torch.empty((), dtype=torch.int64, device="cpu"), *saved)

    def in_pieces(self, *arguments: Any) -> tuple[Tensor, ...]:
        """What torch.onnx.export takes the operator apart into. Fake tensors ask too, wherever sizes are symbols."""
        if not torch.onnx.is_in_onnx_export():
            return self.fake(*arguments)
        output, last = onnx.run(self.taken.problem(arguments))
        nothing = output.new_empty(0)
        return (output, *last, *[nothing] * (1 + len(self.taken.cell.saved)))

    def save(self, ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        problem = self.taken.problem(inputs)
        run = self.taken.run(output)
        ctx.form = Flat((problem, run.saved))
        ctx.save_for_backward(run.output, *ctx.form.at((problem, run.saved)))
        ctx.mark_non_differentiable(*run.saved)
        ctx.set_materialize_grads(False)

    def differentiate(self, ctx: Any, d_output: Tensor | None, *rest: Tensor | None) -> tuple[Any, ...]:
        output, *tensors = unpack_saved(ctx, output=0)
        problem, saved = ctx.form.of(tensors)
        asked = self.taken.fields(*ctx.needs_input_grad[: self.taken.count + len(self.taken.later)])
        states = asked[1 : 1 + len(problem.states)]
        terms = [getattr(asked, name) for name, _ in zip(self.taken.terms, problem.terms, strict=False)]
        needs = (asked.x, *states, *asked.weights, *terms)
        if output is None:
            with torch.no_grad():
                output, _, saved = forward(problem)
        back = Back(output, saved, d_output, rest[: len(problem.cell.states)])
        return self.taken.at_arguments(problem, backward(problem, back, needs, None))

    def map(self, info: Any, axes: Any, *arguments: Any) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
        problem, form = self.taken.problem(arguments), Flat(self.taken.problem(arguments))
        places = _unwrapped(form.at(self.taken.problem(_with_axes(arguments, axes))))
        return map_forward(forward, info.batch_size, places, form, form.at(problem))

    def flops(self, *arguments: Any, **_: Any) -> int:
        """Of shapes in the place of tensors."""
        return flops.forward(self.taken.problem(arguments))


class _Backward(_Operator):
    def compute(self, *arguments: Any) -> list[Tensor]:
        problem, back, needs, groups = self.taken.back(arguments)
        return [g for g in rule.backward(checked(problem), back, needs, groups, True) if g is not None]

    def fake(self, *arguments: Any) -> list[Tensor]:
        _hold_no_meta(arguments)
        problem, _, needs, groups = self.taken.back(arguments)
        checked(problem)
        return rule.empty_gradients(problem, needs, groups)

    def save(self, ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
        problem, back, ctx.needs, ctx.groups = self.taken.back(inputs)
        kept = problem, back.d_output, back.d_last
        ctx.form, ctx.saved_count = Flat(kept), len(back.saved)
        ctx.save_for_backward(*ctx.form.at(kept))

    def differentiate(self, ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:
        problem, d_output, d_last = ctx.form.of(ctx.saved_tensors)
        found = rule.differentiate_backward(problem, d_output, d_last, ctx.needs, ctx.groups, gradients)
        inputs, dd_output, dd_last = found
        at = self.taken.at_arguments(problem, inputs)
        of_back = None, [None] * ctx.saved_count, dd_output, *dd_last, None, None
        return (*at[: self.taken.count], *of_back, *at[self.taken.count :])

    def map(self, info: Any, axes: Any, *arguments: Any) -> tuple[list[Tensor], list[int]]:
        problem, back, needs, groups = self.taken.back(arguments)
        form = Flat((problem, back))
        places = _unwrapped(form.at(self.taken.back(_with_axes(arguments, axes))[:2]))

        def run(problem: Problem, back: Back, groups: int | None) -> Gradients:
            return backward(problem, back, needs, groups)

        tensors = form.at((problem, back))
        found, out = map_backward(run, needs, groups, info.batch_size, places, form, tensors)
        return list(found), list(out)

    def flops(self, *arguments: Any, **_: Any) -> int:
        problem, _back, needs, _groups = self.taken.back(arguments)
        return flops.backward(problem, needs)


def _row(run: Run) -> tuple[Tensor, ...]:
    return (run.output, *run.last, *run.saved)  # type: ignore[arg-type]


def _unwrapped(places: Sequence[Any]) -> list[int | None]:
    return [place.axis for place in places]


class _At(NamedTuple):
    """The axis on which a tensor is mapped, in its place."""

    axis: int | None


def _with_axes(arguments: Sequence[Any], axes: Sequence[Any]) -> list[Any]:
    """The arguments with axes in the places of tensors."""
    return [
        [_At(axis) for axis in at]
        if isinstance(given, list) and given and isinstance(given[0], Tensor)
        else _At(at)
        if isinstance(given, Tensor)
        else given
        for given, at in zip(arguments, axes, strict=True)
    ]


def _hold_no_meta(arguments: Sequence[Any]) -> None:
    """Of one meta tensor among others torch takes all to be such: what is made then on x's device has no numbers."""
    tensors = [
        t for given in arguments for t in (given if isinstance(given, list) else [given]) if isinstance(t, Tensor)
    ]
    if not tensors[0].is_meta and any(t.is_meta for t in tensors):
        raise RuntimeError("Some of the tensors are on the meta device, which holds no numbers, and x is not.")


def _is_plain(given: Any) -> bool:
    """Whether an argument has no tensor of another kind or place, for which there may be another implementation."""
    if isinstance(given, Tensor):
        return type(given) in PLAIN and given.is_cpu
    return not isinstance(given, list) or all(map(_is_plain, given))


def _viewed(given: Any) -> Any:
    if isinstance(given, Tensor):
        return given.view_as(given)
    return [*map(_viewed, given)] if isinstance(given, list) else given


_FORWARD = {name: _Forward(Arguments(name), name) for name in SIGNATURES}
_BACKWARD = {name: _Backward(of.taken, f"{name}_backward") for name, of in _FORWARD.items()}
OPERATORS = {of.call._opname: of for of in (*_FORWARD.values(), *_BACKWARD.values())}


def forward(problem: Problem) -> Run:
    """The run, by the operator."""
    operator = _FORWARD[problem.cell.layer]
    return operator.taken.run(operator.call(*operator.taken.taken_of(problem)))


def backward(problem: Problem, back: Back, needs: Sequence[bool], groups: int | None) -> Gradients:
    """The way back, by the operator."""
    operator = _BACKWARD[problem.cell.layer]
    found = iter(operator.call(*operator.taken.taken_of_back(problem, back, needs, groups)))
    return [next(found) if needed else None for needed in needs]
