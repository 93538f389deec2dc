"""The tensors in whatever a module returns or takes, by name."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


def tensors_in(value: object, name: str = "output", samples: int = 0) -> dict[str, Tensor]:
    """Every tensor inside, named by the way to it: output[0], output['logits'], output.logits.

    A PackedSequence counts as its padded tensor (time, batch, feature); a list of so many things of one kind, one a
    sample, as one tensor with the batch on axis 0, output[:], padded with zeros where they are of different sizes.
    """
    return dict(_walk(value, name, samples))


def _walk(value: object, name: str, samples: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, PackedSequence):
        yield name, pad_packed_sequence(value)[0]
    elif isinstance(value, Tensor):
        yield name, value.to_dense() if value.layout != torch.strided else value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _walk(part, f"{name}[{key!r}]", samples)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _walk(getattr(value, field.name), f"{name}.{field.name}", samples)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for field_name in value._fields:
            yield from _walk(getattr(value, field_name), f"{name}.{field_name}", samples)
    elif isinstance(value, list | tuple):
        of_samples = isinstance(value, list) and len(value) == samples > 1
        parts = [dict(_walk(part, f"{name}[:]", 0)) for part in value] if of_samples else []
        if parts and not _hold_batches(parts, samples) and all(_are_of_one_kind(parts[0], part) for part in parts[1:]):
            for key in parts[0]:
                yield key, _padded([part[key] for part in parts])
            return
        for place, part in enumerate(value):
            yield from _walk(part, f"{name}[{place}]", samples)


def _hold_batches(parts: list[dict[str, Tensor]], samples: int) -> bool:
    """Whether each holds an axis of N, as a layer's output and last state do."""
    return all(samples in value.shape for part in parts for value in part.values())


def _are_of_one_kind(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two results have the same names, types and numbers of axes; lone numbers may be losses of tasks."""
    kinds = [[(name, value.dim(), value.dtype) for name, value in each.items()] for each in (one, other)]
    return bool(one) and kinds[0] == kinds[1] and all(value.dim() > 0 for value in one.values())


def _padded(values: list[Tensor]) -> Tensor:
    """(N, largest size of each axis): one after another along a new axis, padded with zeros."""
    if len({value.shape for value in values}) == 1:
        return torch.stack(values)
    sizes = [max(of_axis) for of_axis in zip(*(value.shape for value in values), strict=True)]
    pads = [
        [k for size, own in zip(reversed(sizes), reversed(v.shape), strict=True) for k in (0, size - own)]
        for v in values
    ]
    return torch.stack([torch.nn.functional.pad(value, pad) for value, pad in zip(values, pads, strict=True)])


def axes(tensor: Tensor) -> str:
    """Its shape, as the text shows it."""
    return str(tuple(tensor.shape))
