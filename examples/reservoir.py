"""A reservoir in three lines, `reservoir`, `states`, `readout`: chaos forecast one step on, and running free.

Only the readout is trained, by scikit-learn's Ridge; the recurrent weights stay as they were drawn.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from sklearn.linear_model import Ridge

import elman

UNITS, WASHOUT, TRAINING, FREE = 500, 200, 4000, 500  # the last three in steps
Numbers = NDArray[np.float64]


def mackey_glass(steps: int, delay: float = 17.0, inner: int = 10) -> Numbers:
    """(steps, 1): dx/dt = 0.2 x(t - delay) / (1 + x(t - delay)^10) - 0.1 x, sampled once a time unit (Runge-Kutta)."""

    def slope(now: float, before: float) -> float:
        return 0.2 * before / (1 + before**10) - 0.1 * now

    h, back = 1 / inner, round(delay * inner)
    x = np.full(back + 1 + (steps + 500) * inner, 1.2)
    for i in range(back, len(x) - 1):
        first, last = x[i - back], x[i - back + 1]
        k1 = slope(x[i], first)
        k2 = slope(x[i] + h / 2 * k1, (first + last) / 2)
        k3 = slope(x[i] + h / 2 * k2, (first + last) / 2)
        k4 = slope(x[i] + h * k3, last)
        x[i + 1] = x[i] + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x[back + 500 * inner :: inner][:steps, None]


def lorenz(steps: int, step: float = 0.02) -> Numbers:
    """(steps, 3): Lorenz' system with sigma 10, rho 28, beta 8/3."""

    def slope(_: float, s: Numbers) -> tuple[float, float, float]:
        return 10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]

    times = np.arange(steps + 500) * step
    path = solve_ivp(slope, (0, times[-1]), (1, 1, 1), t_eval=times, rtol=1e-8, atol=1e-8)
    return np.asarray(path.y.T[500:])


def main(name: str, series: Numbers, lyapunov: float, leak: float, radius: float, scale: float) -> None:
    """One series: lyapunov is the length of its Lyapunov time in steps, in which a small error grows e times."""
    series = (series - series[:TRAINING].mean(0)) / series[:TRAINING].std(0)
    u = torch.tensor(series, dtype=torch.float32)
    torch.manual_seed(0)

    reservoir = elman.echo_state_(elman.LeakyRNN(u.shape[1], UNITS, leak=leak), radius, 0.1, scale, 0.5)
    states = reservoir.requires_grad_(False)(u[:-1])[0].double().numpy()
    readout = Ridge(alpha=1e-7).fit(states[WASHOUT:TRAINING], series[WASHOUT + 1 : TRAINING + 1])

    held_out = series[TRAINING + 1 :]
    error = readout.predict(states[TRAINING:]).reshape(held_out.shape) - held_out
    nrmse = np.sqrt((error**2).mean(0)) / held_out.std(0)
    print(f"{name}: NRMSE one step on {nrmse.max():.1e}", end="; ")

    _, state = reservoir(u[:TRAINING])
    stream = elman.Stream(reservoir, state)
    now, path = u[TRAINING], []
    for _ in range(FREE):
        now = torch.tensor(readout.predict(stream(now)[None].double().numpy()), dtype=torch.float32).reshape(-1)
        path.append(now.numpy())
    off = np.sqrt(((np.array(path) - held_out[:FREE]) ** 2).mean(1)) > 0.4
    valid = int(off.argmax()) if off.any() else FREE
    print(f"running free it holds for {valid} steps, {valid / lyapunov:.1f} Lyapunov times")


main("Mackey-Glass", mackey_glass(6000), 1 / 0.0058, leak=0.5, radius=1.0, scale=0.5)
main("Lorenz", lorenz(6000), 1 / (0.906 * 0.02), leak=0.8, radius=0.4, scale=0.1)
