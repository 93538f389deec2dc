"""The layer in an ONNX model: one standard RNN node for each layer, with T and N left open."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elman.kernels._old_problem import Problem


def run(problem: Problem, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """output (T, N, D * H) and h_n (L * D, N, H) of nodes, for torch.onnx.export to write down."""
    if problem.reset is not None:
        raise ValueError(
            "ONNX's RNN node knows no reset: export without reset=, one step or one piece at a time with the state "
            "as input and output, and pass zeros for the state where it starts again."
        )
    size = 4 if problem.bias else 2
    cells = [weights[place : place + size] for place in range(0, len(weights), size)]
    last_states = []
    for layer in range(problem.num_layers):
        if layer > 0 and problem.masks is not None:
            x = x * problem.masks[layer - 1]
        own = slice(layer * problem.num_directions, (layer + 1) * problem.num_directions)
        x, h_n = _layer(problem, x, None if h0 is None else h0[own], cells[own])
        last_states.append(h_n)
    return x, torch.cat(last_states)


def _layer(problem: Problem, x: Tensor, h0: Tensor | None, cells: Sequence[Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
    """One node. It has its weights as W (D, H, K), R (D, H, H) and B (D, 2 H), and returns Y (T, D, N, H)."""
    steps, sequences, _ = x.shape
    directions, h = len(cells), cells[0][1].shape[0]
    biases = torch.stack([torch.cat(list(cell[2:])) for cell in cells]) if problem.bias else None
    y, h_n = torch.onnx.ops.symbolic_multi_out(
        "RNN",
        (
            x,
            torch.stack([cell[0] for cell in cells]),
            torch.stack([cell[1] for cell in cells]),
            biases,
            None if problem.lengths is None else problem.lengths.int(),
            h0,
        ),
        attrs={
            "hidden_size": h,
            "direction": "bidirectional" if directions == 2 else "forward",
            "activations": ["Tanh" if problem.nonlinearity == "tanh" else "Relu"] * directions,
        },
        dtypes=(x.dtype, x.dtype),
        shapes=((steps, directions, sequences, h), (directions, sequences, h)),
    )
    if problem.lengths is not None:  # ONNX leaves open what Y_h is after no step
        h_n = torch.where((problem.lengths == 0).unsqueeze(-1), 0 if h0 is None else h0, h_n)
    return (y.squeeze(1) if directions == 1 else y.transpose(1, 2).flatten(2)), h_n
