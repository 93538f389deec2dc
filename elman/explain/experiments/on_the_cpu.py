"""A model on a GPU is examined on the CPU.

An experiment may lead a model to an index that is out of range. On the CPU that is an error like another; on a GPU it
ends whatever the process does there. Nor do all of a GPU's operations have float32's precision.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from elman.explain.experiments.as_found import Snapshot
from elman.explain.experiments.call import Call

_STAY = ("cpu", "meta")
_NOTE = "elman.doctor examines a model on the CPU, whatever device it is on: this was raised there."


@contextlib.contextmanager
def on_the_cpu(model: nn.Module, call: Call) -> Iterator[Call]:
    """The call with its tensors on the CPU. Within the block the model's are there too, and all that its code makes."""
    moved = [tensor for tensor in Snapshot(model).tensors if tensor.device.type not in _STAY]
    leaves = tuple(_moved(leaf) for leaf in call.leaves)
    strangers = moved or any(a is not b for a, b in zip(leaves, call.leaves, strict=True))
    if not strangers and torch.get_default_device().type == "cpu":
        yield call
        return
    own = [tensor.data for tensor in moved]
    try:
        for tensor in moved:
            put(tensor, tensor.detach().cpu())
        with torch.device("cpu"), _Here():
            yield dataclasses.replace(call, leaves=leaves, lengths=_moved(call.lengths))
    except Exception as error:
        error.add_note(_NOTE)
        raise
    finally:
        for tensor, data in zip(moved, own, strict=True):
            put(tensor, data)


def put(tensor: Tensor, data: Tensor) -> None:
    """Other memory for the same tensor, on another device or not."""
    tensor.data = data


class _Here(TorchFunctionMode):
    """The CPU, whatever device is named: `torch.zeros(3, device="cuda")`, `.to(device)`, `.cuda()`."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if isinstance(func, type(Tensor.cuda)) and name in ("cuda", "xpu", "hpu", "ipu"):
            return args[0]
        if func is Tensor.to:
            args = (args[0], *map(_here, args[1:]))
        if kwargs and "device" in kwargs:
            kwargs = {**kwargs, "device": _here(kwargs["device"])}
        return func(*args, **(kwargs or {}))


def _here(place: Any) -> Any:
    """The CPU in place of another device, by name or number; what is no device as it is."""
    if isinstance(place, bool) or not isinstance(place, str | int | torch.device):
        return place
    kind = "a GPU" if isinstance(place, int) else torch.device(place).type
    return place if kind in _STAY else torch.device("cpu")


def _moved(leaf: Any) -> Any:
    if isinstance(leaf, PackedSequence):
        return leaf if leaf.data.device.type in _STAY else leaf.cpu()
    return leaf.cpu() if isinstance(leaf, Tensor) and leaf.device.type not in _STAY else leaf
