"""How much each input step moves a chosen state: gradients of the reference, and what one step does to a change.

What one step does is its Jacobian. For a stack it is block triangular, with the layers' own Jacobians, diag(f'(a_t))
W_hh, on the diagonal, so its spectral radius is the largest of theirs: a lower layer may carry what the upper forgets.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elman.explain._arithmetic import DIRECTIONS, index
from elman.explain._numbers import short
from elman.kernels.reference import loop
from elman.kernels.reference.cells import Step

if TYPE_CHECKING:
    from elman.explain._trace import Trace

ROWS = 64  # of a Jacobian at a time
STEPS, FEWEST = 32, 3  # whose eigenvalues are computed
EFFORT = 10**8  # of the steps times H^3, above which there are fewer: some tenths of a second
VANISHED = 0.1  # the oldest step counts less than a tenth of the newest


@dataclass(frozen=True)
class Sensitivity:
    """The norm of dh_t/dx_s for every step s, and what one step does to a change of the state.

    Attributes:
        by_step: (T,), by the input's step; 0 where the state has not read it.
        t, layer, direction, unit, batch: the chosen state.
        spectral_radius: of one step's Jacobian dh_t/dh_{t-1}, over all layers up to this one, the median over up to 32
            steps: about the factor by which a change of the state grows (above 1) or shrinks (below 1) with each step.
        carrier: the layer that it comes from.
        weight_radius: of that layer's W_hh alone.
        sentence: what this means.
    """

    by_step: Tensor
    t: int
    layer: int
    direction: int
    unit: int | None
    batch: int
    spectral_radius: float
    carrier: int
    weight_radius: float
    sentence: str

    def by_lag(self) -> Tensor:
        """The same by how many steps before the chosen one the input was read: lag 0 is the step itself."""
        return self.by_step[self.t :] if self.direction else self.by_step[: self.t + 1].flip(0)


def sensitivity(trace: "Trace", t: int | None, layer: int, direction: int, unit: int | None, batch: int) -> Sensitivity:
    """What `Trace.sensitivity` says."""
    L, D, T, N, H = trace.hidden.shape
    batch = index("batch", batch, N, "sequences")
    layer = index("layer", layer, L, "layers")
    direction = index("direction", direction, D, "directions")
    unit = None if unit is None else index("unit", unit, H, "units")
    length = int(trace.there[:, batch].sum())
    if not length:
        raise IndexError(f"sequence {batch} has no step, so nothing moves its state.")
    t = (0 if direction else length - 1) if t is None else index("t", t, T, "steps")
    if t >= length:
        raise IndexError(
            f"step {t} is past the end of sequence {batch}, whose length is {length}: nothing is computed."
        )
    by_step = _norms(trace, t, layer, direction, unit, batch)
    each = [radii(trace, k, direction, batch) for k in range(layer + 1)]
    carrier = max(range(layer + 1), key=lambda k: (math.inf if math.isnan(each[k][0]) else each[k][0], k))
    radius, own = each[carrier]
    lag = by_step[t:length] if direction else by_step[: t + 1].flip(0)
    sentence = _sentence(
        lag, f"layer {layer} {DIRECTIONS[direction]}" if D == 2 else f"layer {layer}", t, radius, own, carrier
    )
    return Sensitivity(by_step, t, layer, direction, unit, batch, radius, carrier, own, sentence)


def radii(trace: "Trace", layer: int, direction: int, batch: int) -> tuple[float, float]:
    """The spectral radius of one step's Jacobian, the median over up to 32 steps of a sequence, and that of W_hh."""
    w_hh = trace.weights[f"weight_hh_l{layer}{'_reverse' if direction else ''}"]
    slopes = _slopes(trace)[layer, direction, trace.there[:, batch], batch]
    count = min(len(slopes), max(FEWEST, min(STEPS, EFFORT // len(w_hh) ** 3)))
    chosen = slopes[torch.linspace(0, len(slopes) - 1, count).long()]
    of_steps = _radii(chosen.unsqueeze(-1) * w_hh)
    return float(of_steps.median()) if len(of_steps) else math.nan, float(_radii(w_hh[None])[0])


def _norms(trace: "Trace", t: int, layer: int, direction: int, unit: int | None, batch: int) -> Tensor:
    """(T,): the norm of the gradient of one unit, or of the Jacobian of all, at the input of each step."""
    H = trace.hidden.shape[-1]
    lengths = None if trace.problem.lengths is None else trace.problem.lengths[batch : batch + 1]
    found: list[Tensor] = []

    def keep(k: int, d: int, s: int, step: Step) -> None:
        if (k, d, s) == (layer, direction, t):
            found.append(step.hidden[0])

    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        x = trace.x[:, batch : batch + 1].clone().requires_grad_()
        h_0 = trace.h_0[:, batch : batch + 1]
        problem = trace.problem.with_inputs([x, h_0, *trace.weights.values()])
        loop.forward(problem._replace(lengths=lengths), keep=keep)
        wanted = torch.eye(H, dtype=x.dtype) if unit is None else torch.eye(H, dtype=x.dtype)[unit : unit + 1]
        total = x.new_zeros(len(x))
        for rows in torch.split(wanted, ROWS):
            (dx,) = torch.autograd.grad(
                found, x, [rows], is_grads_batched=True, retain_graph=True, materialize_grads=True
            )  # (rows, T, 1, I)
            total += dx.square().sum((0, 2, 3))
    return total.sqrt()


def _slopes(trace: "Trace") -> Tensor:
    """f'(a), (L, D, T, N, H)."""
    if trace.problem.cell.nonlinearity == "relu":
        return (trace.pre_activation > 0).to(trace.hidden)
    return 1 - trace.hidden.square()


def _radii(matrices: Tensor) -> Tensor:
    """The largest absolute eigenvalue of each; NaN where a matrix holds no finite numbers."""
    finite = matrices.isfinite().all(-1).all(-1)
    radii = torch.linalg.eigvals(matrices.where(finite[:, None, None], 0).double()).abs().amax(-1)
    return torch.where(finite, radii, torch.nan)


def _sentence(lag: Tensor, where: str, t: int, radius: float, own: float, carrier: int) -> str:
    """One sentence; `lag` holds the norms from the step itself backwards."""
    step = (
        f"one step multiplies a change of the state by about {short(radius)} "
        f"(spectral radius of its Jacobian; that of weight_hh_l{carrier} alone is {short(own)})"
    )
    if not bool(lag.isfinite().all()):
        return f"The gradient is not finite: there are NaN or infinite numbers on its way; {step}."
    if len(lag) == 1:
        return f"The state of {where} at step {t} has read one input only; {step}."
    newest, oldest = float(lag[0]), float(lag[-1])
    state = f"the state of {where} at step {t}"
    if newest == 0:
        return f"The newest input does not move {state} at all; {step}."
    ratio = oldest / newest
    far = f"the input {len(lag) - 1} step{'s' if len(lag) > 2 else ''} earlier"
    said = f"in {state} {far} counts {short(ratio)} times as much as the newest; {step}."
    if ratio < VANISHED:
        return f"Gradients vanish: {said}"
    if ratio > 1 / VANISHED:
        return f"Gradients explode: {said}"
    # A factor of 0.11 is a memory well kept after fifty steps, and hardly any after one.
    if ratio < 0.5 ** (len(lag) - 1):
        return f"Gradients shrink: {said}"
    if ratio > 2.0 ** min(len(lag) - 1, 10):
        return f"Gradients grow: {said}"
    return f"Gradients are carried: {said}"
