"""The layer in an ONNX model: one standard RNN, GRU or LSTM node for each layer, with T and N left open.

Of a layer that ONNX has no node for, or with zoneout or recurrent dropout, a Scan for each direction.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.kernels.cells import Cell
from elman.kernels.problem import Problem, Weights
from elman.kernels.reference.cells import EQUATIONS, States, blend
from elman.kernels.reference.loop import of_input, starts_of, term_of

_ORDER = {"rnn": ("h",), "gru": ("z", "r", "n"), "lstm": ("i", "o", "f", "g")}
"""The cells that ONNX has nodes for, and the gates as they have them; g is its c."""


def run(problem: Problem) -> tuple[Tensor, tuple[Tensor, ...]]:
    """output (T, N, D * H) and the last states (L * D, N, H) of nodes, for torch.onnx.export to write down."""
    if problem.reset is not None:
        raise ValueError(
            f"ONNX's {problem.cell.layer.upper()} node knows no reset: export without reset=, one step or one piece at "
            "a time with the state as input and output, and pass zeros for the state where it starts again."
        )
    if problem.terms or problem.recurrent_masks is not None or problem.cell.layer not in _ORDER:
        return _scans(problem)
    if problem.projected:
        raise ValueError("ONNX's LSTM node knows no projection: a layer with proj_size has no standard form there.")
    x, directions = problem.x, problem.num_directions
    found = []
    for layer in range(problem.num_layers):
        if layer > 0 and problem.masks is not None:
            x = x * problem.masks[layer - 1]
        own = slice(layer * directions, (layer + 1) * directions)
        starts = tuple(state[own] for state in problem.states)
        weights = [problem.weights_of(layer, d) for d in range(directions)]
        x, last = _layer(problem, x, starts, weights)
        found.append(last)
    return x, tuple(torch.cat(states) for states in zip(*found, strict=True))


def _scans(problem: Problem) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The definition's step in a Scan for each direction of each layer."""
    x, there = problem.x, problem.where_there()
    starts, last = starts_of(problem), []
    for layer in range(problem.num_layers):
        if layer > 0 and problem.masks is not None:
            x = x * problem.masks[layer - 1]
        outputs = []
        for d in range(problem.num_directions):
            place = layer * problem.num_directions + d
            output, states = _scan(problem, x, starts[place], layer, d, there)
            outputs.append(output)
            last.append(states)
        x = torch.cat(outputs, -1)
    return x, tuple(torch.stack(of_state) for of_state in zip(*last, strict=True))


def _scan(
    problem: Problem, x: Tensor, start: States, layer: int, direction: int, there: Tensor | None
) -> tuple[Tensor, States]:
    """output (T, N, P) and the last states of one direction of one layer."""
    from torch._higher_order_ops.scan import scan_op  # which only an export needs

    equation, weights = EQUATIONS[problem.cell.name], problem.weights_of(layer, direction)
    place, count = layer * problem.num_directions + direction, len(start)
    leak, drive = (term_of(term, place, there) for term in (problem.leak, problem.drive))
    v = of_input(x @ weights.w_ih.T, weights, problem, drive)
    shape = (*v.shape[:2], problem.leak_width())
    of_steps = [v, *([] if leak is None else [leak.expand(shape)]), *([] if there is None else [there])]
    if direction:
        of_steps = [rows.flip(0) for rows in of_steps]
    others = [w for w in (weights.b_hh, weights.w_hr) if w is not None]
    masks = [] if problem.recurrent_masks is None else [problem.recurrent_masks[place]]

    def step(*given: Tensor) -> tuple[Tensor, ...]:
        before, rest = given[:count], iter(given[count:])
        v_t = next(rest)
        leak_t = None if leak is None else next(rest)
        there_t = None if there is None else next(rest)
        w_hh = next(rest)
        b_hh = None if weights.b_hh is None else next(rest)
        w_hr = None if weights.w_hr is None else next(rest)
        read = before[0] if not masks else before[0] * next(rest)
        u = read @ w_hh.T
        if b_hh is not None and equation.multiplies_u:
            u = u + b_hh
        new = equation.step(v_t, u, before).states
        if w_hr is not None:
            new = (new[0] @ w_hr.T, *new[1:])
        after = new if leak_t is None else blend(equation, new, before, leak_t)
        output = after[0].clone()
        if there_t is not None:
            after = tuple(torch.where(there_t, state, old) for state, old in zip(after, before, strict=True))
            output = torch.where(there_t, output, 0)
        return (*after, output)

    found = scan_op(step, list(start), of_steps, [weights.w_hh, *others, *masks])
    output = found[count]
    return output.flip(0) if direction else output, tuple(found[:count])


def in_order(cell: Cell, rows: Tensor) -> Tensor:
    """A weight (G H, ·) or bias (G H,) with its gates in ONNX's order."""
    gates = dict(zip(cell.gates, rows.chunk(len(cell.gates)), strict=True))
    return torch.cat([gates[gate] for gate in _ORDER[cell.layer]])


def _layer(
    problem: Problem, x: Tensor, starts: Sequence[Tensor], weights: Sequence[Weights]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One node. It has its weights as W (D, G H, K), R (D, G H, H) and B (D, 2 G H), and returns Y (T, D, N, H)."""
    cell, h = problem.cell, problem.hidden_size
    steps, sequences, _ = x.shape
    directions, lengths = len(weights), problem.lengths

    def ordered(rows: Tensor | None) -> Tensor:
        assert rows is not None
        return in_order(cell, rows)

    biases = [torch.cat([ordered(w.b_ih), ordered(w.b_hh)]) for w in weights] if problem.bias else []
    attributes: dict[str, Any] = {"hidden_size": h, "direction": "bidirectional" if directions == 2 else "forward"}
    if cell.nonlinearity is not None:
        attributes["activations"] = [cell.nonlinearity.capitalize()] * directions
    if cell.layer == "gru":
        attributes["linear_before_reset"] = 1
    given = (
        x,
        torch.stack([ordered(w.w_ih) for w in weights]),
        torch.stack([ordered(w.w_hh) for w in weights]),
        torch.stack(biases) if biases else None,
        None if lengths is None else lengths.int(),
        *starts,
        *[None] * (len(cell.states) - len(starts)),
    )
    state = (directions, sequences, h)
    y, *last = torch.onnx.ops.symbolic_multi_out(
        cell.layer.upper(),
        given,
        attrs=attributes,
        dtypes=(x.dtype,) * (1 + len(cell.states)),
        shapes=((steps, directions, sequences, h), *[state] * len(cell.states)),
    )
    if lengths is not None:  # ONNX leaves open what the last states are after no step
        none = (lengths == 0).unsqueeze(-1)
        firsts = starts or [torch.zeros_like(state) for state in last]
        last = [torch.where(none, first, state) for first, state in zip(firsts, last, strict=True)]
    return (y.squeeze(1) if directions == 1 else y.transpose(1, 2).flatten(2)), tuple(last)
