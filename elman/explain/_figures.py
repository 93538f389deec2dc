"""Figures with matplotlib: each draws on the axes it is given and says in one sentence how to read it."""

import itertools
from typing import TYPE_CHECKING

import torch

from elman._fonts import fonts
from elman.explain import _drawing as draw
from elman.explain._arithmetic import index
from elman.explain._drawing import ACCENT, INK, LINE, QUIET, TEAL, Drawing
from elman.explain._language import say
from elman.explain._numbers import short
from elman.explain._sensitivity import sensitivity as sensitivity_of
from elman.explain._text import SATURATED, activity, idle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from elman.explain._trace import Trace

UNIT = 0.75  # inches from one step of the unrolled network to the next, where there is room
MOST_COLUMNS, FIRST, LAST = 16, 8, 4  # of the unrolled network; of more, the first and the last
BINS = 41


def network(trace: "Trace", ax: "Axes | None", batch: int) -> Drawing:
    """What `Trace.plot_network` draws."""
    L, D, T, N, _ = trace.hidden.shape
    batch = index("batch", batch, N, "sequences")
    length = int(trace.there[:, batch].sum())
    shown = list(range(T)) if T <= MOST_COLUMNS else [*range(FIRST), *range(T - LAST, T)]
    place = {
        t: float(k + (len(shown) < T and k >= FIRST)) for k, t in enumerate(shown)
    }  # with a gap for those left out
    wide = len(shown) + (len(shown) < T)
    ax = draw.axes(ax, (1.6 + UNIT * (wide + 2), 2.0 + UNIT * (L * D + 2)))
    rows = {(layer, d): 1.0 + layer * (D + 0.35) + d for layer in range(L) for d in range(D)}
    top = max(rows.values()) + 1.2
    half, gap = 0.32, 0.38
    box_size = ax.get_window_extent()
    unit = min(box_size.width / (wide + 2.2), box_size.height / (top + 1.7)) / ax.figure.get_dpi()  # inches
    size = max(7.0, min(1.0, unit / UNIT) * 10)  # of letters, in points
    shade, state_scale, input_scale = draw.colours(), draw.scale(trace), draw.largest(trace.x)

    def box(x: float, y: float, vector: torch.Tensor, scale: float, edge: str = INK) -> None:
        tall = 2 * half / max(1, len(vector))
        for k, value in enumerate(vector.tolist()):
            ax.add_patch(draw.rectangle(x - half, y + half - (k + 1) * tall, 2 * half, tall, shade(value / scale)))
        ax.add_patch(draw.rectangle(x - half, y - half, 2 * half, 2 * half, "none", edge))

    def arrow(x: float, y: float, to_x: float, to_y: float, colour: str = QUIET, line: str = "-") -> None:
        look = {"arrowstyle": "->", "color": colour, "lw": 1.1, "ls": line, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (to_x, to_y), (x, y), arrowprops=look)

    for t, x in place.items():
        draw.write(
            ax,
            x,
            top + half + 0.3,
            draw.tick(trace, t, batch),
            va="center",
            fontsize=1.1 * size,
            color=INK if t < length else LINE,
        )
        if t >= length:
            continue
        box(x, 0, trace.x[t, batch], input_scale, LINE)
        box(x, top, trace.hidden[-1, :, t, batch].flatten(), state_scale, ACCENT)
        levels = [0.0, *(rows[layer, edge] for layer in range(L) for edge in (0, D - 1)), top]
        for below, above in zip(levels[::2], levels[1::2], strict=True):
            arrow(x, below + gap, x, above - gap)
    for layer in range(L):
        low, high = rows[layer, 0] - gap - 0.05, rows[layer, D - 1] + gap + 0.17
        ax.add_patch(draw.rectangle(-1.45, low, wide + 1.9, high - low, "#f4f5f7", "#d9dee6", zorder=0))
    for (layer, d), y in rows.items():
        row = layer * D + d
        start, end = (float(wide), -1.0) if d else (-1.0, float(wide))
        inside = [t for t in shown if t < length]
        for t in inside:
            box(place[t], y, trace.hidden[layer, d, t, batch], state_scale)
        box(start, y, trace.h_0[row, batch], state_scale, LINE)
        box(end, y, draw.last_state(trace, row, batch), state_scale, ACCENT)
        draw.write(ax, start, y + half + 0.04, f"h_0[{row}]", va="bottom", fontsize=0.8 * size, color=QUIET)
        draw.write(ax, end, y + half + 0.04, f"h_n[{row}]", va="bottom", fontsize=0.8 * size, color=ACCENT)
        way = [start, *(place[t] for t in (reversed(inside) if d else inside)), end]
        side = -1 if d else 1
        for here, there in itertools.pairwise(way):
            arrow(here + side * gap, y, there - side * gap, y, INK, "-" if abs(there - here) < 1.5 else ":")
    names = {0.0: "input", top: "output"} | {y: draw.name(trace, *cell) for cell, y in rows.items()}
    ax.set_yticks(list(names), list(names.values()), fontsize=size)
    ax.set_xticks([])
    ax.set(xlim=(-1.6, wide + 0.6), ylim=(-0.6, top + half + 0.75), aspect="equal")
    draw.bare(ax)
    if not length:
        return draw.read(ax, say("The sequence has no step, so h_n is h_0.", "시점이 없으므로 h_n은 h_0입니다."))
    if L * D == 1:
        reading = say(
            "Each state is made from the input below it and the state before it; h_n equals the last column of output",
            "상태는 바로 아래의 입력과 이전 상태로 계산됩니다. h_n은 output의 마지막 열과 같습니다",
        )
    elif D == 1:
        reading = say(
            f"output is the last layer at every step, h_n the last step of all {L} layers; they share one state only",
            f"output은 마지막 층의 모든 시점이고 h_n은 {L}개 층 모두의 마지막 시점입니다. 둘에 다 있는 것은 하나입니다",
        )
    else:
        reading = say(
            "The reverse direction ends at step 0: there, and not in the last column of output, stands its h_n",
            "역방향은 시점 0에서 끝납니다. 역방향의 h_n은 output의 마지막 열이 아니라 그곳에 있습니다",
        )
    gap_said = say(f" (steps {FIRST} to {T - LAST - 1} are left out)", f" (시점 {FIRST}~{T - LAST - 1}은 생략)")
    left_out = gap_said if len(shown) < T else ""
    return draw.read(ax, f"{reading}{left_out}.")


def hidden(trace: "Trace", ax: "Axes | None", layer: int, direction: int, batch: int, of: str) -> Drawing:
    """What `Trace.plot_hidden` draws."""
    from matplotlib.ticker import MaxNLocator

    L, D, T, N, H = trace.hidden.shape
    layer, direction = index("layer", layer, L, "layers"), index("direction", direction, D, "directions")
    batch = index("batch", batch, N, "sequences")
    ax = draw.axes(ax, (max(5.0, min(12.0, 2.5 + 0.32 * T)), max(2.6, min(6.0, 1.8 + 0.16 * H))))
    values = trace.states[of] if of in trace.states else trace.gate(of)
    states = values[layer, direction, :, batch]
    scale = draw.scale(trace) if of not in ("c", "v", "a") else max(1.0, draw.largest(values))
    length = int(trace.there[:, batch].sum())
    shown = states.masked_fill(~(trace.there[:, batch, None] & states.isfinite()), torch.nan)
    image = ax.imshow(
        shown.T.float().numpy(), aspect="auto", interpolation="nearest", cmap=draw.colour_map(), vmin=-scale, vmax=scale
    )
    if length < T:
        ax.axvspan(length - 0.5, T - 0.5, color=draw.NO_STEP, lw=0)
    draw.bare(ax)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.outline.set_visible(False)
    gates = {gate.name: gate for gate in trace.anatomy.gates if trace.anatomy.is_gated}
    if trace.problem.cell.nonlinearity == "relu" or (of in gates and gates[of].function == "sigmoid"):
        bar.ax.set_ylim(0, scale)
    what = (
        gates[of].title
        if of in gates
        else say("cell state", "셀 상태")
        if of == "c"
        else say("potential", "전위")
        if of == "v"
        else say("hidden state", "은닉 상태")
    )
    what = what if of == "h" else f"{what} {of}"
    bar.set_label(what, color=QUIET, fontfamily=fonts())
    draw.time_axis(ax, trace, batch)
    ax.set_ylabel(say("unit", "유닛"))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    where = draw.name(trace, layer, direction)
    title = say(f"{what[0].upper()}{what[1:]} of {where}, sequence {batch}", f"{where}의 {what}, 시퀀스 {batch}")
    ax.set_title(title, loc="left", fontsize=11)
    column = say("Each column is the state after one step", "열 하나가 한 시점 다음의 상태입니다")
    if of in gates:
        column = say("Each column is the gate at one step", "열 하나가 한 시점의 게이트 값입니다")
    if not length:
        return draw.read(ax, say("The sequence has no step, and so no state.", "시점이 없으므로 상태도 없습니다."))
    if length < 2 or not H:
        return draw.read(ax, f"{column}.")
    real = states[:length]
    if not real.isfinite().all():
        return draw.read(ax, f"{column}; {activity(trace, layer)}.")
    change = (real[1:] - real[:-1]).abs().mean(0)
    steady = int(change.argmin())
    least, lively, most = short(float(change[steady])), int(change.argmax()), short(float(change.max()))
    if least == most:
        each = say("it" if H == 1 else "every unit", "유닛" if H == 1 else "모든 유닛")
        alike = say(
            f"; {each} changes by {most} from step to step on average.",
            f". {each}의 시점마다의 변화는 평균 {most}입니다.",
        )
        return draw.read(ax, column + alike)
    said = say(
        f"; unit {steady} changes least from step to step ({least} on average), unit {lively} most ({most}).",
        f". 시점마다 가장 적게 변하는 것은 유닛 {steady}(평균 {least}), 가장 많이 변하는 것은 {lively}({most})입니다.",
    )
    return draw.read(ax, column + said)


def activations(trace: "Trace", ax: "Axes | None") -> Drawing:
    """What `Trace.plot_activations` draws."""
    from matplotlib.ticker import PercentFormatter

    L, D, _, _, _ = trace.hidden.shape
    ax = draw.axes(ax, (7.0, 3.6))
    states = trace.hidden[:, :, trace.there]  # (L, D, steps, H)
    relu = trace.problem.cell.nonlinearity == "relu"
    scale = draw.scale(trace)
    bins = max(8, min(BINS, int((states.numel() / (L * D)) ** 0.5)))
    low, high = (0.0, scale) if relu else (-1.0, 1.0)
    edges = torch.linspace(low, high, bins + 1)
    for layer in range(L):
        for d in range(D):
            values = states[layer, d].flatten()
            if values.numel():
                share = torch.histc(values.float(), bins, low, high) / values.numel()
                style = {"color": draw.ramp(layer, L), "lw": 1.8, "ls": "--" if d else "-"}
                ax.stairs(share.numpy(), edges.numpy(), label=draw.name(trace, layer, d), **style)
    if not relu:
        for side in (-1, 1):
            ax.axvspan(side * SATURATED, side, color="#b3261e", alpha=0.18, lw=0)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set(
        xlabel=say("hidden state", "은닉 상태"),
        ylabel=say("share of all states", "전체 상태 중의 비율"),
        xlim=(low, high),
    )
    ax.set_ylim(bottom=0)
    draw.plain_spines(ax)
    if L * D > 1:
        draw.legend(ax)
    ax.set_title(say("How the hidden states are distributed", "은닉 상태의 분포"), loc="left", fontsize=11)
    if not states.numel():
        return draw.read(
            ax, say("There is no hidden state: the trace has no step.", "시점이 없으므로 은닉 상태도 없습니다.")
        )
    worst = max(range(L), key=lambda layer: (not states[layer].isfinite().all(), idle(trace, layer)))
    said = activity(trace, worst)
    calm = states[worst].isfinite().all() and not idle(trace, worst)
    where = say(f"In layer {worst} {said}.", f"층 {worst}: {said}.")
    return draw.read(ax, f"{said[0].upper()}{said[1:]}." if calm else where)


def gates(trace: "Trace", ax: "Axes | None", layer: int, direction: int, batch: int) -> Drawing:
    """What `Trace.plot_gates` draws."""
    from matplotlib.ticker import MaxNLocator

    anatomy = trace.anatomy
    if not anatomy.is_gated or anatomy.keeper is None:
        layer_said = "a LeakyRNN" if anatomy.leaks else "an RNN"
        raise ValueError(f"{layer_said} has no gates to draw; plot_hidden and plot_activations draw its states.")
    L, D, _, N, _ = trace.hidden.shape
    layer, direction = index("layer", layer, L, "layers"), index("direction", direction, D, "directions")
    batch = index("batch", batch, N, "sequences")
    ax = draw.axes(ax, (7.0, 3.6))
    steps = trace.there[:, batch].nonzero().flatten().tolist()
    places = steps if len(steps) != 1 else [steps[0] - 0.25, steps[0] + 0.25]  # a single step is as wide as a line
    shown = [gate for gate in anatomy.gates if gate.function == "sigmoid"]
    for k, gate in enumerate(shown):
        values = trace.gate(gate.name)[layer, direction, steps, batch].double()
        colour = draw.ramp(k, len(shown))
        if len(steps) and values.shape[1]:
            values = values.expand(len(places), -1)
            low, high = (values.quantile(q, 1).tolist() for q in (0.1, 0.9))
            ax.fill_between(places, low, high, color=colour, alpha=0.15, lw=0)
            ax.plot(places, values.mean(1).tolist(), color=colour, lw=1.8, label=f"{gate.name}, {gate.title}")
    draw.time_axis(ax, trace, batch)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.set(ylim=(-0.03, 1.03), ylabel=say("gate", "게이트"))
    draw.plain_spines(ax)
    if steps:
        draw.legend(ax)
    where = draw.name(trace, layer, direction)
    ax.set_title(
        say(f"Gates of {where}, sequence {batch}", f"{where}의 게이트, 시퀀스 {batch}"), loc="left", fontsize=11
    )
    band = say("Lines are means over the units, bands hold 80 % of them", "선은 유닛들의 평균, 띠는 유닛의 80 %입니다")
    none = say("The sequence has no step, and so no gate.", "시점이 없으므로 게이트도 없습니다.")
    return draw.read(ax, f"{band}; {activity(trace, layer)}." if steps else none)


def sensitivity(trace: "Trace", ax: "Axes | None", layer: int, direction: int, unit: int | None, batch: int) -> Drawing:
    """What `Trace.plot_sensitivity` draws."""
    from matplotlib.ticker import MaxNLocator

    found = sensitivity_of(trace, None, layer, direction, unit, batch)
    lag = found.by_lag()[: int(trace.there[:, found.batch].sum())]
    ax = draw.axes(ax, (7.0, 3.6))
    norms = lag.double().where(lag > 0, torch.nan).tolist()  # a logarithmic axis has no zero
    lags = range(len(norms))
    if found.spectral_radius > 0 and len(norms) > 1:
        factor = short(found.spectral_radius)
        guide = [norms[0] * found.spectral_radius**k for k in lags]
        ax.plot(lags, guide, color=QUIET, ls="--", lw=1.2, label=say(f"times {factor} a step", f"한 시점에 {factor}배"))
        draw.legend(ax, say("spectral radius", "스펙트럼 반지름"))
    ax.plot(lags, norms, color=TEAL, marker="o", markersize=4 if len(norms) <= 40 else 0, lw=1.8)
    ax.set_yscale("log")
    lag_said = say("lag: steps between the input and the state", "입력과 상태 사이의 시점 수")
    ax.set(xlabel=lag_said, ylabel=say("norm of dh_t / dx_s", "dh_t / dx_s의 노름"))
    ax.grid(axis="y", color="#e3e6ea", lw=0.8)
    ax.set_axisbelow(True)
    draw.plain_spines(ax)
    what = say("state", "상태") if found.unit is None else say("unit", "유닛") + f" {found.unit}"
    where = draw.name(trace, found.layer, found.direction)
    title = say(
        f"How much the input counts in the last {what} of {where}", f"{where}의 마지막 {what}에 입력이 주는 영향"
    )
    ax.set_title(title, loc="left", fontsize=11)
    if len(norms) == 1:
        ax.set_xlim(-0.5, 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return draw.read(ax, found.sentence)
