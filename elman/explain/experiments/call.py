"""What the model is called with, and the sequences among it: which axis is the batch, which is time."""

import copy
import dataclasses
import inspect
import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from elman.call.checks import check_lengths

Lengths = Tensor | Sequence[int]
MOST_WAYS = 8  # of permuting the arguments


@dataclass(frozen=True)
class Call:
    """The arguments of a call; the first tensor among them holds the sequences.

    Args:
        leaves: every argument, flattened.
        tree: how they belong together: (positional arguments, keyword arguments).
        place: the sequences' index in `leaves`.
        batch_dim: the axis of the samples, or None for one sequence.
        time_dim: the axis of time, or None where there is none.
        lengths: how long each sample's sequence is, as the user said it.
    """

    leaves: tuple[Any, ...]
    tree: TreeSpec
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
        copies = [_copied(leaf) for leaf in self.leaves]
        args, kwargs = tree_unflatten(copies, self.tree)
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

    def alone(self, sample: int) -> "Call":
        """One sample, cut to its length, in every argument that has this batch and this time."""
        end = int(self.ends[sample])
        return dataclasses.replace(self.of_samples(torch.tensor([sample]))[0].shorter(end), lengths=[end])

    def of_samples(self, order: Tensor, perhaps_shared: bool = False) -> list["Call"]:
        """These samples, in this order; several ways where it cannot be told which axis of an argument is theirs, and
        whether any is."""
        assert self.batch_dim is not None
        choices = []
        for place, leaf in enumerate(self.leaves):
            if place == self.place:
                choices.append([leaf.index_select(self.batch_dim, order.to(leaf.device))])
            else:
                chosen = self._of_samples(place, order)
                choices.append([*chosen, leaf] if perhaps_shared or not chosen else chosen)
        lengths = None if self.lengths is None else self.ends[order]
        return [
            dataclasses.replace(self, leaves=leaves, lengths=lengths, shared=self._same_in(leaves))
            for leaves in itertools.islice(itertools.product(*choices), MOST_WAYS)
        ]

    def _of_samples(self, place: int, order: Tensor) -> list[Any]:
        """What another argument may hold for these samples."""
        leaf = self.leaves[place]
        if _are_plain(leaf) and len(leaf) == self.samples and place not in self.shared:
            return [_alike(leaf, [leaf[sample] for sample in order.tolist()])]
        return [leaf.index_select(axis, order.to(leaf.device)) for axis in self.axes_of_samples(place)]

    def _same_in(self, leaves: tuple[Any, ...]) -> frozenset[int]:
        """The places of the arguments that are the same as in this call."""
        return frozenset(k for k, (one, other) in enumerate(zip(self.leaves, leaves, strict=True)) if one is other)

    def axes_of_samples(self, place: int) -> list[int]:
        """The axes of another argument that have the samples' size, the likeliest first: the sequences' own of one that
        has their time too, axis 1 of a state, else the first."""
        leaf = self.leaves[place]
        if not isinstance(leaf, Tensor) or place in self.shared:
            return []
        likely: int | None = 1 if leaf.dim() == 3 else 0
        if self._has_these_axes(leaf):
            likely = self.batch_dim
        found = [axis for axis, size in enumerate(leaf.shape) if size == self.samples]
        return sorted(found, key=lambda axis: axis != likely)

    def shorter(self, steps: int) -> "Call":
        """Only the first steps, in every argument that has this batch and this time."""
        assert self.time_dim is not None
        time_dim = self.time_dim
        return self._all_sized_alike(lambda leaf: leaf.narrow(time_dim, 0, steps), clip=steps)

    def longer(self, steps: int) -> list["Call"]:
        """More steps at the end, each a copy of what pads the sequences now; with as many in the other arguments that
        are padded along with them, and without."""
        assert self.time_dim is not None
        time_dim, values = self.time_dim, self.values
        padding = values.narrow(time_dim, self.steps - 1, 1)
        if bool((self.ends == self.steps).any()):  # the last step of these is no padding
            full = (self.ends == self.steps).nonzero().flatten().tolist()
            padded = [n for n in range(self.samples) if n not in full]
            padding = torch.zeros_like(padding)
            if padded and self.batch_dim is not None:
                one = values.select(self.batch_dim, padded[0]).unsqueeze(self.batch_dim)
                padding = one.narrow(time_dim, self.steps - 1, 1).expand_as(padding)
        alone = both = self.with_values(torch.cat([values] + [padding] * steps, time_dim))
        several = bool((self.ends < self.steps - 1).any())  # what a lone step holds may be any
        for place in self._aligned if several else []:
            leaf, pads = self.leaves[place], self._of_leaf(place, real=False)
            if _are_one_value_apart(pads, self._of_leaf(place, real=True)):
                more = torch.full_like(leaf.narrow(time_dim, 0, 1), pads.flatten()[0].item())
                both = both.with_leaf(place, torch.cat([leaf] + [more] * steps, time_dim))
        return [alone] if both is alone else [both, alone]

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

    def _all_sized_alike(self, change: Any, clip: int) -> "Call":
        leaves = []
        for place, leaf in enumerate(self.leaves):
            if place == self.place or (isinstance(leaf, Tensor) and self._has_these_axes(leaf)):
                leaf = change(leaf)
            elif self._is_lengths(leaf):
                leaf = leaf.clamp(max=clip) if isinstance(leaf, Tensor) else _alike(leaf, [min(n, clip) for n in leaf])
            leaves.append(leaf)
        lengths = None if self.lengths is None else torch.as_tensor(self.lengths).clamp(max=clip)
        return dataclasses.replace(self, leaves=tuple(leaves), lengths=lengths)

    def _has_these_axes(self, leaf: Tensor) -> bool:
        axes = [axis for axis in (self.batch_dim, self.time_dim) if axis is not None]
        return all(leaf.dim() > axis and leaf.shape[axis] == self.values.shape[axis] for axis in axes)

    def _is_lengths(self, leaf: Any) -> bool:
        if self.lengths is None:
            return False
        if isinstance(leaf, Tensor):
            return (
                leaf.shape == (self.samples,) and not leaf.is_floating_point() and leaf.tolist() == self.ends.tolist()
            )
        return _are_plain(leaf) and list(leaf) == self.ends.tolist()

    @property
    def masks(self) -> list[int]:
        """The places of further arguments that hold one value at all real steps and another one at the padded ones."""
        return [
            place
            for place in self._aligned
            if _are_one_value_apart(self._of_leaf(place, real=True), self._of_leaf(place, real=False))
        ]

    @property
    def _aligned(self) -> list[int]:
        """The places of further arguments with the same batch and time."""
        return [
            place
            for place, leaf in enumerate(self.leaves)
            if place != self.place and isinstance(leaf, Tensor) and self._has_these_axes(leaf)
        ]

    def _of_leaf(self, place: int, real: bool) -> Tensor:
        """What an argument with the same batch and time holds at the real steps, or past the sequences' ends."""
        assert self.time_dim is not None
        leaf: Tensor = self.leaves[place]
        if self.batch_dim is None:
            leaf = leaf.movedim(self.time_dim, 0)[None]
        else:
            leaf = leaf.movedim((self.batch_dim, self.time_dim), (0, 1))
        steps = torch.arange(self.steps) < self.ends[:, None]
        return leaf[(steps == real).to(leaf.device)]


def make_call(
    model: nn.Module, input: Any, batch_dim: int | None, time_dim: int | None, lengths: Lengths | None
) -> Call:
    """The call that the user's arguments stand for.

    Raises:
        TypeError: input holds no tensor, or lengths are no whole numbers.
        IndexError: the sequences have no such axis.
        ValueError: an axis has size 0, batch_dim and time_dim are one, or lengths do not fit.
    """
    kind = type(input).__name__
    if isinstance(input, PackedSequence) or not isinstance(input, tuple | dict):
        input = (input,)
    args: tuple[Any, ...] = () if isinstance(input, dict) else tuple(input)
    kwargs: dict[str, Any] = dict(input) if isinstance(input, dict) else {}
    if lengths is not None and _takes_lengths(model, args, kwargs):
        kwargs["lengths"] = lengths if isinstance(lengths, Tensor) else list(lengths)
    leaves, tree = tree_flatten((args, kwargs), is_leaf=_is_one_argument)
    place = next((i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor | PackedSequence)), None)
    if place is None:
        raise TypeError(
            f"input holds no tensor: got {kind}. Pass what the model is called with: a tensor (torch.tensor(...) makes "
            f"one of a list or an array), a PackedSequence, a tuple of positional or a dict of keyword arguments."
        )
    sequences = leaves[place]
    if isinstance(sequences, PackedSequence):
        if lengths is not None:
            raise ValueError("A PackedSequence holds its own lengths: leave lengths= out.")
        return Call(tuple(leaves), tree, place, 1, None, None)
    batch_dim = _checked_axis("batch_dim", batch_dim, sequences)
    if time_dim is not None:
        time_dim = _checked_axis("time_dim", time_dim, sequences)
        if time_dim == batch_dim:
            raise ValueError(f"batch_dim and time_dim are both axis {time_dim} of the input {tuple(sequences.shape)}.")
    elif batch_dim is None:
        time_dim = 0
    elif batch_dim < 2 <= sequences.dim():
        time_dim = 1 - batch_dim
    if 0 in sequences.shape:
        raise ValueError(f"The input {tuple(sequences.shape)} is empty: give the doctor a batch to experiment with.")
    call = Call(tuple(leaves), tree, place, batch_dim, time_dim, lengths)
    if lengths is None:
        return call
    if call.time_dim is None:
        raise ValueError("lengths need an axis of time: say which with time_dim=.")
    check_lengths(lengths, call.steps, call.samples)
    return dataclasses.replace(call, told=bool(call.masks) or any(map(call._is_lengths, leaves)))


def _is_one_argument(value: object) -> bool:
    return isinstance(value, PackedSequence) or _are_plain(value)


def _are_plain(value: Any) -> bool:
    """Whether it is a list, a tuple or an array of numbers or texts."""
    if isinstance(value, numpy.ndarray):
        return value.ndim > 0
    return type(value) in (list, tuple) and bool(value) and all(isinstance(one, Number | str) for one in value)


def _alike(plain: Any, values: list[Any]) -> Any:
    """These values in another list, tuple or array of the same kind."""
    return numpy.stack(values) if isinstance(plain, numpy.ndarray) else type(plain)(values)


def _takes_lengths(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether forward has an argument `lengths` that is still free."""
    signature = inspect.signature(model.forward)
    if "lengths" not in signature.parameters or "lengths" in kwargs:
        return False
    return "lengths" not in signature.bind_partial(*args, **kwargs).arguments


def _are_one_value_apart(values: Tensor, others: Tensor) -> bool:
    """Whether these are all one value, which none of the others is."""
    if values.numel() == 0:
        return False
    one = values.flatten()[0]
    return bool((values == one).all()) and not bool((others == one).any())


def _checked_axis(name: str, axis: int | None, tensor: Tensor) -> int | None:
    if axis is None:
        return None
    try:
        axis = operator.index(axis)
    except TypeError:
        raise TypeError(f"{name} should be the number of an axis, got {axis!r}.") from None
    if not -tensor.dim() <= axis < tensor.dim():
        raise IndexError(f"{name}={axis}, but the input {tuple(tensor.shape)} has {tensor.dim()} axes.")
    return axis % tensor.dim()


def _copied(leaf: Any) -> Any:
    if isinstance(leaf, PackedSequence):
        return leaf._replace(data=leaf.data.detach().clone())
    if isinstance(leaf, Tensor):
        return leaf.detach().clone()
    return copy.copy(leaf) if _are_plain(leaf) else leaf
