"""A layer of one class becomes a layer of another: the same object, Parameters, hooks and parametrizations."""

from typing import Any

from torch import nn
from torch.nn.utils import parametrize


def own_class(layer: nn.Module) -> type[nn.Module]:
    """The class that was called to build the layer. A parametrization puts a class of its own on top of it."""
    kind = type(layer)
    return kind.__bases__[0] if _has_class_of_parametrization(layer) else kind


def become(layer: nn.Module, target: type[nn.Module]) -> None:
    """Changes the class of a recurrent layer or cell, between torch's and elman's of the same kind."""
    if _has_class_of_parametrization(layer):
        own = {name: value for name, value in vars(type(layer)).items() if name not in ("__dict__", "__weakref__")}
        target = type(f"Parametrized{target.__name__}", (target,), own)
    same: Any = layer
    if not isinstance(layer, nn.RNNBase):
        same.__class__ = target
        return
    put = _put_by_hand(layer)
    vars(layer).pop("_flat_weights", None)  # torch's own list would only go stale
    layer._flat_weight_refs = []
    if layer.mode.startswith("RNN_"):
        same.nonlinearity = layer.mode.removeprefix("RNN_").lower()
    same.__class__ = target
    layer._init_flat_weights()
    for name, weight in put.items():
        layer._flat_weights[layer._flat_weights_names.index(name)] = weight


def _has_class_of_parametrization(layer: nn.Module) -> bool:
    return parametrize.is_parametrized(layer) and type(layer).__name__.startswith("Parametrized")


def _put_by_hand(layer: nn.RNNBase) -> dict[str, Any]:
    """What stands in `_flat_weights` in the place of a parameter."""
    pairs = zip(layer._flat_weights_names, layer._flat_weights, strict=True)
    return {
        name: weight
        for name, weight in pairs
        # what a parametrization computes is another tensor each time
        if not parametrize.is_parametrized(layer, name) and weight is not getattr(layer, name, None)
    }
