"""Each cell in the lines of its equation: one step, and the same step back, written by hand from the equation.

v (N, G * H) is what the input gives to the gates and u (N, G * H) what the state before gives: W_ih x + b_ih and
W_hh h₋ + b_hh. Where a cell does nothing but add the two, b_hh is in v instead, once for all steps.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

States = tuple[Tensor, ...]
"""Those of a cell in its order, h first, (N, H) each; after a projection h is (N, P)."""


class Step(NamedTuple):
    """What one direction of one layer computed at one step; past a sequence's end it means nothing."""

    states_before: States
    input_term: Tensor
    """(N, G * H): W_ih x, gate after gate, as the rows of the weights."""
    recurrent_term: Tensor
    """(N, G * H): W_hh h₋."""
    pre_activation: Tensor
    """(N, G * H): these and the biases, as the cell puts them together."""
    gates: Tensor
    """(N, G * H): the value of each gate, the tanh, ReLU or logistic function of its pre-activation."""
    unprojected: Tensor
    """(N, H): h as the cell gives it, before w_hr; where nothing is projected, h."""
    states: States
    new: States
    """The new states, h after w_hr, before a leak blends them with those before."""

    @property
    def before(self) -> Tensor:
        """(N, P): h₋."""
        return self.states_before[0]

    @property
    def hidden(self) -> Tensor:
        """(N, P): h."""
        return self.states[0]


class Computed(NamedTuple):
    """What a cell makes of v, u and the states before: see `Step`."""

    pre_activation: Tensor
    gates: Tensor
    states: States


class Gradients(NamedTuple):
    """What a cell makes of the gradients at its states."""

    dv: Tensor
    """(N, G * H)"""
    du: Tensor | None = None
    """(N, G * H); None: dv, since v and u are only added."""
    d_before: Tensor | None = None
    """(N, H), at h₋, besides what comes through W_hh."""
    d_others_before: States = ()
    """At the other states before."""


class Blended(NamedTuple):
    """What a blend makes of the gradients at the states after it."""

    d_new: States
    """At the new states."""
    d_before: States
    """At the states before, besides what comes through the cell."""
    d_leak: Tensor
    """(N, W)"""


class Equation(NamedTuple):
    """One cell."""

    step: Callable[[Tensor, Tensor, States], Computed]
    """Of v, u and the states before."""
    step_back: Callable[[Step, Tensor, States], Gradients]
    """Of what the step computed, u, and the gradients at the new states, h not projected."""
    multiplies_u: bool = False
    """Whether a gate multiplies u, so that b_hh has to be in it, and du is another than dv."""
    blend: Callable[[States, States, Tensor], States] | None = None
    """Of the new states, those before and the leak; None: as `blend` of this module does."""
    unblend: Callable[[Step, Tensor, States], Blended] | None = None
    """Of the step, its leak and the gradients at the states after it."""


def blend(equation: Equation, new: States, before: States, leak: Tensor) -> States:
    """The states after a step: of each the share `leak` of the new one, and the rest of the one before."""
    if equation.blend is not None:
        return equation.blend(new, before, leak)
    shares = _split(leak, new)
    return tuple((1 - a) * old + a * state for a, old, state in zip(shares, before, new, strict=True))


def _split(leak: Tensor, states: States) -> States:
    """The leak of each state."""
    return torch.split(leak, [state.shape[-1] for state in states], -1)


def unblend(equation: Equation, step: Step, leak: Tensor, d_states: States) -> Blended:
    """The way back through `blend`."""
    if equation.unblend is not None:
        return equation.unblend(step, leak, d_states)
    shares = _split(leak, step.new)
    terms = list(zip(shares, d_states, step.new, step.states_before, strict=True))
    return Blended(
        tuple(a * d for a, d, _, _ in terms),
        tuple((1 - a) * d for a, d, _, _ in terms),
        torch.cat([d * (state - old) for _, d, state, old in terms], -1),
    )


class Function(NamedTuple):
    """A nonlinearity f."""

    of: Callable[[Tensor], Tensor]
    back: Callable[[Tensor, Tensor], Tensor]
    """Of the gradient at f(a), and f(a): the gradient at a."""


_softplus = partial(F.softplus, threshold=40.0)  # torch's own threshold of 20 rounds to 1e-10
FUNCTIONS = {
    "tanh": Function(torch.tanh, lambda d, f: d * (1 - f * f)),
    # torch's own, a function of f too, with a derivative of 0, so that second gradients lead to all that torch's do
    "relu": Function(torch.relu, lambda d, f: torch.ops.aten.threshold_backward(d, f, 0)),
    "sigmoid": Function(torch.sigmoid, lambda d, f: d * (f * (1 - f))),
    "softplus": Function(_softplus, lambda d, f: d * -torch.expm1(-f)),
    "retanh": Function(lambda a: torch.relu(torch.tanh(a)), lambda d, f: torch.where(f <= 0, 0, d * (1 - f * f))),
}


def _elman(name: str) -> Equation:
    function = FUNCTIONS[name]

    def step(v: Tensor, u: Tensor, before: States) -> Computed:
        a = v + u
        h = function.of(a)
        return Computed(a, h, (h,))

    def step_back(step: Step, u: Tensor, d_states: States) -> Gradients:
        return Gradients(function.back(d_states[0], step.gates))

    return Equation(step, step_back)


def _potential(name: str) -> Equation:
    """The new potential is the pre-activation itself. h follows from the potential after the blend."""
    function = FUNCTIONS[name]

    def step(v: Tensor, u: Tensor, before: States) -> Computed:
        a = v + u
        return Computed(a, a, (before[0], a))

    def step_back(step: Step, u: Tensor, d_states: States) -> Gradients:
        d_h, d_a = d_states
        return Gradients(d_a, d_others_before=(torch.zeros_like(d_h),))

    def blend(new: States, before: States, leak: Tensor) -> States:
        potential = (1 - leak) * before[1] + leak * new[1]
        return function.of(potential), potential

    def unblend(step: Step, leak: Tensor, d_states: States) -> Blended:
        d = d_states[1] + function.back(d_states[0], step.states[0])
        nothing = torch.zeros_like(d)
        return Blended((nothing, leak * d), (nothing, (1 - leak) * d), d * (step.new[1] - step.states_before[1]))

    return Equation(step, step_back, blend=blend, unblend=unblend)


def _gru(v: Tensor, u: Tensor, before: States) -> Computed:
    v_r, v_z, v_n = v.chunk(3, -1)
    u_r, u_z, u_n = u.chunk(3, -1)
    a_r, a_z = v_r + u_r, v_z + u_z
    r, z = torch.sigmoid(a_r), torch.sigmoid(a_z)
    a_n = v_n + r * u_n
    n = torch.tanh(a_n)
    h = (1 - z) * n + z * before[0]
    return Computed(torch.cat([a_r, a_z, a_n], -1), torch.cat([r, z, n], -1), (h,))


def _gru_back(step: Step, u: Tensor, d_states: States) -> Gradients:
    r, z, n = step.gates.chunk(3, -1)
    u_n = u.chunk(3, -1)[2]
    (dh,) = d_states
    da_n = dh * (1 - z) * (1 - n * n)
    da_z = dh * (step.before - n) * z * (1 - z)
    da_r = da_n * u_n * r * (1 - r)
    dv = torch.cat([da_r, da_z, da_n], -1)
    du = torch.cat([da_r, da_z, da_n * r], -1)
    return Gradients(dv, du, d_before=dh * z)


def _lstm(v: Tensor, u: Tensor, before: States) -> Computed:
    a = v + u
    a_i, a_f, a_g, a_o = a.chunk(4, -1)
    i, f, g, o = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g), torch.sigmoid(a_o)
    c = f * before[1] + i * g
    h = o * torch.tanh(c)
    return Computed(a, torch.cat([i, f, g, o], -1), (h, c))


def _lstm_back(step: Step, u: Tensor, d_states: States) -> Gradients:
    i, f, g, o = step.gates.chunk(4, -1)
    c_before, c = step.states_before[1], step.new[1]
    dh, dc = d_states
    tanh_c = torch.tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    da_i = dc * g * i * (1 - i)
    da_f = dc * c_before * f * (1 - f)
    da_g = dc * i * (1 - g * g)
    da_o = dh * tanh_c * o * (1 - o)
    return Gradients(torch.cat([da_i, da_f, da_g, da_o], -1), d_others_before=(dc * f,))


EQUATIONS = {
    "rnn_tanh": _elman("tanh"),
    "rnn_relu": _elman("relu"),
    "gru": Equation(_gru, _gru_back, multiplies_u=True),
    "lstm": Equation(_lstm, _lstm_back),
    **{f"leaky_{name}": _elman(name) for name in FUNCTIONS},
    **{f"potential_{name}": _potential(name) for name in FUNCTIONS},
}
