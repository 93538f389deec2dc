"""From rows to ratios: over torch, over the best peer, and what each mode must show."""

import statistics
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.sizes import Size

Row = dict[str, Any]
PEERS = ("torch", "JAX", "ONNX Runtime", "OpenVINO")
EQUAL = "equal lengths"


def fastest(row: Row, framework: str) -> float | None:
    """Milliseconds of a framework's fastest variant; None where it does not run this or disagrees."""
    times = [ms for variant, ms in row["ms"].get(framework, {}).items() if variant != EQUAL]
    return min(times, default=None)


def best_peer(row: Row) -> tuple[str, float]:
    """The fastest framework that is not elman, and its milliseconds."""
    times = {name: ms for name in PEERS if (ms := fastest(row, name)) is not None}
    name = min(times, key=times.__getitem__)
    return name, times[name]


def over_torch(row: Row) -> float | None:
    """How many times as fast as torch elman is; for variable length, by lengths=."""
    ours = row["ms"].get("elman", {}).get("lengths") or fastest(row, "elman")
    theirs = fastest(row, "torch")
    return None if ours is None or theirs is None else theirs / ours


def over_best(row: Row) -> float | None:
    """How many times as fast as the best peer elman is."""
    ours = fastest(row, "elman")
    return None if ours is None else best_peer(row)[1] / ours


def over_packed(row: Row) -> float | None:
    """How many times as fast as torch elman is where both take a PackedSequence."""
    ours, theirs = (row["ms"].get(name, {}).get("PackedSequence") for name in ("elman", "torch"))
    return None if ours is None or theirs is None else theirs / ours


def over_equal(row: Row) -> float | None:
    """elman's time with lengths over its time for as many steps in sequences of equal length."""
    times = row["ms"].get("elman", {})
    return times["lengths"] / times[EQUAL] if {"lengths", EQUAL} <= times.keys() else None


def rates(row: Row) -> dict[str, float]:
    """GFLOP/s: elman's training and inference, and the plain products of (N, H) by (H, G * H)."""
    size = Size(**row["size"])
    product = 2.0 * size.T * size.N * size.H * size.gates * size.H
    operations = {"train": 3 * size.operations, "infer": size.operations, "product": product}
    return {
        f"{name} {variant}": operations[variant] / ms / 1e6
        for name, variants in row["ms"].items()
        for variant, ms in variants.items()
    }


def rate_share(row: Row, variant: str) -> float | None:
    """elman's rate over that of the fastest plain product."""
    found = rates(row)
    products = [rate for name, rate in found.items() if name.endswith(" product")]
    ours = found.get(f"elman {variant}")
    return None if ours is None or not products else ours / max(products)


def known(ratio: Callable[[Row], float | None], rows: Iterable[Row]) -> list[tuple[float, Row]]:
    """Each row's ratio where it has one."""
    return [(value, row) for row in rows if (value := ratio(row)) is not None]


def mean(ratio: Callable[[Row], float | None], rows: Iterable[Row]) -> float:
    """The geometric mean; NaN where no row has the ratio."""
    values = [value for value, _ in known(ratio, rows)]
    return statistics.geometric_mean(values) if values else float("nan")


def groups(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by cell and mode, DeepBench's apart: "train", "train, DeepBench", "GRU train"."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        size = Size(**row["size"])
        name = row["mode"] if size.cell == "rnn" else f"{size.layer} {row['mode']}"
        found.setdefault(f"{name}, {size.group}" if size.group else name, []).append(row)
    return found


def arithmetic(about: dict[str, Any]) -> str:
    """In what numbers a file was measured and, if not in the processor's own, by which instructions."""
    held_to = about.get("instructions")
    return f"float32 held to {held_to}" if held_to else "float32"
