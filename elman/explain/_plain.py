"""What a page shows where scripts are off: the shapes, and hidden states as tables, in both languages."""

import html
from typing import TYPE_CHECKING, Any

from elman.explain._labels import LANGUAGES
from elman.explain._numbers import fixed
from elman.explain._text import visible

if TYPE_CHECKING:
    from elman.explain._trace import Trace

STEPS, UNITS = 100, 8  # that are shown
AXES = {"time": "시간", "batch": "배치", "feature": "특성", "layer·direction": "층·방향"}
WAYS = (("forward", "정방향"), ("reverse", "역방향"))


def plain(trace: "Trace", n: int, lesson: dict[str, Any] | None) -> str:
    """The shapes, and every hidden state of sequence n, up to a limit. Text from the user is escaped."""
    title, note = trace.labels.title or {}, trace.labels.note or {}
    said = [_links(lesson)] if lesson else []
    if title.get("ko"):
        said.append(f"<h2 lang='ko'>{html.escape(title['ko'])}</h2>")
    said += [f"<p lang='{lang}'>{html.escape(note[lang])}</p>" for lang in LANGUAGES if note.get(lang)]
    return "".join([*said, _shapes(trace), *_states(trace, n)])


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
    for layer in range(L):
        for d in range(D):
            which = [f"layer {layer}", f"층 {layer}"]
            if D == 2:
                which = [f"{name} {way}" for name, way in zip(which, WAYS[d], strict=True)]
            caption = _both(f"Hidden state of {which[0]}, sequence {n}", f"{which[1]}의 은닉 상태, 시퀀스 {n}")
            rows = "".join(_row(trace, layer, d, t, n, units) for t in range(steps))
            said.append(f"<table><caption>{caption}</caption>{head}{rows}</table>")
    if steps < T or units < H:
        english = f"The first {steps} of {T} steps and {units} of {H} units; the rest needs scripts."
        korean = (
            f"시점 {T}개 가운데 {steps}개, 유닛 {H}개 가운데 {units}개입니다. 나머지를 보려면 스크립트가 필요합니다."
        )
        said.append(f"<p>{_both(english, korean)}</p>")
    return said


def _row(trace: "Trace", layer: int, d: int, t: int, n: int, units: int) -> str:
    token = trace.labels.token(t, n)
    name = html.escape(str(t) if token is None else f"{t} {visible(token)}")
    if trace.there[t, n]:
        cells = "".join(f"<td>{fixed(value)}</td>" for value in trace.hidden[layer, d, t, n, :units].tolist())
    else:
        cells = f"<td colspan='{units}'>{_both('past the end', '끝난 뒤')}</td>"
    return f"<tr><th scope='row'>{name}</th>{cells}</tr>"
