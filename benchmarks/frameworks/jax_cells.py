"""One step of each cell in JAX: from the states and the terms of all gates to the states after it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from benchmarks.sizes import Size

States = tuple[Array, ...]
Step = Callable[[States, Array, Array], States]


def step_of(size: Size) -> Step:
    """The step of a size's cell."""
    return {"rnn": plain({"tanh": jnp.tanh, "relu": jax.nn.relu}[size.nonlinearity]), "gru": gru, "lstm": lstm}[
        size.cell
    ]


def biases(size: Size, b_ih: Array, b_hh: Array) -> tuple[Array, Array]:
    """What is added to the input's terms and to the recurrent ones: one sum, but for a GRU, whose r meets b_hh."""
    return (b_ih, b_hh) if size.cell == "gru" else (b_ih + b_hh, jnp.zeros(()))


def plain(activation: Callable[[Array], Array]) -> Step:
    """The Elman cell."""
    return lambda states, x_terms, h_terms: (activation(x_terms + h_terms),)


def gru(states: States, x_terms: Array, h_terms: Array) -> States:
    """Gates r, z, n."""
    (h,) = states
    x_r, x_z, x_n = jnp.split(x_terms, 3, -1)
    h_r, h_z, h_n = jnp.split(h_terms, 3, -1)
    n = jnp.tanh(x_n + jax.nn.sigmoid(x_r + h_r) * h_n)
    z = jax.nn.sigmoid(x_z + h_z)
    return ((1 - z) * n + z * h,)


def lstm(states: States, x_terms: Array, h_terms: Array) -> States:
    """Gates i, f, g, o."""
    i, f, g, o = jnp.split(x_terms + h_terms, 4, -1)
    c = jax.nn.sigmoid(f) * states[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c
