"""The recurrence as one loop over layers, directions and time, for any cell. Differentiable, never optimised."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from elman.kernels.problem import Problem, Run, Weights
from elman.kernels.reference.cells import EQUATIONS, States, Step, blend
from elman.kernels.reference.packed import Packing

Keep = Callable[[int, int, int, Step], None]
"""Called with the layer, the direction, the step in time and what was computed there."""


def forward(problem: Problem, save: bool = False, keep: Keep | None = None) -> Run:
    """Runs every layer. Nothing is saved, since autograd goes through it by itself.

    `keep`, where given, is called with the terms of every step of padded input.
    """
    if problem.batch_sizes is not None:
        packing = Packing(problem.batch_sizes, problem.x.device)
        run = forward(packing.pad_problem(problem))
        return run._replace(output=packing.pack(run.output))
    if problem.x.shape[0] == 0:
        return _no_step(problem)
    inputs, last = run_layers(problem, starts_of(problem), keep)
    return Run(inputs[-1], tuple(torch.stack(of_state) for of_state in zip(*last, strict=True)))


def starts_of(problem: Problem) -> list[States]:
    """The states before the first step of each direction of each layer, of a padded problem."""
    if problem.states:
        return list(zip(*problem.states, strict=True))
    start = tuple(problem.x.new_zeros(problem.x.shape[1], width) for width in problem.state_widths())
    return [start] * (problem.num_layers * problem.num_directions)


def run_layers(problem: Problem, starts: list[States], keep: Keep | None) -> tuple[list[Tensor], list[States]]:
    """What each layer reads, (T, N, K), with the output of the last behind it; and the states after each direction."""
    there = problem.where_there()
    inputs: list[Tensor] = []
    last: list[States] = []
    x = problem.x
    for layer in range(problem.num_layers):
        if layer > 0 and problem.masks is not None:
            x = x * problem.masks[layer - 1]
        if there is not None:
            x = torch.where(there, x, 0)  # what stands in the padding reaches nothing, NaN included
        inputs.append(x)
        outputs = []
        for d in range(problem.num_directions):
            start = starts[layer * problem.num_directions + d]
            kept = None if keep is None else partial(keep, layer, d)
            output, states = _run_direction(problem, x, there, start, layer, d, kept)
            outputs.append(output)
            last.append(states)
        x = torch.cat(outputs, -1)
    return [*inputs, x], last


def _run_direction(
    problem: Problem,
    x: Tensor,  # (T, N, K)
    there: Tensor | None,  # (T, N, 1)
    start: States,
    layer: int,
    direction: int,
    keep: Callable[[int, Step], None] | None,
) -> tuple[Tensor, States]:
    """output (T, N, P) and the last states of one direction of one layer."""
    equation, backwards = EQUATIONS[problem.cell.name], direction == 1
    weights, place = problem.weights_of(layer, direction), layer * problem.num_directions + direction
    leak, drive = (term_of(term, place, there) for term in (problem.leak, problem.drive))
    steps = x.shape[0]
    input_terms = x @ weights.w_ih.T
    v = of_input(input_terms, weights, problem, drive)
    leak_at = None if leak is None else leak.expand(steps, -1, problem.leak_width()).unbind()
    states = start
    outputs = [start[0]] * steps
    v_at = v.unbind()  # a trace then refuses another T, where v[t] would leave out what is past the example's
    for s, t in enumerate(reversed(range(steps)) if backwards else range(steps)):
        before = states
        edge = t + 1 if backwards else t  # backwards, the piece that starts at t + 1 ends before t
        if problem.reset is not None and edge < steps:
            again = problem.reset[edge].unsqueeze(-1)
            before = tuple(torch.where(again, first, old) for first, old in zip(start, states, strict=True))
        if there is not None and s > 0:  # nor does a state that overflowed at the end: 0 times infinity is NaN
            before = tuple(torch.where(there[t], old, 0) for old in before)
        recurrent_term = dropped(before[0], problem, place) @ weights.w_hh.T
        computed = equation.step(v_at[t], complete(recurrent_term, weights, problem), before)
        h, *others = computed.states
        new = computed.states if weights.w_hr is None else (h @ weights.w_hr.T, *others)
        after = new if leak_at is None else blend(equation, new, before, leak_at[t])
        if keep is not None:
            terms = (input_terms[t], recurrent_term, computed.pre_activation, computed.gates)
            keep(t, Step(before, *terms, h, after, new))
        if there is None:
            states, outputs[t] = after, after[0]
        else:
            states = tuple(torch.where(there[t], new, old) for new, old in zip(after, states, strict=True))
            outputs[t] = torch.where(there[t], after[0], 0)
    return torch.stack(outputs), states


def of_input(terms: Tensor, weights: Weights, problem: Problem, drive: Tensor | None) -> Tensor:
    """What stands beside the recurrent term: W_ih x with its biases, that of W_hh too where nothing multiplies it."""
    if weights.b_ih is not None:
        terms = terms + weights.b_ih
    if weights.b_hh is not None and not EQUATIONS[problem.cell.name].multiplies_u:
        terms = terms + weights.b_hh
    return terms if drive is None else terms + drive


def term_of(term: Tensor | None, place: int, there: Tensor | None) -> Tensor | None:
    """The leak or the drive of one direction of one layer, (T, N, .), each axis also 1."""
    if term is None:
        return None
    own = term[place if term.shape[0] > 1 else 0]
    if there is None or own.shape[:2] == (1, 1):
        return own
    return torch.where(there, own, 0)  # what stands in the padding reaches nothing, NaN included


def dropped(before: Tensor, problem: Problem, place: int) -> Tensor:
    """h₋ as W_hh reads it in one direction of one layer."""
    return before if problem.recurrent_masks is None else before * problem.recurrent_masks[place]


def complete(recurrent_term: Tensor, weights: Weights, problem: Problem) -> Tensor:
    """u, from W_hh h₋."""
    if weights.b_hh is None or not EQUATIONS[problem.cell.name].multiplies_u:
        return recurrent_term
    return recurrent_term + weights.b_hh


def _no_step(problem: Problem) -> Run:
    """What T = 0 gives: no output, and the states that were there."""
    none = problem.x.new_zeros(*problem.x.shape[:2], problem.num_directions * problem.output_size)
    last = (torch.stack(of_state) for of_state in zip(*starts_of(problem), strict=True))
    return Run(none + zero_of(problem), tuple(states + zero_of(problem) for states in last))


def zero_of(problem: Problem) -> Tensor:
    """0, with a graph that holds every input: what T = 0 gives has one wherever a step would give it one."""
    return torch.stack([tensor[:0].sum() for tensor in problem.inputs]).sum()
