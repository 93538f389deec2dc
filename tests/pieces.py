"""What lengths= and reset= mean, by torch's layer: every piece of every sequence alone, from the first states."""

import itertools

import torch
from cases import States, states_of
from torch import Tensor


def run_pieces(
    layer: torch.nn.Module,  # torch.nn.RNN, GRU or LSTM
    x: Tensor,  # (T, N, I), with batch_first (N, T, I)
    hx: States = None,  # (L * D, N, H); of an LSTM a pair
    lengths: Tensor | None = None,  # (N,)
    reset: Tensor | None = None,  # bool, in the layout of x
) -> tuple[Tensor, States]:
    """output, 0 past a sequence's end, and the states where each direction ends: the forward one at its last piece."""
    if layer.batch_first:
        x, reset = x.transpose(0, 1), None if reset is None else reset.transpose(0, 1)
    T, N, _ = x.shape
    directions = 2 if layer.bidirectional else 1
    rows, pair = layer.num_layers * directions, isinstance(layer, torch.nn.LSTM)
    outputs_wide = layer.proj_size or layer.hidden_size
    widths = (outputs_wide, layer.hidden_size) if pair else (outputs_wide,)
    start = states_of(hx) or tuple(x.new_zeros(rows, N, width) for width in widths)
    outputs, ends = [], []
    for n in range(N):
        length = T if lengths is None else int(lengths[n])
        marks = [] if reset is None else [t for t in range(1, length) if reset[t, n]]
        cuts = [0, *marks, length] if length else [0]
        own = tuple(state[:, n] for state in start)
        found = [layer(x[a:b, n], own if pair else own[0]) for a, b in itertools.pairwise(cuts)]
        padding = x.new_zeros(T - length, outputs_wide * directions)
        outputs.append(torch.cat([output for output, _ in found] + [padding]))
        if not found:
            ends.append(own)
            continue
        reverse = torch.arange(rows).view(-1, 1) % directions == 1
        first, last = states_of(found[0][1]), states_of(found[-1][1])
        ends.append(tuple(torch.where(reverse, a, b) for a, b in zip(first, last, strict=True)))
    output = torch.stack(outputs, 1) if outputs else x.new_zeros(T, N, outputs_wide * directions)
    last = tuple(torch.stack(of_state, 1) for of_state in zip(*ends, strict=True)) or tuple(s.clone() for s in start)
    return (output.transpose(0, 1) if layer.batch_first else output), last if pair else last[0]
