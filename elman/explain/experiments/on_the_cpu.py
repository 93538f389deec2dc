"""A model on a GPU is examined as a copy on the CPU.

An experiment may lead a model to an index that is out of range. On the CPU that is an error like another; on a GPU it
ends whatever the process does there. Nor do all of a GPU's operations have float32's precision.
"""

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from elman.explain.experiments.as_found import Snapshot
from elman.explain.experiments.call import Call
from elman.explain.experiments.clock import Clock
from elman.explain.experiments.not_checked import Refused
from elman.explain.experiments.patient import Patient

_STAY = ("cpu", "meta")
_NOTE = "elman.doctor examines a model of another device as a copy on the CPU: this was raised there, and not before."


@contextlib.contextmanager
def on_the_cpu(model: nn.Module, call: Call, clock: Clock) -> Iterator[tuple[nn.Module, Call]]:
    """The model and the call if they are on the CPU, else copies that are. Within the block all that a model's code
    makes is there, too.

    Raises:
        Exception: whatever the model raises where it is.
    """
    devices = _devices(model, call)
    if not devices and torch.get_default_device().type == "cpu":
        yield model, call
        return
    if devices:
        _run(model, call, clock, devices)
    try:
        with torch.device("cpu"):
            if devices:
                model, call = _copied(model), _moved(call)
            with _Here():
                yield model, call
    except Exception as error:
        if devices:
            error.add_note(_NOTE)
        raise


def _devices(model: nn.Module, call: Call) -> set[torch.device]:
    """Those of parameters, buffers and arguments that are not the CPU."""
    leaves = [one for leaf in call.leaves for one in (leaf if isinstance(leaf, list) else [leaf])]
    given = [getattr(leaf, "data", None) for leaf in leaves]  # of a packed sequence its rows
    tensors = [t for t in (*model.parameters(), *model.buffers(), *given) if isinstance(t, Tensor)]
    return {tensor.device for tensor in tensors if tensor.device.type not in _STAY}


def _run(model: nn.Module, call: Call, clock: Clock, devices: set[torch.device]) -> None:
    """Once where it is, and then it is as it was."""
    patient = Patient(model, call, clock)
    with contextlib.ExitStack() as stack:
        for kind in {device.type for device in devices}:
            places = [device.index or 0 for device in devices if device.type == kind]
            stack.enter_context(torch.random.fork_rng(places, device_type=kind))
        stack.enter_context(patient.left_as_found())
        try:
            patient.run()
        except Refused as refused:
            raise refused.error from None


def _copied(model: nn.Module) -> nn.Module:
    """A copy all of whose tensors are on the CPU."""
    tensors = [tensor for tensor in Snapshot(model).tensors if tensor.device.type not in _STAY]
    copied = copy.deepcopy(model, {id(tensor): _copy(tensor) for tensor in tensors})
    for module in copied.modules():
        if isinstance(module, nn.DataParallel):
            module.device_ids = []  # then it calls its module
    return copied


def _copy(tensor: Tensor) -> Tensor:
    copied = tensor.detach().cpu()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(copied, tensor.requires_grad)
    return copied.requires_grad_(tensor.requires_grad)


def _moved(call: Call) -> Call:
    """With its arguments on the CPU."""
    lengths = call.lengths.cpu() if isinstance(call.lengths, Tensor) else call.lengths
    return dataclasses.replace(call, leaves=tuple(map(_here_too, call.leaves)), lengths=lengths)


def _here_too(leaf: Any) -> Any:
    if isinstance(leaf, list):
        return [_here_too(one) for one in leaf]
    return leaf.cpu() if isinstance(leaf, Tensor | PackedSequence) else leaf


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
