"""The layer in an ONNX model: one standard RNN, GRU or LSTM node for each layer, with T and N left open."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.kernels.cells import Cell
from elman.kernels.problem import Problem, Weights

_ORDER = {"gru": ("z", "r", "n"), "lstm": ("i", "o", "f", "g")}
"""The gates as ONNX has them; g is its c."""


def run(problem: Problem) -> tuple[Tensor, tuple[Tensor, ...]]:
    """output (T, N, D * H) and the last states (L * D, N, H) of nodes, for torch.onnx.export to write down."""
    if problem.reset is not None:
        raise ValueError(
            f"ONNX's {problem.cell.layer.upper()} node knows no reset: export without reset=, one step or one piece at "
            "a time with the state as input and output, and pass zeros for the state where it starts again."
        )
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


def in_order(cell: Cell, rows: Tensor) -> Tensor:
    """A weight (G H, ·) or bias (G H,) with its gates in ONNX's order."""
    gates = dict(zip(cell.gates, rows.chunk(len(cell.gates)), strict=True))
    return torch.cat([gates[gate] for gate in _ORDER.get(cell.layer, cell.gates)])


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
