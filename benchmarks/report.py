"""The tables in Markdown, from the results' file."""

from collections.abc import Callable
from typing import Any

from benchmarks.figures import (
    EQUAL,
    PEERS,
    Row,
    arithmetic,
    best_peer,
    fastest,
    groups,
    known,
    mean,
    over_best,
    over_equal,
    over_packed,
    over_torch,
    rate_share,
    rates,
)


def markdown(results: dict[str, Any]) -> str:
    """All tables, and the machine."""
    by_mode = groups(results["rows"])
    parts = ["# Measured", machine(results["machine"]), "## In short", summary(by_mode)]
    for name, rows in by_mode.items():
        parts += [f"## {name}", TABLES.get(rows[0]["mode"], compared)(rows)]
    if results.get("memory"):
        parts += ["## Memory", memory(results["memory"])]
    disagreed = [
        f"- {row['mode']} {row['name']}, {who}: {said}"
        for row in results["rows"]
        for who, said in row["disagreed"].items()
    ]
    parts += [
        "## Not timed, because it disagrees",
        "\n".join(disagreed) or "None: every number of every framework agrees with torch's.",
    ]
    return "\n\n".join(parts) + "\n"


def table(header: list[str], lines: list[list[str]]) -> str:
    """A Markdown table; numbers to the right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, rule, *lines])


def machine(about: dict[str, Any]) -> str:
    """A sentence of what was measured where."""
    versions = ", ".join(
        f"{key} {about[key]}" for key in ("torch", "jax", "onnxruntime", "openvino", "numba") if key in about
    )
    return (
        f"{about['processor']}, {about['cores']} cores ({', '.join(about['caches'])}), {about['system']}; "
        f"{about['threads']} threads, {arithmetic(about)}, Python {about['python']}, {versions}. "
        "Medians in milliseconds."
    )


def summary(by_mode: dict[str, list[Row]]) -> str:
    """Geometric means and the worst cases, a line a mode."""
    lines = []
    for name, rows in by_mode.items():
        if rows[0]["mode"] == "rate" or not known(over_torch, rows):
            continue
        worst, where = min(known(over_best, rows), key=lambda pair: pair[0])
        slowest, _ = min(known(over_torch, rows), key=lambda pair: pair[0])
        means = [f"{mean(ratio, rows):.2f}" for ratio in (over_torch, over_best)]
        lines.append([name, str(len(rows)), means[0], f"{slowest:.2f}", means[1], f"{worst:.2f} ({where['name']})"])
    return table(
        ["mode", "sizes", "over torch", "worst over torch", "over the best peer", "worst over the best peer"], lines
    )


def compared(rows: list[Row]) -> str:
    """A line a size: each framework's milliseconds, and elman's two ratios."""
    names = [name for name in ("elman", *PEERS) if any(name in row["ms"] for row in rows)]
    lines = [
        [
            row["name"],
            *(ms(fastest(row, name)) for name in names),
            times(over_torch(row)),
            times(over_best(row)),
            best_peer(row)[0],
        ]
        for row in rows
    ]
    return table(["size", *names, "over torch", "over the best peer", "which is"], lines)


def packed(rows: list[Row]) -> str:
    """A line a size: lengths=, PackedSequence, and what lengths cost beside sequences of equal length."""
    lines = [
        [
            row["name"],
            *(ms(row["ms"].get("elman", {}).get(variant)) for variant in ("lengths", "PackedSequence", EQUAL)),
            *(ms(row["ms"]["torch"].get(variant)) for variant in ("PackedSequence", EQUAL)),
            times(over_torch(row)),
            times(over_packed(row)),
            times(over_equal(row)),
        ]
        for row in rows
    ]
    header = ["size", "elman lengths=", "elman packed", "elman equal", "torch packed", "torch equal"]
    header += ["lengths= over torch", "packed over torch", "lengths= cost over equal"]
    note = (
        "A training step. Equal: as many sequences with as many steps in all, but all equally long. "
        f"Geometric mean of the cost of lengths= over equal: {mean(over_equal, rows):.2f}."
    )
    return f"{table(header, lines)}\n\n{note}"


def rate(rows: list[Row]) -> str:
    """A line a size: GFLOP/s of elman and of a plain product."""
    columns = ["elman infer", "elman train", "torch infer", "torch train", "torch product", "numpy product"]
    lines = []
    for row in rows:
        found = rates(row)
        shares = [percent(rate_share(row, variant)) for variant in ("infer", "train")]
        lines.append([row["name"], *(f"{found[name]:.0f}" if name in found else "-" for name in columns), *shares])
    note = (
        "GFLOP/s. A product is (N, H) by (H, G * H), with G gates, as many times as there are steps; "
        "the shares are of the faster one."
    )
    return f"{table(['size', *columns, 'share, infer', 'share, train'], lines)}\n\n{note}"


def memory(peaks: list[dict[str, Any]]) -> str:
    """What a training step adds at its highest, a line a cell."""
    lines = []
    for peak in peaks:
        ours, theirs = (peak["mb"].get(name) for name in ("elman", "torch"))
        ratio = None if ours is None or theirs is None else ours / theirs
        lines.append([peak["name"], *("-" if mb is None else f"{mb:.0f}" for mb in (ours, theirs)), times(ratio)])
    text = "MB at the peak of a training step above weights and input, in a fresh process.\n\n"
    return text + table(["size", "elman", "torch", "elman over torch"], lines)


TABLES: dict[str, Callable[[list[Row]], str]] = {"packed": packed, "rate": rate}


def ms(value: float | None) -> str:
    """Milliseconds to three digits."""
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def times(value: float | None) -> str:
    """A ratio."""
    return "-" if value is None else f"{value:.2f}"


def percent(value: float | None) -> str:
    """A share."""
    return "-" if value is None else f"{100 * value:.0f} %"
