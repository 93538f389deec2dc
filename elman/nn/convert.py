"""torch's recurrent layers into elman's and back, in place: a layer stays the object it is and changes its class."""

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.rnn import RNNCellBase

from elman.nn.become import become, own_class
from elman.nn.gru import GRU, GRUCell
from elman.nn.lstm import LSTM, LSTMCell
from elman.nn.recurrent import Recurrent, RecurrentCell
from elman.nn.rnn import RNN, RNNCell

_OURS: dict[type[nn.Module], type[nn.Module]] = {
    nn.RNN: RNN,
    nn.GRU: GRU,
    nn.LSTM: LSTM,
    nn.RNNCell: RNNCell,
    nn.GRUCell: GRUCell,
    nn.LSTMCell: LSTMCell,
}
_TORCHS = {ours: theirs for theirs, ours in _OURS.items()}
_SIX = {kind.__name__ for kind in _OURS}
_OF_QUANTIZATION = ("torch.ao.nn.quantized.", "torch.ao.nn.quantizable.")
"""The packages of layers that hold quantized weights, or are about to."""


class Conversion(NamedTuple):
    """What `convert` or `to_torch` did. As text it says so in one or two sentences."""

    module: nn.Module
    """The module that was given."""
    converted: list[str]
    """The names of the layers whose class changed, as in `named_modules`; "" is the module itself."""
    left: dict[str, str]
    """The names of other recurrent layers, each with the reason why it was left alone."""

    def __str__(self) -> str:
        names = ", ".join(name or "the module itself" for name in self.converted)
        said = f"{len(self.converted)} converted: {names}." if names else "Nothing to convert."
        if self.left:
            reasons = "; ".join(f"{name or 'the module itself'} ({why})" for name, why in self.left.items())
            said += f" Left alone: {reasons}."
        return said


def convert(module: nn.Module) -> Conversion:
    """Makes every recurrent layer and cell of torch in a module (`RNN`, `GRU`, `LSTM`) elman's, in place.

    Each layer stays the same object with the same Parameters: an optimiser built before keeps working, and shared
    layers, tied weights, hooks, parametrizations, pruning and the training mode stay as they are.

    Args:
        module: any module, also a layer itself.

    Returns:
        What was converted, and which recurrent layers were left alone and why: subclasses, whose own code might be
        lost, and what is compiled or quantized.

    Raises:
        TypeError: module is no torch.nn.Module.

    Example:
        >>> import elman, torch
        >>> model = torch.nn.ModuleDict({"encoder": torch.nn.RNN(3, 4), "decoder": torch.nn.GRU(4, 4)})
        >>> print(elman.convert(model))
        2 converted: encoder, decoder.
        >>> type(model["encoder"])
        <class 'elman.nn.rnn.RNN'>
    """
    return _change(module, _OURS)


def to_torch(module: nn.Module) -> Conversion:
    """Makes every layer and cell of elman's in a module torch's again, in place: the way back from `convert`.

    For code that asks for `isinstance(layer, torch.nn.RNN)`, such as torch's dynamic quantization.

    Args:
        module: any module, also a layer itself.

    Returns:
        What was converted, and which subclasses of elman's layers were left alone.

    Raises:
        TypeError: module is no torch.nn.Module.

    Example:
        >>> import elman, torch
        >>> rnn = elman.RNN(3, 4)
        >>> print(elman.to_torch(rnn))
        1 converted: the module itself.
        >>> type(rnn)
        <class 'torch.nn.modules.rnn.RNN'>
    """
    return _change(module, _TORCHS)


def _change(module: nn.Module, classes: dict[type[nn.Module], type[nn.Module]]) -> Conversion:
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"module should be a torch.nn.Module, got {type(module).__name__}. "
            "A list of layers becomes one in torch.nn.ModuleList(...)."
        )
    result = Conversion(module, [], {})
    parts: set[nn.Module] = set()  # of layers for quantization, which are said once
    for name, layer in list(module.named_modules()):
        if layer in parts:
            continue
        if own_class(layer) in classes and not (classes is _TORCHS and _beyond_torch(layer)):
            become(layer, classes[own_class(layer)])
            result.converted.append(name)
        elif (reason := _reason_to_leave(layer, classes)) is not None:
            result.left[name] = reason
            if _is_for_quantization(layer):
                parts.update(layer.modules())
    return result


def _is_for_quantization(layer: nn.Module) -> bool:
    kind = own_class(layer)
    return kind.__module__.startswith(_OF_QUANTIZATION) and kind.__name__ in _SIX


def _beyond_torch(layer: nn.Module) -> str | None:
    """What a layer of elman's computes that torch's cannot."""
    return layer._beyond_torch() if isinstance(layer, Recurrent) else None


def _reason_to_leave(layer: nn.Module, classes: dict[type[nn.Module], type[nn.Module]]) -> str | None:
    """Why a recurrent layer is not converted; None for what is no recurrent layer, or has the wanted class already."""
    kind = own_class(layer)
    if isinstance(layer, torch.jit.ScriptModule):
        named = getattr(layer, "original_name", None)
        return f"a scripted {named} is compiled" if named in _SIX else None
    if kind in classes.values():
        return None
    if classes is _OURS and _is_for_quantization(layer):
        return f"torch's {kind.__name__} for quantization: convert the model as it was before"
    if classes is _TORCHS and (more := _beyond_torch(layer)) is not None:
        return f"torch's layers have no {more}"
    for theirs in classes:
        if isinstance(layer, theirs):
            return f"{kind.__name__} is a subclass of {theirs.__module__.split('.')[0]}'s {theirs.__name__}"
    if classes is _OURS and isinstance(layer, nn.RNNBase | RNNCellBase):
        return None if isinstance(layer, Recurrent | RecurrentCell) else f"elman has no {kind.__name__}"
    return None


_built: ContextVar[list[nn.Module] | None] = ContextVar("elman_patch", default=None)
_lock = threading.Lock()
_blocks = 0
_originals: dict[type[nn.Module], Any] = {}


@contextlib.contextmanager
def patch() -> Iterator[list[nn.Module]]:
    """Within the block, `torch.nn.RNN(...)`, `GRU(...)`, `LSTM(...)` and their cells build elman's.

    For libraries that build the layer themselves, however they have imported it. A layer is converted when its
    constructor returns, so `isinstance(layer, torch.nn.RNN)` is False. Subclasses are built as ever, and so is
    everything in other threads and tasks.

    Yields:
        The list of the layers built so far: empty where nothing asked for one.

    Example:
        >>> import elman, torch
        >>> with elman.patch() as built:
        ...     model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.RNN(3, 4))
        >>> built
        [RNN(3, 4)]
        >>> type(model[1])
        <class 'elman.nn.rnn.RNN'>
    """
    _watch_constructors(1)
    token = _built.set([])
    try:
        built = _built.get()
        assert built is not None
        yield built
    finally:
        _built.reset(token)
        _watch_constructors(-1)


def _watch_constructors(more: int) -> None:
    """Puts a constructor that converts in place of torch's while there is any block, in any thread."""
    global _blocks
    with _lock:
        if _blocks == 0:
            for kind in _OURS:
                _originals[kind] = kind.__init__
                kind.__init__ = _converting(kind.__init__, kind)  # type: ignore[method-assign]
        _blocks += more
        if _blocks == 0:
            for kind, original in _originals.items():
                kind.__init__ = original  # type: ignore[method-assign]


def _converting(original: Any, kind: type[nn.Module]) -> Any:
    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        built = _built.get()
        if built is not None and type(self) is kind:
            become(self, _OURS[kind])
            built.append(self)

    __init__.__wrapped__ = original  # type: ignore[attr-defined]
    return __init__
