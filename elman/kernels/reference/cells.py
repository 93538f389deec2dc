"""Each cell in the lines of its equation: one step, and the same step back, written by hand from the equation.

v (N, G * H) is what the input gives to the gates and u (N, G * H) what the state before gives: W_ih x + b_ih and
W_hh h₋ + b_hh. Where a cell does nothing but add the two, b_hh is in v instead, once for all steps.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

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


class Equation(NamedTuple):
    """One cell."""

    step: Callable[[Tensor, Tensor, States], Computed]
    """Of v, u and the states before."""
    step_back: Callable[[Step, Tensor, States], Gradients]
    """Of what the step computed, u, and the gradients at the states after it, h not projected."""
    multiplies_u: bool = False
    """Whether a gate multiplies u, so that b_hh has to be in it, and du is another than dv."""


def _rnn_tanh(v: Tensor, u: Tensor, before: States) -> Computed:
    a = v + u
    h = torch.tanh(a)
    return Computed(a, h, (h,))


def _rnn_tanh_back(step: Step, u: Tensor, d_states: States) -> Gradients:
    (dh,) = d_states
    da = dh * (1 - step.hidden * step.hidden)
    return Gradients(da)


def _rnn_relu(v: Tensor, u: Tensor, before: States) -> Computed:
    a = v + u
    h = torch.relu(a)
    return Computed(a, h, (h,))


def _rnn_relu_back(step: Step, u: Tensor, d_states: States) -> Gradients:
    (dh,) = d_states
    da = torch.where(step.hidden <= 0, 0, dh)
    return Gradients(da)


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
    c_before, c = step.states_before[1], step.states[1]
    dh, dc = d_states
    tanh_c = torch.tanh(c)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    da_i = dc * g * i * (1 - i)
    da_f = dc * c_before * f * (1 - f)
    da_g = dc * i * (1 - g * g)
    da_o = dh * tanh_c * o * (1 - o)
    return Gradients(torch.cat([da_i, da_f, da_g, da_o], -1), d_others_before=(dc * f,))


EQUATIONS = {
    "rnn_tanh": Equation(_rnn_tanh, _rnn_tanh_back),
    "rnn_relu": Equation(_rnn_relu, _rnn_relu_back),
    "gru": Equation(_gru, _gru_back, multiplies_u=True),
    "lstm": Equation(_lstm, _lstm_back),
}
