"""Starts of a whole recurrent layer, in place, as those of `torch.nn.init` are of a tensor.

They fill the layers of one gate, `elman.RNN`, `elman.LeakyRNN` and `torch.nn.RNN`: every layer and direction of it.
Parametrizations stay in force: a weight is set through them.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elman.nn.parametrizations import DalesLaw

__all__ = ["echo_state_", "identity_", "spectral_radius"]

Layer = TypeVar("Layer", bound=nn.RNNBase)


def spectral_radius(weight: Tensor) -> float:
    """The largest magnitude of an eigenvalue of a square matrix, such as `layer.weight_hh_l0`."""
    return float(torch.linalg.eigvals(weight.detach().double()).abs().max())


@torch.no_grad()
def echo_state_(
    layer: Layer,
    radius: float = 0.9,
    density: float = 0.1,
    input_scale: float = 1.0,
    bias_scale: float = 0.0,
    generator: torch.Generator | None = None,
) -> Layer:
    """Lets a layer start as a reservoir: sparse W_hh of a given spectral radius, uniform W_ih and b_ih, b_hh = 0.

    The radius is that of W_hh as its parametrizations make it. Under `elman.DalesLaw` inhibition is drawn as strong as
    excitation, in sum: without that balance the common excitation is all that the radius measures.
    `layer.requires_grad_(False)` keeps the reservoir as it is. Source: Jaeger, GMD Report 148, 2001; Lukoševičius, "A
    practical guide to applying echo state networks", 2012.

    Args:
        layer: filled in place.
        radius: the spectral radius of each W_hh, above 0. Default: 0.9.
        density: the share of W_hh that is drawn, from U(-1, 1); the rest is 0. Above 0 and up to 1. Default: 0.1.
        input_scale: W_ih is drawn from U(-input_scale, input_scale). Default: 1.
        bias_scale: b_ih is drawn from U(-bias_scale, bias_scale). Default: 0.
        generator: where the numbers come from. Default: torch's own.

    Returns:
        The layer.

    Raises:
        ValueError: a layer with gates; a radius, density or scale out of range; a W_hh with no eigenvalue but 0; a
            parametrization or hook that does not keep what is set.
    """
    if not 0 < radius < float("inf"):
        raise ValueError(f"radius has to be above 0 and finite, and is {radius}.")
    if not 0 < density <= 1:
        raise ValueError(f"density is a share, above 0 and up to 1, and is {density}.")
    for name, weight in _named(layer, "weight_hh"):
        drawn = torch.empty_like(weight).uniform_(-1, 1, generator=generator)
        for law in _laws(layer, name):
            drawn = drawn * law.balance().to(drawn)
        there = torch.empty_like(weight).uniform_(generator=generator) < density
        _set(layer, name, drawn.where(there, 0))
        now = spectral_radius(getattr(layer, name))
        if now < 1e-6:
            raise ValueError(
                f"{name} has no eigenvalue but 0, so no scale gives it a spectral radius of {radius}: too few of the "
                f"connections among {len(weight)} units are there at density {density}."
            )
        _set(layer, name, getattr(layer, name) * (radius / now))
        made_anew = parametrize.is_parametrized(layer, name)  # elsewhere the radius is scaled with the matrix
        if made_anew and abs(spectral_radius(getattr(layer, name)) / radius - 1) > 1e-3:
            raise ValueError(
                f"The parametrization of {name} does not keep a scale, as orthogonal does not: it gives no "
                f"spectral radius of {radius}. Start the layer first, or leave the parametrization out."
            )
    for kind, scale in (("weight_ih", input_scale), ("bias_ih", bias_scale), ("bias_hh", 0.0)):
        for name, weight in _named(layer, kind):
            _set(layer, name, torch.empty_like(weight).uniform_(-scale, scale, generator=generator))
    return layer


@torch.no_grad()
def identity_(
    layer: Layer, scale: float = 1.0, input_std: float = 0.001, generator: torch.Generator | None = None
) -> Layer:
    """Lets a layer start as an IRNN: W_hh = scale * identity, W_ih small and normal, biases 0.

    With `nonlinearity="relu"` a state then stays as it is until something comes in. Source: Le, Jaitly and Hinton,
    arXiv:1504.00941, 2015.

    Args:
        layer: filled in place.
        scale: below 1 the state fades, by this factor a step. Default: 1.
        input_std: the standard deviation of W_ih. Default: 0.001, as in the source.
        generator: where the numbers come from. Default: torch's own.

    Returns:
        The layer.

    Raises:
        ValueError: a layer with gates; a parametrization or hook that does not keep the identity.
    """
    for name, weight in _named(layer, "weight_hh"):
        start = scale * torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
        _set(layer, name, start)
        if not torch.allclose(getattr(layer, name), start, atol=1e-5):
            raise ValueError(
                f"The parametrization of {name} does not keep the identity: a law of signs, a mask or a low rank makes "
                "another matrix of it. Start the layer without it."
            )
    for name, weight in _named(layer, "weight_ih"):
        _set(layer, name, torch.empty_like(weight).normal_(0, input_std, generator=generator))
    for name, weight in _named(layer, "bias"):
        _set(layer, name, torch.zeros_like(weight))
    return layer


def _named(layer: nn.RNNBase, start: str) -> list[tuple[str, Tensor]]:
    """The layer's weights whose names begin so, as they are now."""
    if layer.mode in ("GRU", "LSTM"):
        raise ValueError(
            f"{type(layer).__name__} has gates, each with a W_hh of its own: this start is for layers of one, as RNN."
        )
    names = [name for weights in layer._all_weights for name in weights if name.startswith(start)]
    for name in names:
        if name not in layer._parameters and not parametrize.is_parametrized(layer, name):
            raise ValueError(
                f"{name} is no Parameter: a hook (torch.nn.utils.weight_norm, prune, ...) makes it anew at every call, "
                "and what is set would be lost. Start the layer first, then register the hook."
            )
    return [(name, getattr(layer, name)) for name in names]


def _laws(layer: nn.RNNBase, name: str) -> list[DalesLaw]:
    parametrizations: Any = getattr(layer, "parametrizations", {})
    return [law for law in parametrizations[name] if isinstance(law, DalesLaw)] if name in parametrizations else []


def _set(layer: nn.RNNBase, name: str, value: Tensor) -> None:
    if parametrize.is_parametrized(layer, name):
        setattr(layer, name, value)
    else:
        getattr(layer, name).copy_(value)
