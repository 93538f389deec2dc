"""A trace as text and as HTML: the summary and the table. Text from the user is escaped wherever HTML is made."""

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from elman.explain._arithmetic import DIRECTIONS
from elman.explain._language import say, spoken
from elman.explain._ledger import described
from elman.explain._numbers import fixed, short

if TYPE_CHECKING:
    from elman.explain._trace import Trace

ROWS = 40  # of a table that are shown
COLUMNS = ("input_term", "recurrent_term", "b_ih", "b_hh", "pre_activation", "hidden")
SATURATED = 0.99
CLOSE = 1e-5
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
    arrays = {name: getattr(trace, name).tolist() for name in COLUMNS}
    there = trace.there.tolist()
    rows = []
    for layer in range(L):
        for d in range(D):
            for n in range(N):
                for t in range(T):
                    if not there[t][n]:
                        continue
                    token = trace.labels.token(t, n)
                    for unit in range(H):
                        row: dict[str, Any] = {"layer": layer, "direction": DIRECTIONS[d], "sequence": n, "step": t}
                        if token is not None:
                            row["token"] = token
                        row["unit"] = unit
                        for name, array in arrays.items():
                            cell = array[layer][d]
                            row[name] = cell[unit] if name.startswith("b_") else cell[t][n][unit]
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
    far = short(trace.difference)
    said = [
        say(
            f"{trace.backend} kernels against the reference: the largest difference is {far}",
            f"{trace.backend} 커널과 기준 구현의 가장 큰 차이: {far}",
        )
    ]
    if not trace.difference <= CLOSE:
        said[0] += say(
            ", more than rounding explains while states are near 1",
            " (상태가 1 안팎일 때 반올림으로 설명되는 것보다 큽니다)",
        )
    if trace.labels.tokens is not None:
        shown = [" ".join(visible(token) for token in row[:20]) for row in trace.labels.tokens[:3]]
        more = len(trace.labels.tokens) - len(shown)
        rest = say(f" | … {more} more sequences", f" | … 시퀀스 {more}개 더") if more else ""
        said.append(f"{say('tokens by step', '시점별 토큰')}: {' | '.join(shown)}{rest}")
    there = trace.there.sum().item()
    if there and s["H"]:
        hidden = trace.hidden[:, :, trace.there]  # (L, D, steps, H)
        for layer in range(s["L"]):
            said.append(f"{say('layer', '층')} {layer}: {activity(trace, hidden[layer])}")
    wide = max(s["I"], s["D"] * s["H"])
    effort = s["T"] * s["L"] * s["D"] * s["H"] ** 2 * (s["H"] + wide)
    if s["N"] and int(trace.there[:, 0].sum()) and effort <= EFFORT:
        said.append(trace.sensitivity().sentence)
    return [*said, *trace.notes]


def idle(trace: "Trace", hidden: Tensor) -> float:
    """The share of a layer's states that pass hardly any gradient: saturated, or for relu 0."""
    still = hidden == 0 if trace.problem.cell.nonlinearity == "relu" else hidden.abs() > SATURATED
    return float(still.double().mean())


def activity(trace: "Trace", hidden: Tensor) -> str:
    """How saturated, or for relu how silent, the states of a layer are."""
    if broken := float((~hidden.isfinite()).double().mean()):
        return say(
            f"{_percent(broken)} of the hidden states are NaN or infinite: look for it in the input and the weights",
            f"은닉 상태의 {_percent(broken)}가 NaN이거나 무한대입니다. 입력과 가중치를 살펴보세요",
        )
    share = idle(trace, hidden)
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


def _percent(share: float) -> str:
    if share < 0.001:
        return say("less than 0.1%", "0.1% 미만")
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"


def _written(rows: list[dict[str, Any]]) -> list[list[str]]:
    """The first rows as text; a token's line ends and other control characters as escapes."""
    return [[_cell(value) for value in row.values()] for row in rows[:ROWS]]


def _cell(value: Any) -> str:
    return fixed(value) if isinstance(value, float) else visible(value) if isinstance(value, str) else str(value)


def visible(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
