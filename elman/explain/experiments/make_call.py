"""The call that the user's arguments stand for, or why there is none."""

import dataclasses
import inspect
import operator
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_flatten

from elman.call.checks import check_lengths
from elman.explain.experiments.call import Call, Lengths
from elman.explain.experiments.plain import are_plain


def make_call(
    model: nn.Module, input: Any, batch_dim: int | None, time_dim: int | None, lengths: Lengths | None
) -> Call:
    """The call that the user's arguments stand for.

    Raises:
        TypeError: input holds no tensor, or a list of sequences of different lengths, or lengths are no whole numbers.
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
    if batch_dim == 0 and any(_is_ragged(given) and given[0] is sequences for given in (*args, *kwargs.values())):
        raise TypeError(
            "input is a list of sequences of different lengths, and no axis of a tensor is their batch: wrap the model "
            "in one that takes a PackedSequence (pack_sequence makes one), or pad_sequence's tensor and lengths=."
        )
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
    return dataclasses.replace(call, told=bool(call.masks) or any(map(call.is_lengths, leaves)))


def _is_one_argument(value: object) -> bool:
    return isinstance(value, PackedSequence) or are_plain(value)


def _is_ragged(value: Any) -> bool:
    """Whether it is a list of sequences, (steps, features) or (steps,) each, not all of one length."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, Tensor) and one.dim() in (1, 2) for one in value):
        return False
    return len({one.shape[1:] for one in value}) == 1 and len({one.shape[0] for one in value}) > 1


def _takes_lengths(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether forward has an argument `lengths` that is still free."""
    signature = inspect.signature(model.forward)
    if "lengths" not in signature.parameters or "lengths" in kwargs:
        return False
    return "lengths" not in signature.bind_partial(*args, **kwargs).arguments


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
