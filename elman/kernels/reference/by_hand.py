"""The backward pass by hand (BPTT) in plain torch operators: README.md's equations, one step at a time, for any cell.

Every transform sees through it, and it can be differentiated again. It stands in where the gradients of fast kernels
are differentiated, and where a forward pass has no backward of its own.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from elman.kernels.problem import Problem, Weights
from elman.kernels.reference.cells import EQUATIONS, States, Step, unblend
from elman.kernels.reference.loop import complete, dropped, run_layers, starts_of, term_of, zero_of
from elman.kernels.reference.packed import Packing


def backward(
    problem: Problem,
    d_output: Tensor | None,  # (T, N, D * P), or packed
    d_last: Sequence[Tensor | None],  # of each state of the cell, (L * D, N, P or H)
    needs: Sequence[bool],  # for each of problem.inputs, whether its gradient is asked for
    groups: int | None = None,  # of the batch, each of which gets weight gradients apart: (groups, ...)
) -> list[Tensor | None]:
    """The gradients at problem.inputs.

    The states are computed again here, so that they depend visibly on the inputs. Where autocast is on, it is not for
    this: what computed in float32 forward does so backward.
    """
    device = problem.x.device.type
    with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():
        if problem.batch_sizes is None:
            return _backward(problem, d_output, d_last, needs, groups)
        packing = Packing(problem.batch_sizes, problem.x.device)
        d_output = None if d_output is None else packing.pad(d_output)
        d_x, *others = _backward(packing.pad_problem(problem), d_output, d_last, needs, groups)
        end = len(others) - len(problem.terms)
        d_terms = [None if d is None else packing.pack_term(d) for d in others[end:]]
        return [None if d_x is None else packing.pack(d_x), *others[:end], *d_terms]


def _backward(
    problem: Problem,
    d_output: Tensor | None,
    d_last: Sequence[Tensor | None],
    needs: Sequence[bool],
    groups: int | None,
) -> list[Tensor | None]:
    """The same of a padded problem."""
    if problem.x.shape[0] == 0:
        return _no_step(problem, d_last, needs, groups)
    directions, count = problem.num_directions, problem.weights_a_direction
    there = problem.where_there()
    starts = starts_of(problem)
    steps: list[dict[int, Step]] = [{} for _ in starts]

    def keep(layer: int, direction: int, t: int, step: Step) -> None:
        steps[layer * directions + direction][t] = step

    inputs, _ = run_layers(problem, starts, keep)

    d_x = d_output
    d_starts: list[States] = []
    d_weights: list[Tensor | None] = []
    d_terms: list[list[Tensor]] = [[] for _ in problem.terms]
    of_states = 1 + len(problem.states)
    for layer in reversed(range(problem.num_layers)):
        if d_x is not None and there is not None:
            d_x = torch.where(there, d_x, 0)
        d_outputs = [None] * directions if d_x is None else list(d_x.chunk(directions, -1))
        d_x = None
        for d in reversed(range(directions)):
            place = layer * directions + d
            own = problem.weights_of(layer, d)
            d_own = tuple(None if of_state is None else of_state[place] for of_state in d_last)
            rows = _recur(problem, there, steps[place], starts[place], place, d_outputs[d], d_own)
            for of_term, d_term in zip(d_terms, (rows.d_leak, rows.dv), strict=False):
                assert d_term is not None
                of_term.insert(0, d_term)
            d_starts = [rows.d_start, *d_starts]
            own_needs = needs[of_states + place * count : of_states + (place + 1) * count]
            d_weights = [*_weight_gradients(rows, inputs[layer], own, own_needs, groups), *d_weights]
            if layer > 0 or needs[0]:
                below = rows.dv @ own.w_ih
                d_x = below if d_x is None else d_x + below
        if d_x is not None and layer > 0 and problem.masks is not None:
            d_x = d_x * problem.masks[layer - 1]
    d_states = [
        torch.stack([d_start[i] for d_start in d_starts]) if needed else None
        for i, needed in enumerate(needs[1:of_states])
    ]
    d_of_terms = [
        summed(torch.stack(of_term), term, groups) if needed else None
        for of_term, term, needed in zip(d_terms, problem.terms, needs[of_states + len(d_weights) :], strict=True)
    ]
    return [d_x, *d_states, *d_weights, *d_of_terms]


def summed(d_term: Tensor, term: Tensor, groups: int | None) -> Tensor:
    """The gradient (L * D, T, N, .) at a term, summed over the axes where it is the same for all; of each group of the
    batch apart where that is one of them."""
    if groups is None or term.shape[2] > 1:
        whole: Tensor = d_term.sum_to_size(term.shape)
        return whole
    places, steps, sequences, width = d_term.shape
    apart = d_term.reshape(places, steps, groups, sequences // groups, width).movedim(2, 0)
    summed: Tensor = apart.sum_to_size((groups, *term.shape))
    return summed


class _Rows(NamedTuple):
    """What the weight gradients of one direction of one layer are made of, and the gradients at its first states."""

    dv: Tensor
    """(T, N, G * H)"""
    du: Tensor
    """(T, N, G * H): dv itself, where the cell does nothing but add v and u."""
    before: Tensor
    """(T, N, P): h₋ as W_hh reads it."""
    projection: tuple[Tensor, Tensor] | None
    """The gradient (T, N, P) at what w_hr gives, and what it reads, (T, N, H)."""
    d_leak: Tensor | None
    """(T, N, W)"""
    d_start: States


def _recur(
    problem: Problem,
    there: Tensor | None,  # (T, N, 1)
    steps: dict[int, Step],
    start: States,
    place: int,  # of the direction among those of all layers
    d_output: Tensor | None,  # (T, N, P)
    d_last: Sequence[Tensor | None],  # of each state, (N, P or H)
) -> _Rows:
    """Back through the steps of one direction of one layer."""
    equation = EQUATIONS[problem.cell.name]
    layer, direction = divmod(place, problem.num_directions)
    weights, backwards = problem.weights_of(layer, direction), direction == 1
    T = len(steps)
    leak = term_of(problem.leak, place, there)
    leak_at = None if leak is None else leak.expand(T, -1, problem.leak_width()).unbind()
    d_leak = [start[0]] * T
    dv, du, d_hidden = ([start[0]] * T for _ in range(3))
    d_start: States = tuple(torch.zeros_like(s) for s in start)
    d_states: States = tuple(zero if d is None else d for zero, d in zip(d_start, d_last, strict=True))
    for t in range(T) if backwards else reversed(range(T)):
        step = steps[t]
        dh = d_states[0] if d_output is None else d_states[0] + d_output[t]
        d_new, d_direct = (dh, *d_states[1:]), None
        if leak_at is not None:
            d_new, d_direct, d_leak[t] = unblend(equation, step, leak_at[t], d_new)
            dh = d_new[0]
        if weights.w_hr is not None:
            d_hidden[t] = dh if there is None else torch.where(there[t], dh, 0)
            dh = dh @ weights.w_hr
        u = complete(step.recurrent_term, weights, problem)
        found = equation.step_back(step, u, (dh, *d_new[1:]))
        dv[t] = found.dv if there is None else torch.where(there[t], found.dv, 0)
        du[t] = dv[t]
        if found.du is not None:
            du[t] = found.du if there is None else torch.where(there[t], found.du, 0)
        through = dropped(du[t] @ weights.w_hh, problem, place)
        d_before = (through if found.d_before is None else found.d_before + through, *found.d_others_before)
        if d_direct is not None:
            d_before = tuple(d + direct for d, direct in zip(d_before, d_direct, strict=True))
        if there is not None:  # in the padding the states are carried on
            d_before = tuple(torch.where(there[t], new, old) for new, old in zip(d_before, d_states, strict=True))
        edge = t + 1 if backwards else t
        if problem.reset is not None and edge < T:
            again = problem.reset[edge].unsqueeze(-1)
            again = again if there is None else again & there[t]
            d_start = tuple(d_0 + torch.where(again, d, 0) for d_0, d in zip(d_start, d_before, strict=True))
            d_before = tuple(torch.where(again, 0, d) for d in d_before)
        d_states = d_before

    in_time = [steps[t] for t in range(T)]
    rows_v = torch.stack(dv)
    return _Rows(
        dv=rows_v,
        du=torch.stack(du) if equation.multiplies_u else rows_v,
        before=torch.stack([dropped(step.before, problem, place) for step in in_time]),
        projection=None
        if weights.w_hr is None
        else (torch.stack(d_hidden), torch.stack([step.unprojected for step in in_time])),
        d_leak=None if leak is None else _in_padding_zero(torch.stack(d_leak), there),
        d_start=tuple(d_0 + d for d_0, d in zip(d_start, d_states, strict=True)),
    )


def _in_padding_zero(rows: Tensor, there: Tensor | None) -> Tensor:
    return rows if there is None else torch.where(there, rows, 0)


def _weight_gradients(
    rows: _Rows,
    x: Tensor,  # (T, N, K)
    weights: Weights,
    needs: Sequence[bool],
    groups: int | None,
) -> list[Tensor | None]:
    """Those of one direction of one layer: sums over all steps, or over those of each group apart."""
    dv = _flat(rows.dv, groups)
    du = dv if rows.du is rows.dv else _flat(rows.du, groups)
    products: list[tuple[Tensor, Tensor | None]] = [(dv, x), (du, rows.before)]  # of a gradient and what was read
    if weights.b_ih is not None:
        products += [(dv, None), (du, None)]
    if rows.projection is not None:
        dh, unprojected = rows.projection
        products.append((_flat(dh, groups), unprojected))
    return [
        None if not needed else d.sum(-2) if read is None else d.mT @ _flat(read, groups)
        for (d, read), needed in zip(products, needs, strict=True)
    ]


def _flat(tensor: Tensor, groups: int | None) -> Tensor:
    """(T, N, K) as (T * N, K), or as (groups, T * N / groups, K)."""
    steps, sequences, columns = tensor.shape
    if groups is None:
        return tensor.reshape(steps * sequences, columns)
    return tensor.reshape(steps, groups, sequences // groups, columns).transpose(0, 1).flatten(1, 2)


def _no_step(
    problem: Problem, d_last: Sequence[Tensor | None], needs: Sequence[bool], groups: int | None
) -> list[Tensor | None]:
    """What T = 0 gives: the last states are the first ones, and no weight was read."""
    leading = () if groups is None else (groups,)
    found = [
        torch.zeros_like(problem.x),
        *(torch.zeros_like(s) if d is None else d for s, d in zip(problem.states, d_last, strict=False)),
        *(w.new_zeros(*leading, *w.shape) for w in problem.weights),
        *(t.new_zeros(*(leading if t.shape[2] == 1 else ()), *t.shape) for t in problem.terms),
    ]
    return [d + zero_of(problem) if needed else None for d, needed in zip(found, needs, strict=True)]
