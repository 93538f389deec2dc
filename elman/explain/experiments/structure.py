"""What arguments are made of: containers are taken apart into leaves, and put together again around other ones."""

import copy
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_flatten, tree_is_leaf, tree_unflatten

from elman.explain.experiments.plain import are_plain
from elman.explain.experiments.tensors import tensors_in

MOST = 2**27  # numbers of a sparse tensor, zeros included, that is changed as a dense one


@dataclass(frozen=True)
class Leaf:
    """One argument.

    Args:
        like: for a dense tensor in the place of a sparse one, that one, whose layout is kept.
    """

    like: Tensor | None = field(default=None, compare=False)

    def build(self, leaves: Iterator[Any]) -> Any:
        """The argument that the next leaf stands for."""
        value = next(leaves)
        return value if self.like is None else _sparse(value, self.like)


@dataclass(frozen=True)
class Container:
    """A container of any kind.

    Args:
        kind: its type and keys; containers of one kind and of equal parts have one structure.
        parts: the structures of what it holds.
        join: makes such a container of what it shall hold.
    """

    kind: Any
    parts: tuple["Structure", ...]
    join: Callable[[list[Any]], Any] = field(compare=False)

    def build(self, leaves: Iterator[Any]) -> Any:
        """The container around the next leaves."""
        return self.join([part.build(leaves) for part in self.parts])


@dataclass(frozen=True)
class OneASample:
    """A list or tuple of N things of one structure, one a sample. Its leaves hold N things each: a tensor along axis 0,
    a list where these are no tensors of one shape.

    Args:
        kind: list or tuple.
        part: the structure of one of them.
        leaves: how many leaves it has.
    """

    kind: type
    part: "Structure"
    leaves: int

    def build(self, leaves: Iterator[Any]) -> Any:
        """The list of as many samples as the next leaves hold."""
        held = [next(leaves) for _ in range(self.leaves)]
        return self.kind(self.part.build(iter(row)) for row in zip(*held, strict=True))


Structure = Leaf | Container | OneASample


def take_apart(value: Any, samples: int = 0, apart: Tensor | None = None) -> tuple[list[Any], Structure]:
    """The leaves of what a container holds, and its structure, whose `build` puts it together again.

    Args:
        value: any container, or one argument.
        samples: N, if lists of N things may be one a sample.
        apart: a tensor; a list that holds it is not one.

    Raises:
        TypeError: it holds a nested tensor.
        ValueError: a sparse tensor is too large to be a dense one.
    """
    if isinstance(value, PackedSequence) or are_plain(value):
        return [value], Leaf()
    if isinstance(value, Tensor) and value.is_nested:
        raise TypeError("input holds a nested tensor: wrap the model in one that takes a padded tensor and lengths=.")
    if isinstance(value, Tensor) and value.layout != torch.strided:
        return [_dense(value)], Leaf(value)
    if type(value) in (list, tuple) and len(value) == samples > 1:
        found = _one_a_sample(value, apart)
        if found is not None:
            return found
    opened = _opened(value)
    if opened is None:
        return [value], Leaf()
    held, kind, join = opened
    parts = [take_apart(part, samples, apart) for part in held]
    return [leaf for leaves, _ in parts for leaf in leaves], Container(kind, tuple(one for _, one in parts), join)


def take_arguments_apart(
    arguments: tuple[tuple[Any, ...], dict[str, Any]], samples: int = 0, apart: Tensor | None = None
) -> tuple[list[Any], Structure]:
    """The same for positional and keyword arguments, which are no samples themselves where they are N."""
    args, kwargs = arguments
    parts = [take_apart(given, samples, apart) for given in (*args, *kwargs.values())]

    def join(given: list[Any]) -> Any:
        return tuple(given[: len(args)]), dict(zip(kwargs, given[len(args) :], strict=True))

    structure = Container((len(args), *kwargs), tuple(one for _, one in parts), join)
    return [leaf for leaves, _ in parts for leaf in leaves], structure


def _one_a_sample(value: Any, apart: Tensor | None) -> tuple[list[Any], OneASample] | None:
    if not tensors_in(value):
        return None
    parts = [take_apart(one) for one in value]
    first, structure = parts[0]
    if any(other != structure for _, other in parts):
        return None
    if any(leaf is apart for leaves, _ in parts for leaf in leaves if isinstance(leaf, Tensor)):
        return None
    columns = list(zip(*(leaves for leaves, _ in parts), strict=True))
    of_samples = any(len(value) in leaf.shape for leaf in first if isinstance(leaf, Tensor))
    if type(value) is tuple and of_samples:  # an LSTM's states
        return None
    return [_stacked(column) for column in columns], OneASample(type(value), structure, len(columns))


def _stacked(column: tuple[Any, ...]) -> Any:
    """Along axis 0 where these are tensors of one shape and type, else a list."""
    if all(isinstance(one, Tensor) for one in column) and (
        len({(one.shape, one.dtype, one.device) for one in column}) == 1
    ):
        return torch.stack([one.detach() for one in column])
    return list(column)


def _opened(value: Any) -> tuple[list[Any], Any, Callable[[list[Any]], Any]] | None:
    """What a container holds, its kind, and how it is made; None for what is none, or holds no tensor."""
    if not tree_is_leaf(value):
        held, spec = tree_flatten(value, is_leaf=lambda one: one is not value)
        return held, spec, lambda parts: tree_unflatten(parts, spec)
    if isinstance(value, Tensor) or not tensors_in(value):
        return None
    if isinstance(value, MutableMapping):
        keys = list(value)
        return [value[key] for key in keys], (type(value), *keys), lambda parts: _with_items(value, keys, parts)
    if is_dataclass(value):
        names = [one.name for one in fields(value)]
        return [getattr(value, name) for name in names], type(value), lambda parts: _with_fields(value, names, parts)
    return None


def _with_items(value: Any, keys: list[Any], parts: list[Any]) -> Any:
    copied = copy.copy(value)
    for key, part in zip(keys, parts, strict=True):
        copied[key] = part
    return copied


def _with_fields(value: Any, names: list[str], parts: list[Any]) -> Any:
    copied = copy.copy(value)
    for name, part in zip(names, parts, strict=True):
        object.__setattr__(copied, name, part)  # of a frozen one, too
    return copied


def _dense(value: Tensor) -> Tensor:
    if value.numel() > MOST:
        raise ValueError(
            f"The sparse argument {tuple(value.shape)} is too large to be changed as a dense one: give the doctor a "
            f"smaller one."
        )
    return value.detach().to_dense()


def _sparse(value: Tensor, like: Tensor) -> Tensor:
    if like.layout == torch.sparse_coo:
        return value.to_sparse(like.sparse_dim()).coalesce()
    blocks = tuple(like.values().shape[1:3]) if like.layout in (torch.sparse_bsr, torch.sparse_bsc) else None
    return value.to_sparse(layout=like.layout, blocksize=blocks, dense_dim=like.dense_dim())
