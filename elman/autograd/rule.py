"""The rule of derivatives, for autograd, torch.func and the operators alike. They carry it out; it stands here.

- Forward runs on one backend. Which one it was, and what that one saves, is kept together, and the way back is its own:
  nothing is chosen again. What it saved is opaque to everybody else.
- What backward reads is what forward read: a node saves aliases or views, whose memory nobody else can replace.
- The output is in the user's hands. If it was written to before the way back, forward runs again.
- A gradient that somebody has to see through (create_graph, a tangent, a batch of gradients) is computed by hand in
  plain operators, from the inputs alone; so is the derivative of a backward pass, and the way back from a backend that
  kept nothing. torch's operators ask no tensor whether its memory is there: that is asked before them, and what they
  save for a further derivative is a copy, whose memory nobody else can take away.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman.autograd.private import inside
from elman.kernels.numba_cpu.memory import check_own_room, check_strided_room, fits, has_numbers
from elman.kernels.numba_cpu.obstacle import DTYPES, PLAIN
from elman.kernels.problem import Problem, Run
from elman.kernels.shapes import check_values
from elman.kernels.table import OWN, Backend, choose

Gradients = list[Tensor | None]
"""In the order of `problem.inputs`; None: not asked for."""


_NOT_OWN, _UNSEALED, _SEALED = range(3)
"""The last two bits of the mark of a backend, int64 on the CPU; the others are those of the seal, if there is one."""


class Back(NamedTuple):
    """What one way back is given besides the problem."""

    output: Tensor
    saved: tuple[Tensor | None, ...]
    """Of the backend; by `forward` of this module with the mark of the backend before it."""
    d_output: Tensor | None
    """The gradient at output."""
    d_last: tuple[Tensor | None, ...]
    """Those at the last states."""


def forward(problem: Problem, checked: bool = False, sealed: bool = False) -> Run:
    """One run for the operators and torch.func, which pass what is saved on as tensors.

    `saved` begins with the mark of the backend, and has the shapes of `saved_shapes` whatever the backend.
    `checked`: the weights are known to fit. `sealed`: the output itself comes into the user's hands.
    """
    check_values(problem)
    backend, _ = choose(problem)
    shapes, mark = saved_shapes(problem), _NOT_OWN
    if backend is not OWN:  # the others need not know of the weights
        output, last, _ = backend.kernels.forward(problem, True)
        saved: tuple[Tensor | None, ...] = (None,) * len(shapes)
    elif sealed:
        (output, last, saved), seal = OWN.kernels.forward_sealed(problem, checked, True)
        mark = seal | _SEALED
    else:
        output, last, saved = OWN.kernels.forward(problem, True, checked)
        mark = _UNSEALED
    there = problem.where_there()
    saved = tuple(_all_there(problem.x, there, a, shape) for a, shape in zip(saved, shapes, strict=True))
    return Run(output, last, (torch.tensor(mark, device="cpu"), *saved))


def saved_shapes(problem: Problem) -> tuple[tuple[int, ...], ...]:
    """The shapes of what `forward` saves besides the mark; (0,) of what is not there."""
    from elman.kernels.numba_cpu import saved

    shapes: Sequence[tuple[int, ...] | None] = (None,) * len(problem.cell.saved)
    if problem.x.is_cpu and problem.x.dtype in DTYPES and OWN.unavailable() is None:
        shapes = saved.saved_shapes(problem)
    return tuple((0,) if shape is None else shape for shape in shapes)


def empty_gradients(problem: Problem, needs: Sequence[bool], groups: int | None) -> list[Tensor]:
    """Those that `backward` gives of such inputs, in shape and place alone."""
    return [
        given.new_empty((groups, *given.shape) if sums and groups is not None else given.shape)
        for given, sums, needed in zip(problem.inputs, problem.sums_over_sequences(), needs, strict=True)
        if needed
    ]


def _all_there(x: Tensor, there: Tensor | None, array: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """The array with 0 where nothing was written: in the padding, or everywhere."""
    if array is None:
        return x.new_zeros(shape)
    return array if there is None or array.numel() == 0 else torch.where(there, array, 0)


def backward(
    problem: Problem, back: Back, needs: tuple[bool, ...], groups: int | None, checked: bool = False
) -> Gradients:
    """The gradients that are asked for, on the backend that ran `forward`.

    Args:
        problem: as forward saw it.
        back: with the mark of the backend first in `saved`.
        needs: for each of `problem.inputs`, whether its gradient is asked for.
        groups: of the batch, each of which gets weight gradients apart; None: it is not divided.
        checked: whether the weights are known to fit.
    """
    check_values(problem)
    if groups is not None and (groups < 1 or problem.sequences % groups):
        raise ValueError(f"a batch of {problem.sequences} sequences cannot be divided into {groups} groups.")
    mark, *saved = back.saved
    fits("the mark of forward", mark, (), problem.x, torch.int64)
    assert mark is not None
    check_own_room(mark)
    bits = int(mark.item())
    kind, seal = bits & 3, bits & ~3
    if kind == _NOT_OWN or OWN.obstacle(problem) is not None:
        return by_hand(problem, back.d_output, back.d_last, needs, groups)
    run = back.output, tuple(saved), back.d_output, back.d_last
    try:
        found = OWN.kernels.backward(problem, *run, needs, groups, checked, seal if kind == _SEALED else None)
    except OWN.kernels.OutputChanged:
        again = forward(problem, checked)
        return backward(problem, back._replace(output=again.output, saved=again.saved), needs, groups, checked)
    return [g if needed else None for g, needed in zip(found, needs, strict=True)]


def backward_on(
    backend: Backend,
    problem: Problem,
    output: Tensor | None,
    saved: Sequence[Tensor | None],
    seal: int,
    d_output: Tensor | None,
    d_last: tuple[Tensor | None, ...],
    needs: tuple[bool, ...],
    checked: bool,
) -> Gradients:
    """The way back for autograd itself, on the backend of forward.

    Where the output was written to, forward runs again: there is none if torch saw that, and where nobody did (`.data`,
    numpy), it has not the seal of forward.
    """
    kernels = backend.kernels
    if output is not None:
        try:
            return kernels.backward(problem, output, tuple(saved), d_output, d_last, needs, None, checked, seal)
        except kernels.OutputChanged:
            pass  # and nothing of it was used
    with torch.no_grad():
        output, _, saved = kernels.forward(problem, True, checked)
    return kernels.backward(problem, output, tuple(saved), d_output, d_last, needs, None, checked)


def by_hand(
    problem: Problem,
    d_output: Tensor | None,
    d_last: Sequence[Tensor | None],
    needs: Sequence[bool],
    groups: int | None = None,
) -> Gradients:
    """The gradients in plain operators, whose module is loaded when they are first asked for.

    Raises:
        RuntimeError: a tensor's memory was freed.
    """
    from elman.kernels.reference import by_hand

    for tensor in (*problem.inputs, *problem.tables, d_output, *d_last):
        if tensor is not None:
            _check_memory(inside(tensor))
    if torch.is_grad_enabled():
        tables = {name: _copy(getattr(problem, name)) for name in ("reset", "masks", "recurrent_masks")}
        problem = problem._replace(**tables).with_inputs([t.clone() for t in problem.inputs])  # type: ignore[arg-type]
        d_output, d_last = _copy(d_output), [*map(_copy, d_last)]
    return by_hand.backward(problem, d_output, d_last, needs, groups)


def _check_memory(tensor: Tensor) -> None:
    """Raises where a tensor has memory of its own, and its numbers end after it."""
    if type(tensor) in PLAIN and torch._C._has_storage(tensor) and not tensor.is_nested:
        check_strided_room(tensor)


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.clone()


def must_stay_visible(d_output: Tensor | None, d_last: tuple[Tensor | None, ...]) -> bool:
    """Whether autograd or a transform has to see what is done with these gradients."""
    return is_watched() or not all(map(has_numbers, (d_output, *d_last)))


def is_watched() -> bool:
    """Whether a way back has to be seen, whatever the gradients: by create_graph=True, or with a tangent to carry."""
    return torch.is_grad_enabled() or forward_ad._current_level >= 0


def differentiate_backward(
    problem: Problem,
    d_output: Tensor | None,
    d_last: tuple[Tensor | None, ...],
    needs: tuple[bool, ...],
    groups: int | None,
    gradients: Sequence[Tensor],
) -> tuple[Gradients, Tensor | None, tuple[Tensor | None, ...]]:
    """From gradients at what a backward pass gave (those that it needs) to those at `problem.inputs`, d_output and
    d_last."""
    arguments = (*problem.inputs, d_output, *d_last)
    count = len(problem.inputs)

    def plain(*present: Tensor) -> tuple[Tensor, ...]:
        rest = iter(present)
        given = [None if a is None else next(rest) for a in arguments]
        inputs = [t for t in given[:count] if t is not None]
        found = by_hand(problem.with_inputs(inputs), given[count], tuple(given[count + 1 :]), needs, groups)
        return tuple(g for g, needed in zip(found, needs, strict=True) if needed and g is not None)

    pull = torch.func.vjp(plain, *(a for a in arguments if a is not None))[1]
    found = iter(pull(tuple(gradients)))
    at = [None if a is None else next(found) for a in arguments]
    return at[:count], at[count], tuple(at[count + 1 :])
