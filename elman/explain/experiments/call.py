"""What the model is called with, and the sequences among it: which axis is the batch, which is time."""

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from elman.explain.experiments.plain import are_plain
from elman.explain.experiments.structure import Structure

Lengths = Tensor | Sequence[int]


@dataclass(frozen=True)
class Call:
    """The arguments of a call; the first tensor among them holds the sequences.

    Args:
        leaves: every argument, flattened.
        structure: how they belong together: (positional arguments, keyword arguments).
        place: the sequences' index in `leaves`.
        batch_dim: the axis of the samples, or None for one sequence.
        time_dim: the axis of time, or None where there is none.
        lengths: how long each sample's sequence is, as the user said it.
    """

    leaves: tuple[Any, ...]
    structure: Structure
    place: int
    batch_dim: int | None
    time_dim: int | None
    lengths: Lengths | None
    told: bool = False
    """Whether the model is given the lengths, as an argument."""
    shared: frozenset[int] = frozenset()
    """The places of arguments that are the same for all samples, whatever their sizes."""

    @property
    def sequences(self) -> Tensor | PackedSequence:
        """The argument whose samples and steps are changed."""
        value: Tensor | PackedSequence = self.leaves[self.place]
        return value

    @property
    def values(self) -> Tensor:
        """Its numbers or ids."""
        return self.sequences.data if isinstance(self.sequences, PackedSequence) else self.sequences

    @property
    def samples(self) -> int:
        """N."""
        if isinstance(self.sequences, PackedSequence):
            return int(self.sequences.batch_sizes[0])
        return 1 if self.batch_dim is None else self.sequences.shape[self.batch_dim]

    @property
    def steps(self) -> int:
        """T, or 0 where there is no axis of time."""
        if isinstance(self.sequences, PackedSequence):
            return len(self.sequences.batch_sizes)
        return 0 if self.time_dim is None else self.sequences.shape[self.time_dim]

    @property
    def ends(self) -> Tensor:
        """(N,): the length of each sample's sequence, T where nothing is known."""
        if isinstance(self.sequences, PackedSequence):
            return pad_packed_sequence(self.sequences)[1]
        if self.lengths is None:
            return torch.full((self.samples,), self.steps)
        return torch.as_tensor(self.lengths).cpu().long()

    @property
    def longest(self) -> int:
        """The steps of the longest sequence, as far as is known."""
        return int(self.ends.max())

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Fresh copies, so that a model that writes into its input changes nothing."""
        args, kwargs = self.structure.build(map(_copied, self.leaves))
        return args, kwargs

    def with_values(self, values: Tensor) -> "Call":
        """The same call with other numbers in the sequences."""
        old = self.sequences
        return self.with_leaf(self.place, old._replace(data=values) if isinstance(old, PackedSequence) else values)

    def with_leaf(self, place: int, value: Any) -> "Call":
        """The same call with another argument."""
        return dataclasses.replace(self, leaves=(*self.leaves[:place], value, *self.leaves[place + 1 :]))

    def of_sample(self, sample: int) -> Tensor:
        """True where the sequences hold this sample; broadcasts over their values."""
        if isinstance(self.sequences, PackedSequence):
            return self._packed_labels()[0] == sample
        return self._index(self.batch_dim) == sample

    def of_steps(self, first: int) -> Tensor:
        """True at this step and later; broadcasts over the values."""
        if isinstance(self.sequences, PackedSequence):
            return self._packed_labels()[1] >= first
        return self._index(self.time_dim) >= first

    def of_padding(self) -> Tensor:
        """True past each sequence's end; broadcasts over the values."""
        return self.of_ends(back=0)

    def of_ends(self, back: int) -> Tensor:
        """True past each sequence's end, and at so many steps before it; broadcasts over the values."""
        shape = [1] * self.values.dim()
        if self.batch_dim is not None:
            shape[self.batch_dim] = self.samples
        return self._index(self.time_dim) >= self.ends.view(shape).to(self.values.device) - back

    def axes_of_samples(self, place: int) -> list[int]:
        """The axes of another argument that have the samples' size, the likeliest first: the sequences' own of one that
        has their time too, axis 1 of a state, else the first."""
        leaf = self.leaves[place]
        if not isinstance(leaf, Tensor) or place in self.shared:
            return []
        likely: int | None = 1 if leaf.dim() == 3 else 0
        if self.has_these_axes(leaf):
            likely = self.batch_dim
        found = [axis for axis, size in enumerate(leaf.shape) if size == self.samples]
        return sorted(found, key=lambda axis: axis != likely)

    def of_others(self) -> list["Call"]:
        """The same call seen from each further argument that may hold sequences of these samples."""
        if self.batch_dim not in (0, 1):
            return []
        return [
            self.seen_from(place, self.batch_dim, 1 - self.batch_dim)
            for place, leaf in enumerate(self.leaves)
            if place != self.place and self.batch_dim in self.axes_of_samples(place) and leaf.dim() >= 2
        ]

    def seen_from(self, place: int, batch_dim: int | None, time_dim: int | None = None) -> "Call":
        """The same call with another argument as the one whose samples and steps are changed; these are its axes."""
        return dataclasses.replace(self, place=place, batch_dim=batch_dim, time_dim=time_dim, lengths=None)

    def has_these_axes(self, leaf: Tensor) -> bool:
        """Whether another argument has the same batch and time."""
        axes = [axis for axis in (self.batch_dim, self.time_dim) if axis is not None]
        return all(leaf.dim() > axis and leaf.shape[axis] == self.values.shape[axis] for axis in axes)

    def is_lengths(self, leaf: Any) -> bool:
        """Whether another argument tells the model the lengths."""
        if self.lengths is None:
            return False
        if isinstance(leaf, Tensor):
            return (
                leaf.shape == (self.samples,) and not leaf.is_floating_point() and leaf.tolist() == self.ends.tolist()
            )
        return are_plain(leaf) and getattr(leaf, "ndim", 1) == 1 and list(leaf) == self.ends.tolist()

    @property
    def masks(self) -> list[int]:
        """The places of further arguments that hold one value at all real steps and another one at the padded ones."""
        return [
            place
            for place in self.aligned
            if are_one_value_apart(self.of_leaf(place, real=True), self.of_leaf(place, real=False))
        ]

    @property
    def aligned(self) -> list[int]:
        """The places of further arguments with the same batch and time."""
        return [
            place
            for place, leaf in enumerate(self.leaves)
            if place != self.place and isinstance(leaf, Tensor) and self.has_these_axes(leaf)
        ]

    def of_leaf(self, place: int, real: bool) -> Tensor:
        """What an argument with the same batch and time holds at the real steps, or past the sequences' ends."""
        assert self.time_dim is not None
        leaf: Tensor = self.leaves[place]
        if self.batch_dim is None:
            leaf = leaf.movedim(self.time_dim, 0)[None]
        else:
            leaf = leaf.movedim((self.batch_dim, self.time_dim), (0, 1))
        steps = torch.arange(self.steps) < self.ends[:, None]
        return leaf[(steps == real).to(leaf.device)]

    def _index(self, axis: int | None) -> Tensor:
        assert axis is not None
        shape = [1] * self.values.dim()
        shape[axis] = -1
        return torch.arange(self.values.shape[axis], device=self.values.device).view(shape)

    def _packed_labels(self) -> tuple[Tensor, Tensor]:
        """The sample and the step of each row of the packed data."""
        packed = self.sequences
        assert isinstance(packed, PackedSequence)
        sizes = packed.batch_sizes.tolist()
        order = torch.arange(sizes[0]) if packed.sorted_indices is None else packed.sorted_indices.cpu()
        samples = torch.cat([order[:size] for size in sizes])
        steps = torch.arange(len(sizes)).repeat_interleave(packed.batch_sizes)
        shape = [-1] + [1] * (packed.data.dim() - 1)
        return samples.view(shape).to(packed.data.device), steps.view(shape).to(packed.data.device)


def are_one_value_apart(values: Tensor, others: Tensor) -> bool:
    """Whether these are all one value, which none of the others is."""
    if values.numel() == 0:
        return False
    one = values.flatten()[0]
    return bool((values == one).all()) and not bool((others == one).any())


def _copied(leaf: Any) -> Any:
    if isinstance(leaf, PackedSequence):
        return leaf._replace(data=leaf.data.detach().clone())
    if isinstance(leaf, Tensor):
        return leaf.detach().clone()
    if isinstance(leaf, list | tuple):
        return type(leaf)(map(_copied, leaf))
    return copy.copy(leaf) if are_plain(leaf) else leaf
