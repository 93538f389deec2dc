"""What lengths= and reset= mean, by torch's layer: every piece of every sequence alone, from h_0."""

import itertools

import torch
from torch import Tensor


def run_pieces(
    layer: torch.nn.Module,  # torch.nn.RNN
    x: Tensor,  # (T, N, I), with batch_first (N, T, I)
    h0: Tensor | None = None,  # (L * D, N, H)
    lengths: Tensor | None = None,  # (N,)
    reset: Tensor | None = None,  # bool, in the layout of x
) -> tuple[Tensor, Tensor]:
    """output, 0 past a sequence's end, and h_n, where every direction ends: the forward one with the last piece."""
    if layer.batch_first:
        x, reset = x.transpose(0, 1), None if reset is None else reset.transpose(0, 1)
    T, N, _ = x.shape
    directions = 2 if layer.bidirectional else 1
    states = layer.num_layers * directions
    start = x.new_zeros(states, N, layer.hidden_size) if h0 is None else h0
    outputs, ends = [], []
    for n in range(N):
        length = T if lengths is None else int(lengths[n])
        marks = [] if reset is None else [t for t in range(1, length) if reset[t, n]]
        cuts = [0, *marks, length] if length else [0]
        found = [layer(x[a:b, n], start[:, n]) for a, b in itertools.pairwise(cuts)]
        padding = x.new_zeros(T - length, layer.hidden_size * directions)
        outputs.append(torch.cat([output for output, _ in found] + [padding]))
        if not found:
            ends.append(start[:, n])
            continue
        reverse = torch.arange(states).view(-1, 1) % directions == 1
        ends.append(torch.where(reverse, found[0][1], found[-1][1]))
    shape = (T, N, layer.hidden_size * directions)
    output = torch.stack(outputs, 1) if outputs else x.new_zeros(shape)
    h_n = torch.stack(ends, 1) if ends else start.clone()
    return (output.transpose(0, 1) if layer.batch_first else output), h_n
