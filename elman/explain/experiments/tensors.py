"""The tensors in whatever a module returns or takes, by name."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


def tensors_in(value: object, name: str = "output") -> dict[str, Tensor]:
    """Every tensor inside, named by the way to it: output[0], output['logits'], output.logits.

    A PackedSequence counts as its padded tensor (time, batch, feature).
    """
    return dict(_walk(value, name))


def _walk(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, PackedSequence):
        yield name, pad_packed_sequence(value)[0]
    elif isinstance(value, Tensor):
        yield name, value.to_dense() if value.layout != torch.strided else value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _walk(part, f"{name}[{key!r}]")
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _walk(getattr(value, field.name), f"{name}.{field.name}")
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for field_name in value._fields:
            yield from _walk(getattr(value, field_name), f"{name}.{field_name}")
    elif isinstance(value, list | tuple):
        for place, part in enumerate(value):
            yield from _walk(part, f"{name}[{place}]")


def axes(tensor: Tensor) -> str:
    """Its shape, as the text shows it."""
    return str(tuple(tensor.shape))
