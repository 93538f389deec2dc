"""The rule as operators of torch, `torch.ops.elman.rnn`, `gru`, `lstm`, `leaky`, `potential` and their backward passes:
what torch.compile, torch.export and every mode that watches operators see.

They are registered by `import elman` where torch is imported already, and else with the first name of elman's used.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._decomp import register_decomposition
from torch._library.autograd import Info, make_autograd_impl

from elman.autograd import flops, onnx, rule
from elman.autograd.flat import Flat
from elman.autograd.mapped import map_backward, map_forward
from elman.autograd.private import unpack_saved
from elman.autograd.rule import Back, Gradients
from elman.kernels import moment
from elman.kernels.cells import CELLS, Cell
from elman.kernels.numba_cpu.obstacle import PLAIN
from elman.kernels.problem import Problem, Run
from elman.kernels.shapes import checked

_LIBRARY: Any = torch.library.Library("elman", "FRAGMENT")  # type: ignore[no-untyped-call]


class _Layer:
    """The two operators of one class of layer, and how their arguments are a problem.

    Forward takes x, h0 (and c0), the weights, lengths, reset, masks, the nonlinearity where there is a choice,
    num_layers and bidirectional, recurrent_masks, and where the cell takes them leak and drive; it returns output, h_n
    (and c_n), the mark of the backend and what that saved.
    Backward takes the same, then output, saved, the gradients at output and the last states, needs and groups, and
    returns the gradients that are needed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.cells = {cell.nonlinearity: cell for cell in CELLS.values() if cell.layer == name}
        self.cell: Cell = next(iter(self.cells.values()))
        states = [f"{state}0" for state in self.cell.states]
        choice = ["nonlinearity"] if len(self.cells) > 1 else []
        names = ["x", *states, "weights", "lengths", "reset", "masks", *choice, "num_layers", "bidirectional"]
        self.terms = () if name == "rnn" else ("leak", "drive") if self.cell.leaks else ("leak",)
        later = ["recurrent_masks", *self.terms]
        make: Any = namedtuple  # its fields are known only now
        self.arguments = make("arguments", [*names, *later], defaults=[None] * len(later))
        kinds = {
            "x": "Tensor",
            "weights": "Tensor[]",
            "nonlinearity": "str",
            "num_layers": "int",
            "bidirectional": "bool",
        }
        taken = ", ".join(f"{kinds.get(name, 'Tensor?')} {name}" for name in names)
        by_name = ", ".join(f"Tensor? {name}=None" for name in later)
        gives = ["output", *(f"{state}_n" for state in self.cell.states), "mark", *self.cell.saved]
        given = ", ".join(f"Tensor {name}" for name in gives)
        gradients = ", ".join(f"Tensor? d_{name}" for name in gives[: 1 + len(states)])
        back = f"Tensor output, Tensor[] saved, {gradients}, bool[] needs, int? groups"
        tag = torch.Tag.pt2_compliant_tag
        _LIBRARY.define(f"{name}({taken}, {by_name}) -> ({given})", tags=tag)
        _LIBRARY.define(f"{name}_backward({taken}, {back}, {by_name}) -> Tensor[]", tags=tag)
        self.forward = getattr(torch.ops.elman, name).default
        self.backward = getattr(torch.ops.elman, f"{name}_backward").default
        self.count, self.later = len(names), len(later)

    # From arguments to records, and back.

    def problem(self, arguments: Sequence[Any]) -> Problem:
        given = self.arguments(*arguments)
        cell = self.cells.get(getattr(given, "nonlinearity", None))
        if cell is None:
            names = " or ".join(map(repr, self.cells))
            raise RuntimeError(f"Unknown nonlinearity '{given.nonlinearity}'. Select from {names}.")
        directions = 2 if given.bidirectional else 1
        count, left = divmod(len(given.weights), max(1, given.num_layers) * directions)
        projected = count % 2 == 1
        if given.num_layers < 1 or left or not 2 <= count <= 5 or (projected and len(cell.states) == 1):
            raise RuntimeError(
                f"elman::{self.name} takes w_ih, w_hh and with bias b_ih and b_hh for each of {given.num_layers} "
                f"layers and {directions} directions; got {len(given.weights)} weights."
            )
        states = tuple(state for state in given[1 : 1 + len(cell.states)] if state is not None)
        if len(states) not in (0, len(cell.states)):
            raise RuntimeError(f"elman::{self.name} takes all of {', '.join(given._fields[1:3])} or none of them.")
        form = cell, given.num_layers, directions, count > 3, projected
        terms = tuple(term for name in self.terms if (term := getattr(given, name)) is not None)
        if terms and given.leak is None:
            raise RuntimeError(f"elman::{self.name} takes a drive beside a leak.")
        of_steps = given.lengths, given.reset, given.masks
        problem = Problem(*form, given.x, states, tuple(given.weights), *of_steps)
        return problem._replace(terms=terms, recurrent_masks=given.recurrent_masks)

    def taken_of(self, problem: Problem) -> tuple[Any, ...]:
        states = problem.states or (None,) * len(self.cell.states)
        choice = () if len(self.cells) == 1 else (problem.cell.nonlinearity,)
        tensors = (problem.x, *states, list(problem.weights), problem.lengths, problem.reset, problem.masks)
        terms = (*problem.terms, *[None] * (len(self.terms) - len(problem.terms)))
        later = problem.recurrent_masks, *terms
        return (*tensors, *choice, problem.num_layers, problem.num_directions == 2, *later)

    def run(self, given: Sequence[Any]) -> Run:
        count = 1 + len(self.cell.states)
        return Run(given[0], tuple(given[1:count]), tuple(given[count:]))

    def back(self, arguments: Sequence[Any]) -> tuple[Problem, Back, tuple[bool, ...], int | None]:
        end = self.count + 5 + len(self.cell.states)
        output, saved, d_output, *d_last, needs, groups = arguments[self.count : end]
        back = Back(output, tuple(saved), d_output, tuple(d_last))
        return self._problem_of_back(arguments), back, tuple(needs), groups

    def taken_of_back(self, problem: Problem, back: Back, needs: Sequence[bool], groups: int | None) -> tuple[Any, ...]:
        given = back.output, list(back.saved), back.d_output, *back.d_last
        taken = self.taken_of(problem)
        return (*taken[: self.count], *given, list(needs), groups, *taken[self.count :])

    # What torch asks of an operator.

    def compute(self, *arguments: Any) -> tuple[Tensor, ...]:
        return _row(rule.forward(checked(self.problem(arguments)), True))

    def compute_back(self, *arguments: Any) -> list[Tensor]:
        problem, back, needs, groups = self.back(arguments)
        return [g for g in rule.backward(checked(problem), back, needs, groups, True) if g is not None]

    def fake(self, *arguments: Any) -> tuple[Tensor, ...]:
        _hold_no_meta(arguments)
        problem = checked(self.problem(arguments))
        x, cells = problem.x, problem.num_layers * problem.num_directions
        output = x.new_empty(*x.shape[:-1], problem.num_directions * problem.output_size)
        last = [x.new_empty(cells, x.shape[1], width) for width in problem.state_widths()]
        saved = [x.new_empty(shape) for shape in rule.saved_shapes(problem)]
        return (output, *last, torch.empty((), dtype=torch.bool, device="cpu"), *saved)

    def fake_back(self, *arguments: Any) -> list[Tensor]:
        _hold_no_meta(arguments)
        problem, _, needs, groups = self.back(arguments)
        checked(problem)
        apart = problem.sums_over_sequences()
        return [
            given.new_empty((groups, *given.shape) if sums and groups is not None else given.shape)
            for given, sums, needed in zip(problem.inputs, apart, needs, strict=True)
            if needed
        ]

    def in_pieces(self, *arguments: Any) -> tuple[Tensor, ...]:
        """What torch.onnx.export takes the operator apart into. Fake tensors ask too, wherever sizes are symbols."""
        if not torch.onnx.is_in_onnx_export():
            return self.fake(*arguments)
        output, last = onnx.run(self.problem(arguments))
        nothing = output.new_empty(0)
        return (output, *last, *[nothing] * (1 + len(self.cell.saved)))

    def save(self, ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        problem = self.problem(inputs)
        run = self.run(output)
        ctx.form = Flat((problem, run.saved))
        ctx.save_for_backward(run.output, *ctx.form.at((problem, run.saved)))
        ctx.mark_non_differentiable(*run.saved)
        ctx.set_materialize_grads(False)

    def differentiate(self, ctx: Any, d_output: Tensor | None, *rest: Tensor | None) -> tuple[Any, ...]:
        output, *tensors = unpack_saved(ctx, output=0)
        problem, saved = ctx.form.of(tensors)
        asked = self.arguments(*ctx.needs_input_grad[: self.count + self.later])
        states = asked[1 : 1 + len(problem.states)]
        terms = [getattr(asked, name) for name, _ in zip(self.terms, problem.terms, strict=False)]
        needs = (asked.x, *states, *asked.weights, *terms)
        if output is None:
            with torch.no_grad():
                output, _, saved = forward(problem)
        back = Back(output, saved, d_output, rest[: len(problem.cell.states)])
        return self.at_arguments(problem, backward(problem, back, needs, None))

    def at_arguments(self, problem: Problem, found: Gradients) -> tuple[Any, ...]:
        """Gradients at the problem's inputs, as those at forward's arguments."""
        after, end = 1 + len(problem.states), len(found) - len(problem.terms)
        gradients: dict[str, Any] = {"x": found[0], "weights": found[after:end]}
        gradients |= {f"{name}0": d for name, d in zip(self.cell.states, found[1:after], strict=False)}
        gradients |= dict(zip(self.terms, found[end:], strict=False))
        return tuple(gradients.get(name) for name in self.arguments._fields)

    def save_back(self, ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
        problem, back, ctx.needs, ctx.groups = self.back(inputs)
        kept = problem, back.d_output, back.d_last
        ctx.form, ctx.saved_count = Flat(kept), len(back.saved)
        ctx.save_for_backward(*ctx.form.at(kept))

    def differentiate_back(self, ctx: Any, gradients: list[Tensor]) -> tuple[Any, ...]:
        problem, d_output, d_last = ctx.form.of(ctx.saved_tensors)
        found = rule.differentiate_backward(problem, d_output, d_last, ctx.needs, ctx.groups, gradients)
        inputs, dd_output, dd_last = found
        at = self.at_arguments(problem, inputs)
        of_back = None, [None] * ctx.saved_count, dd_output, *dd_last, None, None
        return (*at[: self.count], *of_back, *at[self.count :])

    def map(self, info: Any, axes: Any, *arguments: Any) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
        problem, form = self.problem(arguments), Flat(self.problem(arguments))
        places = _unwrapped(form.at(self.problem(_with_axes(arguments, axes))))
        return map_forward(forward, info.batch_size, places, form, form.at(problem))

    def map_back(self, info: Any, axes: Any, *arguments: Any) -> tuple[list[Tensor], list[int]]:
        problem, back, needs, groups = self.back(arguments)
        form = Flat((problem, back))
        places = _unwrapped(form.at(self.back(_with_axes(arguments, axes))[:2]))

        def run(problem: Problem, back: Back, groups: int | None) -> Gradients:
            return backward(problem, back, needs, groups)

        tensors = form.at((problem, back))
        found, out = map_backward(run, needs, groups, info.batch_size, places, form, tensors)
        return list(found), list(out)

    def register(self) -> None:
        forward, backward = self.forward, self.backward
        for operator, compute, fake in (
            (forward, self.compute, self.fake),
            (backward, self.compute_back, self.fake_back),
        ):
            name = operator.name()
            _LIBRARY.impl(name, compute, "CompositeExplicitAutograd")
            torch.library.register_fake(name, fake, lib=_LIBRARY)
        register_decomposition(forward)(self.in_pieces)
        _register_autograd(forward, self.compute, self.differentiate, self.save)
        _register_autograd(backward, self.compute_back, self.differentiate_back, self.save_back)
        torch.library.register_vmap(forward.name(), self.map, lib=_LIBRARY)
        torch.library.register_vmap(backward.name(), self.map_back, lib=_LIBRARY)

    def _problem_of_back(self, arguments: Sequence[Any]) -> Problem:
        end = self.count + 5 + len(self.cell.states)
        return self.problem((*arguments[: self.count], *arguments[end:]))

    def formulas(self) -> dict[Any, Callable[..., int]]:
        back = getattr(torch.ops.elman, f"{self.name}_backward")
        return {getattr(torch.ops.elman, self.name): self.flops, back: self.flops_back}

    def flops(self, *arguments: Any, **_: Any) -> int:
        """Of shapes in the place of tensors."""
        return flops.forward(self.problem(arguments))

    def flops_back(self, *arguments: Any, **_: Any) -> int:
        problem, _back, needs, _groups = self.back(arguments)
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


def _register_autograd(
    operator: Any,
    compute: Callable[..., Any],
    differentiate: Any,
    save: Any,
) -> None:
    """What torch.library.register_autograd does, and a short way for a call that nothing differentiates or watches.

    torch goes through its dispatcher, in Python, a second time: 10 us a call. In a compiled graph all calls are such.
    """
    make: Callable[..., Any] = make_autograd_impl
    full = make(operator, Info(differentiate, save))
    count = len(operator._schema.arguments)

    def kernel(keys: Any, *given: Any) -> Any:
        # the dispatcher leaves out what ends like the defaults, None, and a list among them wants all gradients
        arguments = (*given, *[None] * (count - len(given)))
        if not torch.is_grad_enabled():
            if moment.obstacle() is None and all(map(_is_plain, arguments)):
                return compute(*arguments)
        elif moment.obstacle() is None:  # views: nobody else holds what is saved of them, nor can replace it
            arguments = tuple(map(_viewed, arguments))
        return full(keys, *arguments)

    _LIBRARY.impl(operator.name(), kernel, "Autograd", with_keyset=True)


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


_LAYERS = {name: _Layer(name) for name in dict.fromkeys(cell.layer for cell in CELLS.values())}
for _layer in _LAYERS.values():
    _layer.register()
flops.register({operator: f for layer in _LAYERS.values() for operator, f in layer.formulas().items()})


def forward(problem: Problem) -> Run:
    """The run, by the operator."""
    layer = _LAYERS[problem.cell.layer]
    return layer.run(layer.forward(*layer.taken_of(problem)))


def backward(problem: Problem, back: Back, needs: Sequence[bool], groups: int | None) -> Gradients:
    """The way back, by the operator."""
    layer = _LAYERS[problem.cell.layer]
    found = iter(layer.backward(*layer.taken_of_back(problem, back, needs, groups)))
    return [next(found) if needed else None for needed in needs]
