"""What the model is called with, and the sequences among it: which axis is the batch, which is time."""

import dataclasses
import inspect
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
        assert self.batch_dim is not None
        assert self.time_dim is not None
        end = int(self.ends[sample])
        leaves = []
        for place, leaf in enumerate(self.leaves):
            if place == self.place or (isinstance(leaf, Tensor) and self._has_these_axes(leaf)):
                leaf = leaf.narrow(self.batch_dim, sample, 1).narrow(self.time_dim, 0, end)
            elif self._is_lengths(leaf):
                leaf = leaf[sample : sample + 1]
            elif axes := self.axes_of_samples(leaf):
                leaf = leaf.narrow(axes[0], sample, 1)
            leaves.append(leaf)
        return dataclasses.replace(self, leaves=tuple(leaves), lengths=[end])

    def of_samples(self, order: Tensor) -> list["Call"]:
        """These samples, in this order; several ways where it cannot be told which axis of an argument is theirs."""
        assert self.batch_dim is not None
        ways = [dataclasses.replace(self, lengths=None if self.lengths is None else self.ends[order])]
        for place, leaf in enumerate(self.leaves):
            if place == self.place or (isinstance(leaf, Tensor) and self._has_these_axes(leaf)):
                choices = [leaf.index_select(self.batch_dim, order.to(leaf.device))]
            elif _is_ints(leaf) and len(leaf) == self.samples:
                choices = [[leaf[sample] for sample in order.tolist()]]
            else:
                choices = [leaf.index_select(axis, order.to(leaf.device)) for axis in self.axes_of_samples(leaf)]
            ways = [way.with_leaf(place, choice) for way in ways for choice in choices or [leaf]][:MOST_WAYS]
        return ways

    def axes_of_samples(self, leaf: Any) -> list[int]:
        """The axes of another argument that have the samples' size, the likeliest first: the sequences' own of one that
        has their time too, axis 1 of a state, else the first."""
        if not isinstance(leaf, Tensor):
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

    def repeated(self, copies: int) -> list["Call"]:
        """For a batch of one: ways to hand in the sample several times, the sequences alone or with the states."""
        assert self.batch_dim is not None
        alone = self.with_values(self.values.repeat_interleave(copies, self.batch_dim))
        for place, leaf in enumerate(self.leaves):
            if self._is_lengths(leaf):
                alone = alone.with_leaf(place, leaf.repeat(copies) if isinstance(leaf, Tensor) else leaf * copies)
        if self.lengths is not None:
            alone = dataclasses.replace(alone, lengths=torch.as_tensor(self.lengths).repeat(copies))
        ways = [alone]
        for axis in (1, self.batch_dim):
            way = alone
            for place, leaf in enumerate(self.leaves):
                if self._is_other(place) and leaf.dim() > axis and leaf.shape[axis] == 1:
                    way = way.with_leaf(place, leaf.repeat_interleave(copies, axis))
            ways.append(way)
        return ways

    def of_others(self) -> list["Call"]:
        """The same call seen from each further argument that may hold sequences of these samples."""
        return [
            self.seen_from(place, self.batch_dim, 1 - self.batch_dim)
            for place, leaf in enumerate(self.leaves)
            if self.batch_dim in (0, 1)
            and self._is_other(place)
            and leaf.dim() >= 2
            and leaf.shape[self.batch_dim] == self.samples
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
                leaf = leaf.clamp(max=clip) if isinstance(leaf, Tensor) else [min(n, clip) for n in leaf]
            leaves.append(leaf)
        lengths = None if self.lengths is None else torch.as_tensor(self.lengths).clamp(max=clip)
        return dataclasses.replace(self, leaves=tuple(leaves), lengths=lengths)

    def _is_other(self, place: int) -> bool:
        return place != self.place and isinstance(self.leaves[place], Tensor)

    def _has_these_axes(self, leaf: Tensor) -> bool:
        axes = [axis for axis in (self.batch_dim, self.time_dim) if axis is not None]
        return all(leaf.dim() > axis and leaf.shape[axis] == self.values.shape[axis] for axis in axes)

    def _is_lengths(self, leaf: object) -> bool:
        if self.lengths is None:
            return False
        if isinstance(leaf, Tensor):
            return (
                leaf.shape == (self.samples,) and not leaf.is_floating_point() and leaf.tolist() == self.ends.tolist()
            )
        return _is_ints(leaf) and leaf == self.ends.tolist()

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
    return isinstance(value, PackedSequence) or _is_ints(value)


def _is_ints(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(number, int) for number in value)


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
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf
