"""What a page shows where scripts are off: the shapes, and hidden states as tables, in both languages."""

import html
import itertools
import math
from typing import TYPE_CHECKING, Any

from torch import Tensor

from elman.explain._labels import LANGUAGES
from elman.explain._numbers import fixed, short
from elman.explain._text import visible

if TYPE_CHECKING:
    from elman.explain._trace import Trace

STEPS, UNITS = 100, 8  # that are shown
AXES = {"time": "시간", "batch": "배치", "feature": "특성", "layer·direction": "층·방향"}
STATES = {"h": ("Hidden state", "은닉 상태"), "c": ("Cell state", "셀 상태"), "v": ("Potential", "전위")}
WAYS = (("forward", "정방향"), ("reverse", "역방향"))


def plain(trace: "Trace", n: int, lesson: dict[str, Any] | None) -> str:
    """The shapes, and every state of sequence n, up to a limit. Text from the user is escaped."""
    title, note = trace.labels.title or {}, trace.labels.note or {}
    said = [_links(lesson)] if lesson else []
    if title.get("ko"):
        said.append(f"<h2 lang='ko'>{html.escape(title['ko'])}</h2>")
    said += [f"<p lang='{lang}'>{html.escape(note[lang])}</p>" for lang in LANGUAGES if note.get(lang)]
    return "".join([*said, _shapes(trace), *_states(trace, n), _beside(trace)])


def _links(lesson: dict[str, Any]) -> str:
    """The index, and the lessons before and after."""
    beside = [(arrow, lesson[which]) for which, arrow in (("previous", "←"), ("next", "→"))]
    names = {"en": "all lessons", "ko": "수업 목록"}
    links = [f"<a href='{home}' lang='{lang}'>{names[lang]}</a>" for lang, home in lesson["home"].items()]
    links += [f"<a href='{to['href']}'>{arrow} {html.escape(to['title']['en'])}</a>" for arrow, to in beside if to]
    return f"<p>{' · '.join(links)}</p>"


def _both(english: str, korean: str) -> str:
    return f"{html.escape(english)} <span lang='ko'>({html.escape(korean)})</span>"


def _shapes(trace: "Trace") -> str:
    rows = []
    for name, axes in trace.shapes.rows.items():
        english = ", ".join(f"{axis} {size}" for axis, size in axes.items())
        korean = ", ".join(f"{AXES[axis]} {size}" for axis, size in axes.items())
        rows.append(f"<tr><th scope='row'>{name}</th><td>({english})</td><td lang='ko'>({korean})</td></tr>")
    return f"<table><caption>{_both('Shapes', '모양')}</caption>{''.join(rows)}</table>"


def _states(trace: "Trace", n: int) -> list[str]:
    L, D, T, _, H = trace.hidden.shape
    steps, units = min(T, STEPS), min(H, UNITS)
    names = "".join(f"<th scope='col'>{_both(f'unit {u}', f'유닛 {u}')}</th>" for u in range(units))
    head = f"<tr><th scope='col'>{_both('step', '시점')}</th>{names}</tr>"
    said = []
    for layer, d, (name, state) in itertools.product(range(L), range(D), trace.states.items()):
        which = [f"layer {layer}", f"층 {layer}"]
        if D == 2:
            which = [f"{place} {way}" for place, way in zip(which, WAYS[d], strict=True)]
        english, korean = STATES[name]
        caption = _both(f"{english} of {which[0]}, sequence {n}", f"{which[1]}의 {korean}, 시퀀스 {n}")
        rows = "".join(_row(trace, state[layer, d, t, n, :units], t, n) for t in range(steps))
        said.append(f"<table><caption>{caption}</caption>{head}{rows}</table>")
    if steps < T or units < H:
        english = f"The first {steps} of {T} steps and {units} of {H} units; the rest needs scripts."
        korean = (
            f"시점 {T}개 가운데 {steps}개, 유닛 {H}개 가운데 {units}개입니다. 나머지를 보려면 스크립트가 필요합니다."
        )
        said.append(f"<p>{_both(english, korean)}</p>")
    return said


def _beside(trace: "Trace") -> str:
    """How much more or less the first step moves the last state than the last one does, of several layers."""
    if not trace.labels.beside:
        return ""
    ratios = {name: norms[0] / norms[-1] if norms[-1] else math.nan for name, norms in trace.labels.beside.items()}
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{short(r)}</td></tr>" for name, r in ratios.items()
    )
    caption = _both(
        "How many times as much as the last step of the input step 0 moves the last state",
        "시점 0의 입력이 마지막 상태를 바꾸는 정도(마지막 시점의 몇 배인지)",
    )
    return f"<table><caption>{caption}</caption>{rows}</table>"


def _row(trace: "Trace", values: Tensor, t: int, n: int) -> str:
    """`values` are those of the units that are shown."""
    token = trace.labels.token(t, n)
    name = html.escape(str(t) if token is None else f"{t} {visible(token)}")
    if trace.there[t, n]:
        cells = "".join(f"<td>{fixed(value)}</td>" for value in values.tolist())
    else:
        cells = f"<td colspan='{len(values)}'>{_both('past the end', '끝난 뒤')}</td>"
    return f"<tr><th scope='row'>{name}</th>{cells}</tr>"
