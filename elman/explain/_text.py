"""A trace as text and as HTML: the summary and the table. Text from the user is escaped wherever HTML is made."""

import html
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elman.explain._arithmetic import DIRECTIONS
from elman.explain._cells import time_constant
from elman.explain._language import say, spoken
from elman.explain._ledger import described
from elman.explain._numbers import fixed, short

if TYPE_CHECKING:
    from elman.explain._trace import Trace

ROWS = 40  # of a table that are shown
COLUMNS = ("input_term", "recurrent_term", "b_ih", "b_hh", "pre_activation")  # of each sum
SATURATED = 0.99
NOTEBOOK_BYTES = 400_000  # of a page inside a notebook, which keeps every one that it shows
# Multiplications of a Jacobian; a larger one, about a second and more, is computed when asked for only.
EFFORT = 3 * 10**9


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of numbers with named columns; `pandas.DataFrame(table.rows)` makes a data frame of them."""

    rows: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return "(no rows)"
        lines = [list(self.rows[0]), *_written(self.rows)]
        wide = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
        said = ["  ".join(cell.rjust(width) for cell, width in zip(line, wide, strict=True)) for line in lines]
        return "\n".join([*said, *self._rest()])

    def _repr_html_(self) -> str:
        if not self.rows:
            return "<p>(no rows)</p>"
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.rows[0])
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in _written(self.rows)
        )
        rest = "".join(f"<p>{line}</p>" for line in self._rest())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"

    def _rest(self) -> list[str]:
        left_out = len(self.rows) - ROWS
        return [f"… {left_out:,} more rows in .rows"] if left_out > 0 else []


def table(trace: "Trace") -> Table:
    """What `Trace.table` says."""
    L, D, T, N, H = trace.hidden.shape
    gates = trace.anatomy.gates if trace.anatomy.is_gated else ()
    sums = {name: getattr(trace, name).tolist() for name in (*COLUMNS, *(["gates"] if gates else []))}
    states = {name: state.tolist() for name, state in sorted(trace.states.items())}  # c before h
    states |= {name: term.tolist() for name, term in (("leak", trace.leak), ("drive", trace.drive)) if term is not None}
    there = trace.there.tolist()
    rows = []
    for layer, d, n, t in itertools.product(range(L), range(D), range(N), range(T)):
        if not there[t][n]:
            continue
        token = trace.labels.token(t, n)
        for unit, k in itertools.product(range(H), range(max(1, len(gates)))):
            row: dict[str, Any] = {"layer": layer, "direction": DIRECTIONS[d], "sequence": n, "step": t}
            if token is not None:
                row["token"] = token
            row["unit"] = unit
            if gates:
                row["gate"] = gates[k].name
            for name, array in sums.items():
                cell = array[layer][d]
                of_step = cell if name.startswith("b_") else cell[t][n]
                row["value" if name == "gates" else name] = of_step[k * H + unit]
            for name, array in states.items():
                row["hidden" if name == "h" else name] = array[layer][d][t][n][unit]
            rows.append(row)
    return Table(rows)


def summary(trace: "Trace") -> str:
    """What `print(trace)` shows."""
    return "\n".join(
        [
            trace.layer,
            "",
            repr(trace.shapes),
            "",
            *(f"- {line}" for line in remarks(trace)),
            "",
            say(
                "next: trace.at(t=0) spells out one number, trace.save('run.html') makes a page of all of them",
                "다음: trace.at(t=0)은 숫자 하나를 풀어 쓰고, trace.save('run.html')은 모두를 페이지로 만듭니다",
            ),
        ]
    )


def notebook_html(trace: "Trace") -> str:
    """What a notebook shows: the page itself, and the summary for where a frame or scripts are not shown.

    The frame is sandboxed: its scripts run, and reach neither the notebook nor the network.
    """
    from elman.explain._page import page

    text = summary_html(trace)
    try:
        document = page(trace, most_bytes=NOTEBOOK_BYTES)
    except ValueError:  # nothing to show, or too large to be kept in a notebook
        return text
    frame = (
        f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(document)}" title="{html.escape(trace.layer)}" '
        'style="width: 100%; height: 780px; border: 1px solid #8886"></iframe>'
    )
    return f"{frame}<details><summary>{html.escape(trace.layer)}</summary>{text}</details>"


def summary_html(trace: "Trace") -> str:
    """The summary as HTML."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>({html.escape(described(axes))})</td></tr>"
        for name, axes in trace.shapes.rows.items()
    )
    said = "".join(f"<li>{html.escape(line)}</li>" for line in remarks(trace))
    title = (trace.labels.title or {}).get(spoken(), "")
    head = f"<p><b>{html.escape(title)}</b></p>" if title else ""
    return f"{head}<p><code>{html.escape(trace.layer)}</code></p><table>{rows}</table><ul>{said}</ul>"


def remarks(trace: "Trace") -> list[str]:
    """Sentences on a trace, each true of its numbers."""
    s = trace.sizes
    far, share = short(trace.difference), short(trace.tolerance_ratio)
    said = [
        say(
            f"{trace.backend} kernels against the reference: the largest difference is {far}"
            f"{f' (up to {share} times what torch.testing.assert_close allows)' if trace.difference else ''}",
            f"{trace.backend} 커널과 기준 구현의 가장 큰 차이: {far}"
            f"{f' (torch.testing.assert_close 허용 오차의 최대 {share}배)' if trace.difference else ''}",
        )
    ]
    if trace.labels.tokens is not None:
        shown = [" ".join(visible(token) for token in row[:20]) for row in trace.labels.tokens[:3]]
        more = len(trace.labels.tokens) - len(shown)
        rest = say(f" | … {more} more sequences", f" | … 시퀀스 {more}개 더") if more else ""
        said.append(f"{say('tokens by step', '시점별 토큰')}: {' | '.join(shown)}{rest}")
    there = trace.there.sum().item()
    if there and s["H"]:
        said += [f"{say('layer', '층')} {layer}: {activity(trace, layer)}" for layer in range(s["L"])]
    wide = max(s["I"], s["D"] * s["H"])
    effort = s["T"] * s["L"] * s["D"] * s["H"] ** 2 * (s["H"] + wide) * len(trace.anatomy.gates)
    if s["N"] and int(trace.there[:, 0].sum()) and effort <= EFFORT:
        said.append(trace.sensitivity().sentence)
    return [*said, *trace.notes]


def idle(trace: "Trace", layer: int) -> float:
    """The share of a layer's states, or gates, that pass hardly any gradient: saturated, or for relu 0."""
    gated = trace.anatomy.is_gated and trace.problem.cell.layer != "potential"  # there v is the sum, and h = f(v)
    values = (trace.gates if gated else trace.hidden)[layer][:, trace.there].double()
    if trace.anatomy.leaks:
        still = _flat(values, trace.problem.cell.nonlinearity)
    elif trace.problem.cell.nonlinearity == "relu":
        still = values == 0
    elif trace.anatomy.is_gated:
        ways = zip(trace.anatomy.gates, values.chunk(len(trace.anatomy.gates), -1), strict=True)
        # A tanh beyond ±0.99 has a slope below 0.02; a logistic function has a twelfth of its largest slope there.
        still = torch.cat(
            [value.abs() > SATURATED if gate.function == "tanh" else _shut(value) for gate, value in ways]
        )
    else:
        still = values.abs() > SATURATED
    return float(still.double().mean())


def _flat(values: Tensor, function: str | None) -> Tensor:
    """Where f of a leaky cell passes next to nothing of a gradient."""
    if function in ("relu", "softplus"):
        return values <= (0 if function == "relu" else 1 - SATURATED)
    if function == "sigmoid":
        return _shut(values)
    saturated = values.abs() > SATURATED
    return saturated | (values <= 0) if function == "retanh" else saturated


def _shut(gate: Tensor) -> Tensor:
    """Where a gate is open or shut for good: beyond 0.99 or below 0.01."""
    return (gate > SATURATED) | (gate < 1 - SATURATED)


def activity(trace: "Trace", layer: int) -> str:
    """How saturated, or for relu how silent, the states of a layer are; what its gates do, where it has some."""
    hidden = trace.hidden[layer][:, trace.there]
    if broken := float((~hidden.isfinite()).double().mean()):
        return say(
            f"{_percent(broken)} of the hidden states are NaN or infinite: look for it in the input and the weights",
            f"은닉 상태의 {_percent(broken)}가 NaN이거나 무한대입니다. 입력과 가중치를 살펴보세요",
        )
    share = idle(trace, layer)
    if trace.leak is not None:
        return _leak(trace, layer, trace.leak, share)
    if trace.anatomy.is_gated:
        return _gates(trace, layer, share)
    if trace.problem.cell.nonlinearity == "relu":
        most = short(float(hidden.max()))
        if share == 0:
            return say(
                f"no hidden state is 0, so gradients pass everywhere; the largest is {most}",
                f"0인 은닉 상태가 없으므로 기울기가 어디로나 흐릅니다. 가장 큰 값은 {most}입니다",
            )
        return say(
            f"{_percent(share)} of the hidden states are 0, and through those no gradient passes; "
            f"the largest is {most}",
            f"은닉 상태의 {_percent(share)}가 0이고, 그리로는 기울기가 흐르지 않습니다. 가장 큰 값은 {most}입니다",
        )
    if share == 0:
        return say(
            f"no hidden state is saturated (beyond ±{SATURATED}), so gradients pass everywhere",
            f"포화된(±{SATURATED}을 넘는) 은닉 상태가 없으므로 기울기가 어디로나 흐릅니다",
        )
    return say(
        f"{_percent(share)} of the hidden states are saturated (beyond ±{SATURATED}), "
        "and through those hardly any gradient passes",
        f"은닉 상태의 {_percent(share)}가 포화되어(±{SATURATED}을 넘어) 그리로는 기울기가 거의 흐르지 않습니다",
    )


def _gates(trace: "Trace", layer: int, share: float) -> str:
    """The gates of a layer on average, how long its state lasts, and how many of them are open or shut for good."""
    anatomy = trace.anatomy
    values = {gate.name: trace.gate(gate.name)[layer][:, trace.there].double() for gate in anatomy.gates}
    means = ", ".join(f"{g.name} {short(float(values[g.name].mean()))}" for g in anatomy.gates if g.function != "tanh")
    assert anatomy.keeper is not None
    keeper, kept = anatomy.gate(anatomy.keeper), anatomy.kept
    median = float(values[keeper.name].median())
    steps = short(time_constant(median))
    return say(
        f"the gates are on average {means}; with the median {keeper.en} {keeper.name} = {short(median)}, {kept} fades "
        f"with a time constant of 1/(1 - {keeper.name}) = {steps} steps; {_percent(share)} of the gates are saturated",
        f"게이트의 평균은 {means}입니다. {keeper.ko} {keeper.name}의 중앙값이 {short(median)}이므로 {kept}의 "
        f"시간 상수는 1/(1 - {keeper.name}) = {steps}시점입니다. 게이트의 {_percent(share)}가 포화되었습니다",
    )


def _leak(trace: "Trace", layer: int, leak: Tensor, share: float) -> str:
    """How long a leaky layer's state lasts, and how many of its activations are flat."""
    median = float(leak[layer][:, trace.there].double().median())
    steps, kept = short(time_constant(1 - median)), trace.anatomy.kept
    return say(
        f"with the median leak α = {short(median)}, {kept} fades with a time constant of 1/α = {steps} steps; "
        f"{_percent(share)} of the activations are saturated or 0",
        f"누출률 α의 중앙값이 {short(median)}이므로 {kept}의 시간 상수는 1/α = {steps}시점입니다. "
        f"활성값의 {_percent(share)}가 포화되었거나 0입니다",
    )


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return say("less than 0.1%", "0.1% 미만")
    return f"{share:.0%}" if share >= 0.01 or share == 0 else f"{share:.1%}"


def _written(rows: list[dict[str, Any]]) -> list[list[str]]:
    """The first rows as text; a token's line ends and other control characters as escapes."""
    return [[_cell(value) for value in row.values()] for row in rows[:ROWS]]


def _cell(value: Any) -> str:
    return fixed(value) if isinstance(value, float) else visible(value) if isinstance(value, str) else str(value)


def visible(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
