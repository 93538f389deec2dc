"""torch's own operators: other devices, and numbers that elman's kernels do not have, complex ones among them."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.kernels.cells import Cell
from elman.kernels.problem import Problem, Run

States = tuple[Tensor, ...]


def obstacle(problem: Problem) -> str | None:
    """Why torch's operators cannot run this call, or None."""
    if problem.reset is not None:
        return "torch's operators know no reset"
    if not hasattr(torch, problem.cell.name):  # the cells have torch's names
        return f"torch has no {problem.cell.layer} cell"
    if problem.terms:
        return "torch's operators know no zoneout"
    if problem.recurrent_masks is not None:
        return "torch's operators know no recurrent dropout"
    if problem.x.shape[0] == 0:
        return "torch's operators refuse T = 0"
    if problem.lengths is not None and problem.x.is_complex():
        return "torch packs no complex numbers that have gradients"
    if problem.lengths is not None and problem.x.shape[1] == 0:
        return "torch packs no sequences where N = 0"
    if forward_ad._current_level >= 0 and (problem.lengths is not None or problem.cell.name == "lstm"):
        return "torch's packing and its LSTM have no forward-mode derivative"
    if torch._C._are_functorch_transforms_active():
        return "torch's operators fail under vmap"
    return None


def forward(problem: Problem, save: bool = False) -> Run:
    """Runs every layer. Nothing is saved, since autograd goes through torch's operators by itself."""
    states = problem.states or _zeros(problem)
    if problem.masks is None:
        return Run(*_layers(problem, problem.x, states, problem.weights))
    per_layer = problem.num_directions * problem.weights_a_direction
    x, last = problem.x, []
    for layer in range(problem.num_layers):
        if layer > 0:
            x = x * problem.masks[layer - 1]
        own = slice(layer * problem.num_directions, (layer + 1) * problem.num_directions)
        weights = problem.weights[layer * per_layer : (layer + 1) * per_layer]
        x, after = _layers(problem, x, tuple(s[own] for s in states), weights, layers=1)
        last.append(after)
    return Run(x, tuple(torch.cat(of_state) for of_state in zip(*last, strict=True)))


def _zeros(problem: Problem) -> States:
    """The states where none are given. Of packed rows, N is a tensor and stays one, as torch.jit.trace needs it."""
    x, sizes = problem.x, problem.batch_sizes
    sequences = x.shape[1] if sizes is None else cast(int, sizes[0])
    count = problem.num_layers * problem.num_directions
    return tuple(x.new_zeros(count, sequences, width) for width in problem.state_widths())


def _layers(
    problem: Problem, x: Tensor, states: States, weights: Sequence[Tensor], layers: int | None = None
) -> tuple[Tensor, States]:
    """So many layers in one call: output and the last states."""
    layers = problem.num_layers if layers is None else layers
    if problem.batch_sizes is not None:
        return _call(problem, (x, problem.batch_sizes), states, weights, layers)
    if problem.lengths is None:
        return _call(problem, (x,), states, weights, layers)
    # torch's packed sequences have no empty ones: such a sequence runs one step of zeros, which is then taken back
    empty = (problem.lengths == 0).to(x.device).unsqueeze(-1)  # (N, 1)
    lengths, order = problem.lengths.clamp(min=1).sort(descending=True)
    order, back = order.to(x.device), order.argsort().to(x.device)
    packed = pack_padded_sequence(torch.where(empty, 0, x).index_select(1, order), lengths)
    in_order = tuple(s.index_select(1, order) for s in states)
    rows, last = _call(problem, (packed.data, packed.batch_sizes), in_order, weights, layers)
    padded, _ = pad_packed_sequence(PackedSequence(rows, packed.batch_sizes), total_length=x.shape[0])
    output = torch.where(empty, 0, padded.index_select(1, back))
    return output, tuple(torch.where(empty, s, n.index_select(1, back)) for s, n in zip(states, last, strict=True))


def _call(
    problem: Problem, rows: Sequence[Tensor], states: States, weights: Sequence[Tensor], layers: int
) -> tuple[Tensor, States]:
    """torch's operator, of x, or of packed rows and batch_sizes. cuDNN can go back only through a forward pass in
    training mode: it always is."""
    function: Any = getattr(torch, problem.cell.name)
    hx = states[0] if len(states) == 1 else states
    batch_first = [False] if len(rows) == 1 else []
    bidirectional = problem.num_directions == 2
    weights = _in_one_piece(problem, rows[0].shape[-1], weights, layers)
    output, *last = function(*rows, hx, weights, problem.bias, layers, 0.0, True, bidirectional, *batch_first)
    return output, tuple(last)


def _in_one_piece(problem: Problem, inputs: int, weights: Sequence[Tensor], layers: int) -> list[Tensor]:
    """The weights as cuDNN wants them. Where they are not all of a layer's own, which lie so, they are copied: cuDNN
    would do that as well, and warn."""
    weights, cudnn = list(weights), cast(Any, torch.backends.cudnn)
    plain = all(type(w) in (Tensor, nn.Parameter) and w.dtype is weights[0].dtype for w in weights)
    if not (plain and weights[0].is_cuda and cudnn.is_acceptable(weights[0])) or torch._C._get_tracing_state():
        return weights
    if layers == problem.num_layers and len({w.untyped_storage().data_ptr() for w in weights}) == 1:
        return weights
    copies = [w.clone() for w in weights]
    with torch.no_grad():
        torch._cudnn_rnn_flatten_weight(
            copies,
            problem.weights_a_direction,
            inputs,
            cudnn.rnn.get_cudnn_mode(problem.cell.name.upper()),
            problem.hidden_size,
            problem.output_size if problem.projected else 0,
            layers,
            False,
            problem.num_directions == 2,
        )
    return copies


def step(cell: Cell, x: Tensor, states: States, weights: Sequence[Tensor]) -> States:
    """The states, (N, H) each, after one step of an RNNCell, GRUCell or LSTMCell; for x (I,), (H,).

    Args:
        cell: which.
        x: (N, I) or (I,).
        states: those of the cell, (N, H) or (H,) each; none at all: zeros.
        weights: w_ih and w_hh, with bias b_ih and b_hh.
    """
    function: Any = getattr(torch, f"{cell.name}_cell")
    if x.dim() == 1:
        return tuple(s.squeeze(0) for s in step(cell, x.unsqueeze(0), tuple(s.unsqueeze(0) for s in states), weights))
    if not states:
        states = (x.new_zeros(x.shape[0], weights[1].shape[1]),) * len(cell.states)
    after = function(x, states[0] if len(states) == 1 else states, *weights)
    return after if isinstance(after, tuple) else (after,)
