"""LeakyRNN beside the loops over time that its users write: `python -m benchmarks.leaky [--rounds 7]`.

Training steps (output's sum, all gradients) of elman.LeakyRNN, of a loop in torch, where JAX is installed of its scan,
and of elman.RNN of the same size; recurrent dropout and zoneout, on and off; the states of a reservoir, beside
ReservoirPy where that is installed. Agreement is checked first. In one process, in turn, medians; two threads each.
"""

import argparse
import importlib.util
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import elman

SIZES = {"T100 N32 I10 H100": (100, 32, 10, 100), "T500 N16 I3 H200": (500, 16, 3, 200)}
FORMS = ("activation", "potential")
LEAK, NOISE = 0.2, 0.05
Step = Callable[[], Any]


def loop(layer: elman.LeakyRNN, x: Tensor, noise: float) -> Tensor:
    """What the field writes: a step of linear layers after another."""
    h = x.new_zeros(x.shape[1], layer.hidden_size)
    outputs = []
    for x_t in x:
        state = h if layer.form == "activation" else torch.relu(h)
        pre = torch.nn.functional.linear(x_t, layer.weight_ih_l0, layer.bias_ih_l0)
        pre = pre + torch.nn.functional.linear(state, layer.weight_hh_l0, layer.bias_hh_l0)
        if layer.form == "activation":
            if noise:
                pre = pre + noise * torch.randn_like(pre)
            h = (1 - LEAK) * h + LEAK * torch.relu(pre)
            outputs.append(h)
        else:
            h = (1 - LEAK) * h + LEAK * pre
            if noise:
                h = h + math.sqrt(2 * LEAK) * noise * torch.randn_like(h)
            outputs.append(torch.relu(h))
    return torch.stack(outputs)


def scan(layer: elman.LeakyRNN, x: Tensor, noise: float) -> tuple[Step, Callable[[], Any]]:
    """The training step of JAX's scan, and its output without noise."""
    import jax
    import jax.numpy as jnp

    given = [jnp.asarray(p.detach().numpy()) for p in layer.parameters()]
    form = layer.form

    def run(weights: list[Any], xs: Any, key: Any, sigma: float) -> Any:
        w_ih, w_hh, b_ih, b_hh = weights
        drawn = jax.random.normal(key, (xs.shape[0], xs.shape[1], w_hh.shape[0])) * sigma if sigma else None
        hoisted = xs @ w_ih.T + b_ih + b_hh

        def step(h: Any, now: Any) -> tuple[Any, Any]:
            inputs, xi = now
            state = h if form == "activation" else jax.nn.relu(h)
            pre = inputs + state @ w_hh.T
            if form == "activation":
                h = (1 - LEAK) * h + LEAK * jax.nn.relu(pre if xi is None else pre + xi)
                return h, h
            h = (1 - LEAK) * h + LEAK * pre
            h = h if xi is None else h + math.sqrt(2 * LEAK) * xi
            return h, jax.nn.relu(h)

        return jax.lax.scan(step, jnp.zeros((xs.shape[1], w_hh.shape[0])), (hoisted, drawn))[1]

    gradients = jax.jit(jax.grad(lambda w, xs, key: run(w, xs, key, noise).sum()))
    xs, key = jnp.asarray(x.numpy()), jax.random.key(0)
    return lambda: jax.block_until_ready(gradients(given, xs, key)), lambda: run(given, xs, key, 0.0)


def training(layer: torch.nn.Module, run: Callable[[], Tensor]) -> Step:
    """A step of a layer, gradients included."""

    def step() -> None:
        layer.zero_grad()
        run().sum().backward()

    return step


def medians(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Milliseconds of each, in turn."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step(), step()
    for _ in range(rounds):
        for name, step in steps.items():
            begin, count = time.perf_counter(), 0
            while count < 2 or time.perf_counter() < begin + 0.25:
                step()
                count += 1
            times[name].append(1000 * (time.perf_counter() - begin) / count)
    return {name: statistics.median(found) for name, found in times.items()}


def compare_training(rounds: int) -> None:
    """A row a size, form and noise."""
    columns = "elman | loop in torch | JAX's scan | elman.RNN | loop / elman | JAX / elman | elman / RNN"
    print(f"| training step, ms | noise | {columns} |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (t, n, i, h) in SIZES.items():
        x = torch.randn(t, n, i)
        plain = elman.RNN(i, h, nonlinearity="relu")
        for form in FORMS:
            for noise in (0.0, NOISE):
                layer = elman.LeakyRNN(i, h, nonlinearity="relu", form=form, leak=LEAK)
                torch.testing.assert_close(layer(x)[0], loop(layer, x, 0.0))
                layer.noise = noise
                steps = {
                    "elman": training(layer, lambda layer=layer, x=x: layer(x)[0]),
                    "loop": training(layer, lambda layer=layer, x=x, noise=noise: loop(layer, x, noise)),
                    "RNN": training(plain, lambda plain=plain, x=x: plain(x)[0]),
                }
                if importlib.util.find_spec("jax"):
                    steps["JAX"], output = scan(layer, x, noise)
                    layer.noise = 0.0
                    torch.testing.assert_close(layer(x)[0], torch.tensor(output().tolist()))
                    layer.noise = noise
                ms = medians(steps, rounds)
                jax, ratio = (f"{ms['JAX']:.2f}", f"{ms['JAX'] / ms['elman']:.1f}") if "JAX" in ms else ("–", "–")
                print(
                    f"| {name} {form} | {noise} | {ms['elman']:.2f} | {ms['loop']:.1f} | {jax} | {ms['RNN']:.2f} | "
                    f"{ms['loop'] / ms['elman']:.1f} | {ratio} | {ms['elman'] / ms['RNN']:.2f} |"
                )


def compare_dropout(rounds: int) -> None:
    """Recurrent dropout and zoneout, on against off."""
    print("\n| T100 N32 I32 H128, training step | ms | over off |\n| --- | --- | --- |")
    x = torch.randn(100, 32, 32)
    for kind in (elman.RNN, elman.GRU, elman.LSTM, elman.LeakyRNN):
        steps = {}
        for name, options in {
            "off": {},
            "recurrent_dropout": {"recurrent_dropout": 0.3},
            "zoneout": {"zoneout": 0.1},
        }.items():
            layer = kind(32, 128, **options)
            steps[name] = training(layer, lambda layer=layer: layer(x)[0])
        ms = medians(steps, rounds)
        for name, found in ms.items():
            print(f"| {kind.__name__} {name} | {found:.2f} | {found / ms['off']:.2f} |")


def compare_reservoirs(rounds: int) -> None:
    """The states of 500 units over 10,000 steps."""
    layer = elman.echo_state_(elman.LeakyRNN(1, 500, leak=0.3), density=0.1).requires_grad_(False)
    u = torch.sin(torch.arange(10_000) / 10)[:, None]
    steps: dict[str, Step] = {"elman": lambda: layer(u)[0]}
    if importlib.util.find_spec("reservoirpy"):
        from reservoirpy.nodes import Reservoir

        w, w_in = layer.weight_hh_l0.double().numpy(), layer.weight_ih_l0.double().numpy()
        node = Reservoir(W=w, Win=w_in, bias=0.0, lr=0.3)
        series = u.double().numpy()
        torch.testing.assert_close(layer.double()(u.double())[0], torch.tensor(node.run(series)), rtol=1e-7, atol=1e-7)
        layer.float()

        def run() -> Any:
            node.reset()
            return node.run(series)

        steps["ReservoirPy"] = run
    ms = medians(steps, rounds)
    print("\n| states of a reservoir of 500 units, 10,000 steps, N = 1 | ms | over elman |\n| --- | --- | --- |")
    for name, found in ms.items():
        print(f"| {name} | {found:.1f} | {found / ms['elman']:.1f} |")


def main() -> None:
    """All three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--what", choices=["training", "dropout", "reservoir"], nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    parts = {"training": compare_training, "dropout": compare_dropout, "reservoir": compare_reservoirs}
    for name in options.what or parts:
        parts[name](options.rounds)


if __name__ == "__main__":
    main()
