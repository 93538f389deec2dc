"""What a run computes and what it gives: the records that every backend takes and returns, by name."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from elman.kernels.cells import Cell

Tables = tuple[Tensor | None, ...]
"""The masks, the recurrent masks, reset, and the lengths or the batch sizes of a problem; () of one without any."""


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


def weight_shapes(
    gates: int, layers: int, directions: int, inputs: int, h: int, p: int, bias: bool, projected: bool
) -> list[tuple[int, ...]]:
    """The shapes of all weights, in the order of `Problem.weights`."""
    shapes: list[tuple[int, ...]] = []
    for layer in range(layers):
        k = directions * p if layer else inputs
        biases = [(gates * h,)] * 2 if bias else []
        shapes += [(gates * h, k), (gates * h, p), *biases, *([(p, h)] if projected else [])] * directions
    return shapes


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
    terms: tuple[Tensor, ...] = ()
    """What each step reads beside x: the leak, and then the drive, where there are such; (L * D, T, N, .), packed
    (L * D, R, .), each axis also 1, for all the same.

    The leak α blends every state: α * new + (1 - α) * before. It is P + H wide where the cell carries two states
    (h, c), H of a leaky cell. The drive, H wide, is added to the pre-activation of a leaky cell."""
    recurrent_masks: Tensor | None = None
    """(L * D, N, P): what h before a step is multiplied by where W_hh reads it; None: no dropout there."""

    @property
    def leak(self) -> Tensor | None:
        """What blends the states of a step with those before; None: they are the new ones."""
        return self.terms[0] if self.terms else None

    @property
    def drive(self) -> Tensor | None:
        """What is added to the pre-activation of a leaky cell."""
        return self.terms[1] if len(self.terms) > 1 else None

    @property
    def tables(self) -> Tables:
        """What it has beside the tensors that gradients flow to."""
        lengths = self.lengths if self.batch_sizes is None else self.batch_sizes
        return self.masks, self.recurrent_masks, self.reset, lengths

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

    def leak_width(self) -> int:
        """Of every state that is blended, side by side."""
        return self.hidden_size if self.cell.leaks else sum(self.state_widths())

    def state_widths(self) -> tuple[int, ...]:
        """The width of each state: P of h, H of what else the cell carries."""
        return (self.output_size, *[self.hidden_size] * (len(self.cell.states) - 1))

    def where_there(self) -> Tensor | None:
        """Whether each step of each sequence of a padded problem is there, (T, N, 1); None: all are."""
        lengths = self.lengths
        if lengths is None:
            return None
        steps = torch.arange(self.x.shape[0], device=lengths.device)
        return (steps.unsqueeze(1) < lengths).unsqueeze(-1).to(self.x.device)

    # One flattening: what gradients flow to, then what else is a tensor.

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """x, the states, the weights and the terms: all that gradients flow to, in the order in which `backward` gives
        them."""
        return (self.x, *self.states, *self.weights, *self.terms)

    def sums_over_sequences(self) -> tuple[bool, ...]:
        """For each of `inputs` whether its gradient is a sum over the sequences: each group of the batch may have one
        apart."""
        of_terms = (term.shape[-2] == 1 for term in self.terms)
        return (*(False,) * (1 + len(self.states)), *(True,) * len(self.weights), *of_terms)

    def with_inputs(self, inputs: Sequence[Tensor]) -> Self:
        """The same problem of other numbers, as many."""
        after, end = 1 + len(self.states), len(inputs) - len(self.terms)
        return self._with(inputs[0], tuple(inputs[1:after]), tuple(inputs[after:end]), tuple(inputs[end:]))

    def without_inputs(self) -> Self:
        """What `with_inputs` makes a problem of, and keeps none of them alive."""
        return self._with(None, (None,) * len(self.states), (), (None,) * len(self.terms))

    def _with(self, x: Any, states: tuple[Any, ...], weights: tuple[Any, ...], terms: tuple[Any, ...]) -> Self:
        # several times faster than _replace, which small calls would feel
        cell, layers, directions, bias, projected, _, _, _, lengths, reset, masks, batch_sizes, _, recurrent = self
        made = x, states, weights, lengths, reset, masks, batch_sizes, terms, recurrent
        return type(self)(cell, layers, directions, bias, projected, *made)


class Run(NamedTuple):
    """What `forward` of a backend gives."""

    output: Tensor
    """(T, N, D * P), or packed (R, D * P): the last layer's h at every step; 0 past a sequence's end."""
    last: tuple[Tensor, ...]
    """Each state of the cell after every direction's last step: h_n (L * D, N, P), c_n (L * D, N, H)."""
    saved: tuple[Tensor | None, ...] = ()
    """What the same backend's `backward` needs besides; nobody else reads it."""
