"""Runs the workers: agreement, then turns; one row a mode and size."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from benchmarks.agreement import disagreement
from benchmarks.frameworks import Framework
from benchmarks.sizes import Size
from benchmarks.worker import Worker

Row = dict[str, Any]
Entrant = tuple[str, str]  # a framework and its variant


@dataclass(frozen=True)
class Plan:
    """How long a row takes: rounds, seconds a turn, and the seconds after which at least three rounds suffice."""

    rounds: int = 15
    seconds: float = 0.05
    enough: float = 40.0


QUICK = Plan(rounds=5, seconds=0.04, enough=15.0)


@contextmanager
def workers(frameworks: dict[str, Framework], threads: int, held_to: str | None = None) -> Iterator[dict[str, Worker]]:
    """One process a framework, ended at the end."""
    started = {name: Worker(name, framework.module, threads, held_to) for name, framework in frameworks.items()}
    try:
        yield started
    finally:
        for worker in started.values():
            worker.close()


def measure(mode: str, size: Size, asked: dict[str, Worker], plan: Plan) -> Row:
    """One row: median milliseconds of every variant of every framework that agrees with torch, taken in turn."""
    values = {name: worker.ask("prepare", mode, size) for name, worker in asked.items()}
    expected = values["torch"]
    truth = cache(lambda: asked["torch"].ask("truth", mode, size))
    disagreed, entrants = {}, []
    for name, variants in values.items():
        for variant, actual in variants.items():
            reference = variant if variant in expected else next(iter(expected))
            said = disagreement(actual, expected[reference], lambda reference=reference: truth()[reference])
            if said is None:
                entrants.append((name, variant))
            else:
                disagreed[f"{name} {variant}"] = said
    medians = take_turns(asked, entrants, plan)
    return {
        "mode": mode,
        "size": asdict(size),
        "name": str(size),
        "ms": nested({entrant: statistics.median(rounds) for entrant, rounds in medians.items()}),
        "rounds": nested(medians),
        "disagreed": disagreed,
    }


def peaks(size: Size, frameworks: dict[str, Framework], threads: int, held_to: str | None = None) -> dict[str, float]:
    """MB that a training step adds at its highest to what its process held: elman and torch, each in a fresh one."""
    chosen = {name: frameworks[name] for name in ("elman", "torch") if name in frameworks}
    with workers(chosen, threads, held_to) as asked:
        return {name: worker.ask("peak", size) for name, worker in asked.items()}


def take_turns(asked: dict[str, Worker], entrants: list[Entrant], plan: Plan) -> dict[Entrant, list[float]]:
    """Each entrant's median milliseconds in each round; a round takes all in turn, so the machine's drift meets all."""
    medians: dict[Entrant, list[float]] = {entrant: [] for entrant in entrants}
    begin = time.perf_counter()
    for n in range(plan.rounds):
        if n >= 3 and time.perf_counter() - begin > plan.enough:
            break
        for name, variant in entrants:
            times = asked[name].ask("turn", variant, plan.seconds)
            medians[name, variant].append(1000 * statistics.median(times))
    return medians


def nested(of_entrants: dict[Entrant, Any]) -> dict[str, dict[str, Any]]:
    """By framework, then by variant."""
    nest: dict[str, dict[str, Any]] = {}
    for (name, variant), value in of_entrants.items():
        nest.setdefault(name, {})[variant] = value
    return nest
