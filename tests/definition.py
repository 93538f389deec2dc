"""Layers as their equations say, in torch's operators: for a compiler, which does not take torch's layers apart, and
where torch's layers keep something else than the equation reads.

Sizes are one letter each: T steps, N sequences, I input_size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class GRU(torch.nn.GRU):
    """Of two biases, without dropout. Its way back reads the h_0 that is there then wherever it reads h_0; torch's own
    has subtracted n from it before, and multiplies dz by the one that is there."""

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        unbatched, time = x.dim() == 2, 1 if self.batch_first and x.dim() == 3 else 0
        rows, directions = x.unsqueeze(1) if unbatched else x.transpose(0, time), 2 if self.bidirectional else 1
        if hx is None:
            hx = x.new_zeros(self.num_layers * directions, rows.shape[1], self.hidden_size)
        elif unbatched:
            hx = hx.unsqueeze(1)
        output, last = layer("gru", self.num_layers, directions, rows, hx, *self.parameters())
        return (output[:, 0], last[:, 0]) if unbatched else (output.transpose(0, time), last)


def layer(cell: str, layers: int, directions: int, x: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
    """Output and last states of a layer with two biases; `given`: the first states, then the weights."""
    states, ends = given[: 2 if cell == "lstm" else 1], []
    weights = given[len(states) :]
    for k in range(layers):
        sides = []
        for d in range(directions):
            place = k * directions + d
            own, now, steps = weights[4 * place : 4 * place + 4], [state[place] for state in states], []
            for x_t in reversed(x.unbind()) if d else x.unbind():
                now = step(cell, x_t, now, *own)
                steps.append(now[0])
            sides.append(torch.stack(steps[::-1] if d else steps))
            ends.append(now)
        x = torch.cat(sides, -1)
    return x, *map(torch.stack, zip(*ends, strict=True))


def step(cell: str, x: Tensor, states: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, *biases: Tensor) -> list[Tensor]:
    h, b_ih, b_hh = states[0], *biases
    read, carried = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    if cell == "rnn":
        return [(read + carried).tanh()]
    if cell == "gru":
        (r_x, z_x, n_x), (r_h, z_h, n_h) = read.chunk(3, -1), carried.chunk(3, -1)
        n, z = (n_x + (r_x + r_h).sigmoid() * n_h).tanh(), (z_x + z_h).sigmoid()
        return [(1 - z) * n + z * h]
    i, f, g, o = (read + carried).chunk(4, -1)
    c = f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
    return [o.sigmoid() * c.tanh(), c]
