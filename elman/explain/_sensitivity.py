"""How much each input step moves a chosen state: gradients of the reference, and what one step does to a change.

What one step does is its Jacobian. For a stack it is block triangular, with the layers' own Jacobians (of an RNN
diag(f'(a_t)) W_hh) on the diagonal, so its spectral radius is the largest of theirs: a lower layer may carry what the
upper forgets.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from elman.explain._arithmetic import index, layer_name
from elman.explain._language import say
from elman.explain._numbers import short
from elman.kernels.reference import loop
from elman.kernels.reference.cells import EQUATIONS, Step, blend

if TYPE_CHECKING:
    from elman.explain._trace import Trace

ROWS = 64  # of a Jacobian at a time
STEPS, FEWEST = 32, 3  # whose eigenvalues are computed
EFFORT = 10**8  # of the steps times H^3, above which there are fewer: some tenths of a second
PEAK = 2.0  # times the newest input that one between counts, from which gates have kept it
VANISHED = 0.1  # the oldest step counts less than a tenth of the newest


@dataclass(frozen=True)
class Sensitivity:
    """The norm of dh_t/dx_s for every step s, and what one step does to a change of the state.

    Attributes:
        by_step: (T,), by the input's step; 0 where the state has not read it.
        t, layer, direction, unit, batch: the chosen state.
        spectral_radius: of one step's Jacobian dh_t/dh_{t-1} (of an LSTM of h and c, of a potential of h and v
            together), over all layers up to this one, the median over up to 32 steps: about the factor by which a
            change of the state grows (above 1) or shrinks (below 1) with each step.
        carrier: the layer that it comes from.
        weight_radius: of that layer's W_hh alone; NaN with gates, where W_hh is no square matrix, and with a leak.
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
    chosen = trace.hidden[layer, direction, t, batch]
    is_nan = bool((chosen if unit is None else chosen[unit]).isnan().any())
    where = layer_name(layer, direction, D)
    sentence = _sentence(lag, where, t, radius, own, carrier, trace.anatomy.is_gated, is_nan)
    return Sensitivity(by_step, t, layer, direction, unit, batch, radius, carrier, own, sentence)


def radii(trace: "Trace", layer: int, direction: int, batch: int) -> tuple[float, float]:
    """The spectral radius of one step's Jacobian, the median over up to 32 steps of a sequence, and that of W_hh.

    With gates W_hh is no square matrix, and has none: NaN. With a leak that of W_hh alone says nothing: NaN.
    """
    steps = trace.there[:, batch].nonzero().flatten()
    width = len(trace.states) * trace.sizes["H"]
    count = min(len(steps), max(FEWEST, min(STEPS, EFFORT // max(1, width) ** 3)))
    chosen = steps[torch.linspace(0, len(steps) - 1, count).long()]
    of_steps = _radii(_jacobians(trace, layer, direction, batch, chosen))
    w_hh = trace.problem.weights_of(layer, direction).w_hh
    own = math.nan if trace.anatomy.is_gated else float(_radii(w_hh[None])[0])
    return float(of_steps.median()) if len(of_steps) else math.nan, own


def _jacobians(trace: "Trace", layer: int, direction: int, batch: int, steps: Tensor) -> Tensor:
    """(steps, S * H, S * H): what one step makes of a change of the states before, h and below it c of an LSTM, v of a
    potential."""
    weights = trace.problem.weights_of(layer, direction)
    equation = EQUATIONS[trace.problem.cell.name]
    none = torch.zeros_like(trace.b_hh[layer, direction])
    of_state, once = (trace.b_hh[layer, direction], none)[:: 1 if equation.multiplies_u else -1]
    v = trace.input_term[layer, direction, steps, batch] + trace.b_ih[layer, direction] + once
    before = [state[layer, direction, steps, batch] for state in trace.states_before.values()]
    leak, drive = (None if term is None else term[layer, direction, steps, batch] for term in (trace.leak, trace.drive))
    v = v if drive is None else v + drive

    def after(states: tuple[Tensor, ...], v: Tensor, leak: Tensor | None) -> tuple[Tensor, ...]:
        new = equation.step(v, weights.w_hh @ states[0] + of_state, states).states
        return new if leak is None else blend(equation, new, states, leak)

    in_dims = 0, 0, None if leak is None else 0
    rows = torch.func.vmap(torch.func.jacrev(after), in_dims)(tuple(before), v, leak)
    return torch.cat([torch.cat(row, -1) for row in rows], -2)


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
        starts = [state[:, batch : batch + 1] for state in trace.starts.values()]
        terms = [term if term.shape[2] == 1 else term[:, :, batch : batch + 1] for term in trace.problem.terms]
        problem = trace.problem.with_inputs([x, *starts, *trace.weights.values(), *terms])
        loop.forward(problem._replace(lengths=lengths), keep=keep)
        wanted = torch.eye(H, dtype=x.dtype) if unit is None else torch.eye(H, dtype=x.dtype)[unit : unit + 1]
        total = x.new_zeros(len(x), dtype=torch.float64)  # the square of 1e-25 is no float32
        for rows in torch.split(wanted, ROWS):
            (dx,) = torch.autograd.grad(
                found, x, [rows], is_grads_batched=True, retain_graph=True, materialize_grads=True
            )  # (rows, T, 1, I)
            total += dx.double().square().sum((0, 2, 3))
    return total.sqrt().to(x.dtype)


def _radii(matrices: Tensor) -> Tensor:
    """The largest absolute eigenvalue of each; NaN where a matrix holds no finite numbers."""
    finite = matrices.isfinite().all(-1).all(-1)
    radii = torch.linalg.eigvals(matrices.where(finite[:, None, None], 0).double()).abs().amax(-1)
    return torch.where(finite, radii, torch.nan)


def _sentence(
    lag: Tensor, where: str, t: int, radius: float, own: float, carrier: int, gated: bool, is_nan: bool
) -> str:
    """One sentence; `lag` holds the norms from the step itself backwards. `is_nan`: whether the chosen state is NaN."""
    alone = say(
        f"; that of weight_hh_l{carrier} alone is {short(own)}",
        f"이며, weight_hh_l{carrier}만의 값은 {short(own)}입니다",
    )
    alone = "" if math.isnan(own) else alone
    step = say(
        f"; one step multiplies a change of the state by about {short(radius)} "
        f"(spectral radius of its Jacobian{alone}).",
        f" 상태를 조금 바꾸면 그 차이는 한 시점마다 약 {short(radius)}배가 됩니다"
        f"(야코비 행렬의 스펙트럼 반지름{alone}).",
    )
    step = say(".", "") if math.isnan(radius) else step
    state = say(f"the state of {where} at step {t}", f"{where} 시점 {t}의 상태")
    if not bool(lag.isfinite().all()):
        return (
            say(
                "The gradient is not finite: there are NaN or infinite numbers on its way",
                "기울기가 유한한 수가 아닙니다. 계산 과정에 NaN이나 무한대가 있습니다.",
            )
            + step
        )
    if is_nan:  # relu's derivative is 1 there all the same, as torch's is
        return say(
            f"T{state[1:]} is NaN, so its gradient says nothing: look for it in the input and the weights.",
            f"{state}가 NaN이므로 기울기에 뜻이 없습니다. 입력과 가중치를 살펴보세요.",
        )
    if len(lag) == 1:
        return say(f"T{state[1:]} has read one input only", f"{state}는 입력을 하나만 읽었습니다.") + step
    newest, oldest = float(lag[0]), float(lag[-1])
    if newest == 0:
        return (
            say(f"The newest input does not move {state} at all", f"가장 최근 입력은 {state}를 전혀 바꾸지 않습니다.")
            + step
        )
    peak = int(lag.argmax())
    if gated and 0 < peak < len(lag) - 1 and float(lag[peak]) >= PEAK * newest:
        most = short(float(lag[peak]) / newest)
        return (
            say(
                f"Remembered: in {state} the input {peak} step{'s' if peak > 1 else ''} earlier counts most, "
                f"{most} times as much as the newest",
                f"기억됨: {state}에 가장 크게 영향을 주는 것은 {peak}시점 전의 입력입니다. "
                f"가장 최근 입력의 {most}배입니다.",
            )
            + step
        )
    ratio, steps = oldest / newest, len(lag) - 1
    counts = say(
        f"counts {short(ratio)} times as much as the newest", f"가장 최근 입력의 {short(ratio)}배만큼 영향을 줍니다"
    )
    if ratio == 0:
        counts = say("does not count at all", "전혀 영향을 주지 않습니다")
    said = (
        say(
            f"in {state} the input {steps} step{'s' if steps > 1 else ''} earlier {counts}",
            f"{state}에 {steps}시점 전의 입력은 {counts}.",
        )
        + step
    )
    if ratio < VANISHED:
        return f"{say('Gradients vanish', '기울기 소실')}: {said}"
    if ratio > 1 / VANISHED:
        return f"{say('Gradients explode', '기울기 폭발')}: {said}"
    # A factor of 0.11 is a memory well kept after fifty steps, and hardly any after one.
    if ratio < 0.5**steps:
        return f"{say('Gradients shrink', '기울기가 작아집니다')}: {said}"
    if ratio > 2.0 ** min(steps, 10):
        return f"{say('Gradients grow', '기울기가 커집니다')}: {said}"
    return f"{say('Gradients are carried', '기울기가 유지됩니다')}: {said}"
