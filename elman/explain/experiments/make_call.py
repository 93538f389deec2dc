"""The call that the user's arguments stand for, or why there is none."""

import dataclasses
import inspect
import operator
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.call.checks import check_lengths
from elman.explain.experiments.call import Call, Lengths
from elman.explain.experiments.structure import take_apart, take_arguments_apart

RAGGED = (
    "input is a list of tensors of different sizes, one a sample, and no axis of a tensor is their batch: wrap the "
    "model in one that takes a PackedSequence (pack_sequence makes one), or pad_sequence's tensor and lengths=; give "
    "images of one size."
)


def make_call(
    model: nn.Module, input: Any, batch_dim: int | None, time_dim: int | None, lengths: Lengths | None
) -> Call:
    """The call that the user's arguments stand for.

    Raises:
        TypeError: input holds no tensor or a nested one, or is a list of sequences of different lengths, or lengths are
            no whole numbers.
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
    leaves, structure = take_arguments_apart((args, kwargs))
    place = _first_tensor(leaves)
    if place is None:
        raise TypeError(
            f"input holds no tensor: got {kind}. Pass what the model is called with: a tensor (torch.tensor(...) makes "
            f"one of a list or an array), a PackedSequence, a tuple of positional or a dict of keyword arguments."
        )
    sequences = leaves[place]
    if isinstance(sequences, PackedSequence):
        if lengths is not None:
            raise ValueError("A PackedSequence holds its own lengths: leave lengths= out.")
        return Call(tuple(leaves), structure, place, 1, None, None)
    batch_dim = _checked_axis("batch_dim", batch_dim, sequences)
    if batch_dim == 0 and any(_is_ragged(given) and given[0] is sequences for given in (*args, *kwargs.values())):
        raise TypeError(RAGGED)
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
    if batch_dim is not None:
        leaves, structure = take_arguments_apart((args, kwargs), sequences.shape[batch_dim], apart=sequences)
        place = next(i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor))
    call = Call(tuple(leaves), structure, place, batch_dim, time_dim, lengths)
    if lengths is None:
        return call
    if call.time_dim is None:
        raise ValueError("lengths need an axis of time: say which with time_dim=.")
    check_lengths(lengths, call.steps, call.samples)
    return dataclasses.replace(call, told=bool(call.masks) or any(map(call.is_lengths, leaves)))


def of_listed_samples(call: Call) -> Call | None:
    """The call with the list that holds the sequences read as one sequence, image or the like for each sample, whose
    batch is axis 0 and whose time is axis 1; None where they stand in no list of tensors of one shape."""
    listed = _list_of(call)
    if not listed:
        return None
    leaves, structure = take_arguments_apart(call.arguments(), len(listed))
    place = _first_tensor(leaves)
    if place is None or leaves[place].dim() != call.values.dim() + 1:
        return None
    time_dim = 1 if leaves[place].dim() > 1 else None
    return dataclasses.replace(call, leaves=tuple(leaves), structure=structure, place=place, time_dim=time_dim)


def without_the_last_of_a_ragged_list(call: Call) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The arguments with one fewer in the list that holds the sequences, and in those beside it that are as long; None
    where there is no list of tensors of different shapes."""
    listed = _list_of(call)
    if len({one.shape for one in listed if isinstance(one, Tensor)}) < 2:
        return None
    args, kwargs = call.arguments()

    def cut(given: Any) -> Any:
        return given[:-1] if type(given) in (list, tuple) and len(given) == len(listed) else given

    return tuple(map(cut, args)), {name: cut(given) for name, given in kwargs.items()}


def _list_of(call: Call) -> Any:
    """The list or tuple among the arguments whose first tensor is the sequences; () where there is none."""
    if call.batch_dim != 0 or call.lengths is not None:
        return ()
    args, kwargs = call.arguments()
    given = next(one for one in (*args, *kwargs.values()) if _first_tensor(take_apart(one)[0]) is not None)
    return given if type(given) in (list, tuple) and len(given) > 1 else ()


def _first_tensor(leaves: list[Any]) -> int | None:
    return next((i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor | PackedSequence)), None)


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
