"""JAX: lax.scan under jit; gradients by jax.vjp, which takes the results' gradients as torch.autograd.backward does."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.frameworks import Call
from benchmarks.frameworks.jax_cells import States, biases, step_of
from benchmarks.problem import Problem, Values
from benchmarks.sizes import Size

MODES = ("train", "infer", "stream")
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
    x, cotangents = jnp.asarray(problem.x), tuple(map(jnp.asarray, problem.cotangents))

    @jax.jit
    def infer(x: Array) -> tuple[Array, ...]:
        return stack(problem.size, weights, x, unroll)

    @jax.jit
    def train(weights: dict[str, Array], x: Array, cotangents: tuple[Array, ...]) -> tuple[Any, Any]:
        results, pull_back = jax.vjp(lambda weights, x: stack(problem.size, weights, x, unroll), weights, x)
        return results, pull_back(cotangents)

    if mode == "infer":
        return Call(lambda: jax.block_until_ready(infer(x)), lambda results: read(problem, results))
    return Call(
        lambda: jax.block_until_ready(train(weights, x, cotangents)), lambda found: read_gradients(problem, found)
    )


def stack(size: Size, weights: dict[str, Array], x: Array, unroll: int) -> tuple[Array, ...]:
    """Every layer and direction over whole sequences: one product for the input, then a scan over time."""
    cell, lasts = step_of(size), []
    zeros = (jnp.zeros((size.N, size.H)),) * len(size.states)
    for layer in range(size.L):
        outputs = []
        for direction in ("", "_reverse")[: size.D]:
            suffix = f"_l{layer}{direction}"
            w_hh = weights[f"weight_hh{suffix}"]
            b_x, b_h = biases(size, weights[f"bias_ih{suffix}"], weights[f"bias_hh{suffix}"])
            terms = x @ weights[f"weight_ih{suffix}"].T + b_x

            def step(states: States, x_t: Array, w_hh: Array = w_hh, b_h: Array = b_h) -> tuple[States, Array]:
                states = cell(states, x_t, states[0] @ w_hh.T + b_h)
                return states, states[0]

            last, output = lax.scan(step, zeros, terms, reverse=direction == "_reverse", unroll=unroll)
            outputs.append(output)
            lasts.append(last)
        x = jnp.concatenate(outputs, -1)
    return x, *map(jnp.stack, zip(*lasts, strict=True))


def stream(problem: Problem) -> Call:
    """One jitted step of all layers; the weights are constants of the compiled step."""
    size = problem.size
    cell = step_of(size)
    layers = [
        (jnp.asarray(w_ih.T), jnp.asarray(w_hh.T), *biases(size, jnp.asarray(b_ih), jnp.asarray(b_hh)))
        for [(w_ih, w_hh, b_ih, b_hh)] in problem.directions()
    ]

    @jax.jit
    def step(states: list[States], x_t: Array) -> list[States]:
        after = []
        for (w_ih, w_hh, b_x, b_h), before in zip(layers, states, strict=True):
            after.append(cell(before, x_t @ w_ih + b_x, before[0] @ w_hh + b_h))
            x_t = after[-1][0]
        return after

    inputs = [jnp.asarray(x_t) for x_t in problem.x]
    zeros = [(jnp.zeros((size.N, size.H)),) * len(size.states)] * size.L

    def run() -> tuple[list[Array], list[States]]:
        states, outputs = zeros, []
        for x_t in inputs:
            states = jax.block_until_ready(step(states, x_t))
            outputs.append(states[-1][0])
        return outputs, states

    def read_steps(result: tuple[list[Array], list[States]]) -> Values:
        outputs, states = result
        return read(problem, (jnp.stack(outputs), *map(jnp.stack, zip(*states, strict=True))))

    return Call(run, read_steps, size.T)


def read(problem: Problem, results: tuple[Array, ...]) -> Values:
    """output and the last states."""
    return problem.named(map(np.asarray, results))


def read_gradients(problem: Problem, found: tuple[Any, Any]) -> Values:
    """The results, and the gradients of the input and of every weight."""
    results, (dweights, dx) = found
    return (
        read(problem, results) | {"dx": np.asarray(dx)} | {f"d{name}": np.asarray(dw) for name, dw in dweights.items()}
    )
