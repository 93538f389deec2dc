"""JAX: lax.scan under jit; gradients by jax.vjp, which takes the results' gradients as torch.autograd.backward does."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.frameworks import Call
from benchmarks.problem import Problem, Values
from benchmarks.sizes import Size

MODES = ("train", "infer", "stream")
ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}
SHORT = 16  # at 5 steps unrolling halves a training step, at 100 it gains nothing


def start(threads: int) -> None:
    """XLA's pool has as many threads as NPROC says, which the worker's environment holds."""
    jax.config.update("jax_platforms", "cpu")


def calls(mode: str, problem: Problem) -> dict[str, Call]:
    """Each layer in one scan, and for short sequences in an unrolled one too; the stream as a step of its own."""
    jax.clear_caches()
    if mode == "stream":
        return {"step": stream(problem)}
    unrolls = {"scan": 1, "unrolled": 4} if problem.size.T <= SHORT else {"scan": 1}
    return {variant: whole(mode, problem, unroll) for variant, unroll in unrolls.items()}


def whole(mode: str, problem: Problem, unroll: int) -> Call:
    """Inference with the weights as constants of the compiled function, or a training step with respect to them."""
    weights = {name: jnp.asarray(w) for name, w in problem.weights.items()}
    x, cotangents = jnp.asarray(problem.x), (jnp.asarray(problem.doutput), jnp.asarray(problem.dh_n))

    @jax.jit
    def infer(x: Array) -> tuple[Array, Array]:
        return stack(problem.size, weights, x, unroll)

    @jax.jit
    def train(weights: dict[str, Array], x: Array, cotangents: tuple[Array, Array]) -> tuple[Any, Any]:
        results, pull_back = jax.vjp(lambda weights, x: stack(problem.size, weights, x, unroll), weights, x)
        return results, pull_back(cotangents)

    if mode == "infer":
        return Call(lambda: jax.block_until_ready(infer(x)), read)
    return Call(lambda: jax.block_until_ready(train(weights, x, cotangents)), read_gradients)


def stack(size: Size, weights: dict[str, Array], x: Array, unroll: int) -> tuple[Array, Array]:
    """Every layer and direction over whole sequences: one product for the input, then a scan over time."""
    activation, states = ACTIVATIONS[size.nonlinearity], []
    for layer in range(size.L):
        outputs = []
        for direction in ("", "_reverse")[: size.D]:
            suffix = f"_l{layer}{direction}"
            w_hh = weights[f"weight_hh{suffix}"]
            z = x @ weights[f"weight_ih{suffix}"].T + (weights[f"bias_ih{suffix}"] + weights[f"bias_hh{suffix}"])

            def step(h: Array, z_t: Array, w_hh: Array = w_hh) -> tuple[Array, Array]:
                h = activation(z_t + h @ w_hh.T)
                return h, h

            h_n, output = lax.scan(step, jnp.zeros((size.N, size.H)), z, reverse=direction == "_reverse", unroll=unroll)
            outputs.append(output)
            states.append(h_n)
        x = jnp.concatenate(outputs, -1)
    return x, jnp.stack(states)


def stream(problem: Problem) -> Call:
    """One jitted step of all layers; the weights are constants of the compiled step."""
    size = problem.size
    activation = ACTIVATIONS[size.nonlinearity]
    cells = [
        (jnp.asarray(w_ih.T), jnp.asarray(w_hh.T), jnp.asarray(b_ih + b_hh))
        for [(w_ih, w_hh, b_ih, b_hh)] in problem.cells()
    ]

    @jax.jit
    def step(states: list[Array], x_t: Array) -> list[Array]:
        next_states = []
        for (w_ih, w_hh, b), h in zip(cells, states, strict=True):
            x_t = activation(x_t @ w_ih + b + h @ w_hh)
            next_states.append(x_t)
        return next_states

    inputs = [jnp.asarray(x_t) for x_t in problem.x]
    zeros = [jnp.zeros((size.N, size.H))] * size.L

    def run() -> tuple[list[Array], list[Array]]:
        states, outputs = zeros, []
        for x_t in inputs:
            states = jax.block_until_ready(step(states, x_t))
            outputs.append(states[-1])
        return outputs, states

    return Call(run, lambda result: read((jnp.stack(result[0]), jnp.stack(result[1]))), size.T)


def read(results: tuple[Array, Array]) -> Values:
    """output and h_n."""
    return {"output": np.asarray(results[0]), "h_n": np.asarray(results[1])}


def read_gradients(result: tuple[Any, Any]) -> Values:
    """output, h_n, and the gradients of the input and of every weight."""
    results, (dweights, dx) = result
    return read(results) | {"dx": np.asarray(dx)} | {f"d{name}": np.asarray(dw) for name, dw in dweights.items()}
