"""The leak α of a leaky layer or cell: a number, one for each unit, or learned."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from elman.kernels.cells import FUNCTIONS

Form = Literal["activation", "potential"]
Nonlinearity = Literal["tanh", "relu", "sigmoid", "softplus", "retanh"]
_FORMS = ("activation", "potential")


class Leaking(nn.Module):
    """What a leaky layer and a leaky cell share: the form, the leak, the noise."""

    form: Form
    nonlinearity: str
    hidden_size: int
    noise: float
    _number: float | None
    """The leak, where it is a number that is not learned."""
    leak_units: Tensor
    leak_logit: Tensor

    def _set_form(self, form: Any, nonlinearity: Any) -> None:
        if not isinstance(form, str) or form not in _FORMS:
            raise ValueError(f"Unknown form {form!r}. Select from 'activation' or 'potential'.")
        if not isinstance(nonlinearity, str) or nonlinearity not in FUNCTIONS:
            names = " or ".join(map(repr, FUNCTIONS))
            raise ValueError(f"Unknown nonlinearity {nonlinearity!r}. Select from {names}.")
        self.form, self.nonlinearity = form, nonlinearity  # type: ignore[assignment]

    def _set_leak(
        self, leak: float | Sequence[float] | Tensor, learn_leak: bool, noise: float, places: int, like: Tensor
    ) -> None:
        """Takes what a constructor is given, for so many directions of layers."""
        if isinstance(noise, bool) or not isinstance(noise, int | float) or not 0 <= noise < math.inf:
            raise ValueError(f"noise should be a number from 0 on, a standard deviation; got {noise!r}.")
        self.noise = noise
        self._number = None
        self.learn_leak = learn_leak
        # in double precision, so that 0.1 and a tensor of 0.1 give the same number
        values = torch.as_tensor(leak, dtype=torch.float64, device="cpu").detach()
        fits = (places, self.hidden_size)
        if values.dim() > 2 or any(
            has not in (1, of) for has, of in zip(reversed(values.shape), reversed(fits), strict=False)
        ):
            raise ValueError(
                f"leak should be a number, or one for each unit, ({self.hidden_size},), or for each direction of each "
                f"layer and unit, {fits}; got {tuple(values.shape)}."
            )
        if not bool(((values > 0) & (values <= 1)).all()):
            raise ValueError(f"leak should lie above 0 and be at most 1, got {leak}.")
        if learn_leak:
            if not bool((values < 1).all()):
                raise ValueError(
                    "A leak that is learned is the logistic function of a parameter, which 1 is not: begin below, with "
                    "0.99 or so."
                )
            start = torch.logit(values).expand(places, values.shape[-1] if values.dim() else 1)
            self.leak_logit = nn.Parameter(start.to(like).clone())
            self._start = start.clone()
        elif values.dim() == 0:
            self._number = float(values)
        else:
            self.register_buffer("leak_units", values[(None,) * (2 - values.dim())].to(like).clone())

    def _reset_leak(self) -> None:
        """Where it is learned: back to the start."""
        if "leak_logit" in self._parameters:
            with torch.no_grad():
                self.leak_logit.copy_(self._start)

    @property
    def leak(self) -> float | Tensor:
        """α now: the number that was given; or (1 or L * D, 1 or H), of each unit, and differentiable where it is
        learned."""
        if self._number is not None:
            return self._number
        if not self.learn_leak:
            units: Tensor = self.leak_units
            return units
        return torch.sigmoid(self.leak_logit).clamp_min(torch.finfo(self.leak_logit.dtype).tiny)

    def _leak_of(self, x: Tensor) -> Tensor:
        """α beside an input x, (1 or L * D, 1, 1, 1 or H), for packed rows with an axis less."""
        leak = self.leak
        same = (1,) * (x.dim() - 1)
        if not isinstance(leak, Tensor):
            return x.new_full((1, *same, self.hidden_size), leak)
        places, width = leak.shape
        return leak.reshape(places, *same, width)

    def _said(self) -> str:
        """For extra_repr."""
        leak = self.leak
        shown = tuple(leak.shape) if isinstance(leak, Tensor) else leak
        said = f"form={self.form}, nonlinearity={self.nonlinearity}, leak={shown}"
        said += ", learn_leak=True" if self.learn_leak else ""
        return f"{said}, noise={self.noise}" if self.noise else said
