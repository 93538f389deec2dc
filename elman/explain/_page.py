"""One self-contained page from a trace: data as base64, script and style inline, the network forbidden."""

import bisect
import functools
import hashlib
import html
import json
import math
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elman.explain._arithmetic import index
from elman.explain._plain import plain
from elman.explain._sensitivity import radii

if TYPE_CHECKING:
    from elman.explain._trace import Trace

MOST_BYTES = 1_000_000
SCRIPTS = (
    *("words_en", "words_ko", "numbers", "cells", "model", "gradient", "changes", "head", "loss", "text"),
    *("dom", "places", "wires", "grid", "panel", "arithmetic", "gates", "edit", "backward"),
    *("ledger", "influence", "beside", "tour", "address", "lesson", "listen", "main"),
)
STYLES = ("page", "panel", "screens")
Radii = list[list[float | None]]
Lesson = dict[str, Any]
HIDDEN = re.compile(
    "[\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)  # characters that turn or hide what stands around them


def save(trace: "Trace", path: Path, batch: Sequence[int] | None = None, lesson: Lesson | None = None) -> Path:
    """Write the page, whole or not at all."""
    text = page(trace, batch, lesson).encode()
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(text)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise type(error)(error.errno, error.strerror, str(path)) from error
    return path


def page(
    trace: "Trace", batch: Sequence[int] | None = None, lesson: Lesson | None = None, most_bytes: int = MOST_BYTES
) -> str:
    """The page as a text: the sequences asked for, or as many of the first ones as fit into `most_bytes`.

    `lesson` says what comes before and after it in a gallery, and what is learned from it.
    """
    T, N = trace.sizes["T"], trace.sizes["N"]
    if not T or not N:
        raise ValueError(f"There is nothing to show: the trace has {T} steps and {N} sequences.")
    if batch is not None and not isinstance(batch, Iterable):
        raise TypeError(f"batch names the sequences to show: pass a list, batch=[{batch}], and not {batch!r}.")
    chosen = [0] if batch is None else [index("batch", n, N, "sequences") for n in batch]
    if not chosen:
        raise ValueError("batch is empty: name at least one sequence to show.")
    spectral = _radii(trace, chosen[0])
    if batch is None:
        of_states = [state[:, :, :, :1] for state in trace.states.values()]
        of_terms = [term[:, :, :1] for term in trace.problem.terms if term.shape[2] > 1]
        # A sequence is more than its numbers, so at most this many fit.
        most = max(
            1,
            min(N, int(most_bytes // _bytes(trace.x[:, :1], *of_states, *of_terms))),
        )

        def size_of(count: int) -> int:
            return len(_page(trace, range(count), spectral, lesson).encode())

        chosen = list(range(max(1, bisect.bisect_right(range(1, most + 1), most_bytes, key=size_of))))
    text = _page(trace, chosen, spectral, lesson)
    size, weights = len(text.encode()), _bytes(*trace.weights.values())
    if size <= most_bytes:
        return text
    mend = "trace fewer steps, or a smaller layer; print(trace), table() and the figures work at any size"
    if len(chosen) > 1:
        mend = "show fewer sequences with batch=[...]"
    raise ValueError(
        f"The page would have {size / 1e6:.2f} MB and may have {most_bytes / 1e6:g}: "
        f"{weights / 1e6:.1f} MB are the weights. To make it fit, {mend}."
    )


def _bytes(*tensors: Tensor) -> float:
    """The size of tensors as base64 of float32."""
    return sum(tensor.numel() for tensor in tensors) * 4 * 4 / 3


def _page(trace: "Trace", sequences: Sequence[int], spectral: Radii, lesson: Lesson | None) -> str:
    script, style = _script(), "\n".join(asset(f"{name}.css") for name in STYLES)
    parts = {
        "policy": policy_for(script=script, style=style),
        "title": html.escape((trace.labels.title or {}).get("en") or trace.layer),
        "layer": html.escape(trace.layer),
        "style": style,
        "table": plain(trace, sequences[0], lesson),
        "data": _data(trace, list(sequences), spectral, lesson),
        "script": script,
    }
    return fill(asset("page.html"), parts)


def fill(template: str, parts: dict[str, str]) -> str:
    """The template with each [[name]] replaced, in one pass: what is put in is not looked at again."""
    return re.sub(r"\[\[(\w+)\]\]", lambda found: parts[found[1]], template)


def policy_for(**inline: str) -> str:
    """A content-security policy that allows these inline parts, by their hashes, and nothing from anywhere."""
    hashes = {name: b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in inline.items()}
    allowed = [f"{name}-src 'sha256-{value}'" for name, value in hashes.items()]
    return "; ".join(["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"])


def _data(trace: "Trace", sequences: list[int], spectral: Radii, lesson: Lesson | None) -> str:
    """The page's JSON. `<` is written as an escape, so that no text in it can end the script element."""
    s, labels = trace.sizes, trace.labels
    there = trace.there[:, sequences].sum(0).tolist()
    rows = trace.problem
    data: dict[str, Any] = {
        "layer": trace.layer,
        "cell": rows.cell.name,
        "sizes": s | {"N": len(sequences)},
        "batch": s["N"],
        "sequences": sequences,
        "batched": trace.batched,
        "batch_first": trace.batch_first,
        "lengths": there,
        "arrays": {
            "x": _base64(trace.x[:, sequences]),
            **{f"{name}_0": _base64(state[:, sequences]) for name, state in trace.starts.items()},
            **{name: _base64(state[:, :, :, sequences]) for name, state in trace.states.items()},
        },
        "terms": {
            name: {"shape": list(term.shape), "values": _base64(term)}
            for name, term in zip(("leak", "drive"), _terms(trace, sequences), strict=False)
        },
        "weights": {name: _base64(w) for name, w in trace.weights.items()},
        "radii": spectral,
        "backend": trace.backend,
        "difference": _finite(trace.difference),
        "tolerance_ratio": _finite(trace.tolerance_ratio),
        "notes": trace.bilingual_notes,
        "title": labels.title,
        "note": labels.note,
        "head": None
        if labels.head is None
        else {
            "weight": _base64(labels.head.weight),
            "bias": _base64(labels.head.bias),
            "names": labels.head.outcomes,
        },
        "targets": _shown(labels.targets, sequences),
        "vocabulary": None
        if labels.vocabulary is None or any(term.shape[1] > 1 or term.shape[2] > 1 for term in trace.problem.terms)
        else {
            "tokens": labels.vocabulary.tokens,
            "vectors": _base64(labels.vocabulary.vectors),
            "separator": "" if all(len(token) == 1 for token in labels.vocabulary.tokens) else " ",
        },
        "translations": labels.translations,
        "beside": None
        if labels.beside is None
        else {name: [_finite(norm) for norm in norms] for name, norms in labels.beside.items()},
        "lesson": lesson,
        "tokens": _shown(labels.tokens, sequences),
        "features": labels.features,
        "predictions": None
        if labels.predictions is None
        else [
            [[guess._asdict() for guess in step] for step in row] for row in _shown(labels.predictions, sequences) or ()
        ],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _terms(trace: "Trace", sequences: list[int]) -> list[Tensor]:
    """Leak and drive of the sequences shown, (L * D, T, N, H), each axis also 1."""
    return [term if term.shape[2] == 1 else term[:, :, sequences] for term in trace.problem.terms]


def _shown(rows: tuple[Any, ...] | None, sequences: list[int]) -> tuple[Any, ...] | None:
    """The rows of the sequences shown, or the one row for all."""
    return rows if rows is None or len(rows) == 1 else tuple(rows[n] for n in sequences)


def _radii(trace: "Trace", n: int) -> Radii:
    """For each layer and direction the spectral radii of a step's Jacobian and of W_hh; null where not finite."""
    found = [radii(trace, layer, d, n) for layer in range(trace.sizes["L"]) for d in range(trace.sizes["D"])]
    return [[_finite(value) for value in pair] for pair in found]


def _finite(value: float) -> float | None:
    """For JSON, which has neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def _base64(tensor: Tensor) -> str:
    """float32, row by row, least significant byte first."""
    return b64encode(tensor.to(torch.float32).contiguous().numpy().astype("<f4").tobytes()).decode()


@functools.cache
def asset(name: str) -> str:
    return files("elman.explain").joinpath("assets", name).read_text(encoding="utf-8")


@functools.cache
def _script() -> str:
    """All scripts as one."""
    return '"use strict";\n' + "\n".join(asset(f"{name}.js") for name in SCRIPTS)
