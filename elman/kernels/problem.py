"""What a run computes and what it gives: the records that every backend takes and returns, by name."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from torch import Tensor

from elman.kernels.cells import Cell


class Weights(NamedTuple):
    """Those of one direction of one layer, with K inputs (I in the first layer, D * P above), G gates, and P = H
    outputs where nothing is projected."""

    w_ih: Tensor
    """(G * H, K)"""
    w_hh: Tensor
    """(G * H, P)"""
    b_ih: Tensor | None = None
    """(G * H,)"""
    b_hh: Tensor | None = None
    """(G * H,)"""
    w_hr: Tensor | None = None
    """(P, H): the projection of an LSTM with proj_size."""


class Problem(NamedTuple):
    """One run of a whole layer: L layers, D directions."""

    cell: Cell
    num_layers: int
    num_directions: int
    bias: bool
    projected: bool
    """Whether each direction of each layer has a w_hr."""
    x: Tensor
    """(T, N, I), or packed (R, I)."""
    states: tuple[Tensor, ...]
    """h_0 (L * D, N, P), and for an LSTM c_0 (L * D, N, H); none at all: zeros."""
    weights: tuple[Tensor, ...]
    """For each layer, and in it for each direction, those of `Weights` that are there, in its order."""
    lengths: Tensor | None = None
    """(N,) int64 on the CPU, 0 <= length <= T; None: all are T."""
    reset: Tensor | None = None
    """(T, N) bool; None: no reset."""
    masks: Tensor | None = None
    """Dropout masks (L - 1, T, N, D * P), packed (L - 1, R, D * P), for each layer but the last; None: no dropout."""
    batch_sizes: Tensor | None = None
    """(T,) int64 on the CPU: x and output hold only the R real steps, step after step, the longest sequence first, as
    in a PackedSequence; None: they are padded. Without lengths and reset."""

    @property
    def steps(self) -> int:
        """T."""
        return self.x.shape[0] if self.batch_sizes is None else self.batch_sizes.shape[0]

    @property
    def sequences(self) -> int:
        """N."""
        return self.x.shape[1] if self.batch_sizes is None else int(self.batch_sizes[0])

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.weights[0].shape[0] // len(self.cell.gates)

    @property
    def output_size(self) -> int:
        """P: what h and the output of one direction are wide."""
        return self.weights[1].shape[1]

    @property
    def weights_a_direction(self) -> int:
        """How many tensors `weights` has for one direction of one layer."""
        return 2 + 2 * self.bias + self.projected

    def weights_of(self, layer: int, direction: int) -> Weights:
        """The weights of one direction of one layer, by name."""
        count = self.weights_a_direction
        first = (layer * self.num_directions + direction) * count
        own = self.weights[first : first + count]
        b_ih, b_hh = own[2:4] if self.bias else (None, None)
        return Weights(own[0], own[1], b_ih, b_hh, own[-1] if self.projected else None)

    def state_widths(self) -> tuple[int, ...]:
        """The width of each state: P of h, H of what else the cell carries."""
        return (self.output_size, *[self.hidden_size] * (len(self.cell.states) - 1))

    # One flattening: what gradients flow to, then what else is a tensor.

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """x, the states and the weights: all that gradients flow to, in the order in which `backward` gives them."""
        return (self.x, *self.states, *self.weights)

    def with_inputs(self, inputs: Sequence[Tensor]) -> Self:
        """The same problem of other numbers, as many."""
        after = 1 + len(self.states)
        return self._with(inputs[0], tuple(inputs[1:after]), tuple(inputs[after:]))

    def without_inputs(self) -> Self:
        """What `with_inputs` makes a problem of, and keeps none of them alive."""
        return self._with(None, (None,) * len(self.states), ())

    def _with(self, x: Any, states: tuple[Any, ...], weights: tuple[Any, ...]) -> Self:
        # several times faster than _replace, which small calls would feel
        cell, layers, directions, bias, projected, _, _, _, *tables = self
        return type(self)(cell, layers, directions, bias, projected, x, states, weights, *tables)


class Run(NamedTuple):
    """What `forward` of a backend gives."""

    output: Tensor
    """(T, N, D * P), or packed (R, D * P): the last layer's h at every step; 0 past a sequence's end."""
    last: tuple[Tensor, ...]
    """Each state of the cell after every direction's last step: h_n (L * D, N, P), c_n (L * D, N, H)."""
    saved: tuple[Tensor | None, ...] = ()
    """What the same backend's `backward` needs besides; nobody else reads it."""
