"""The shapes of input, output and the first and last states, with the names of their axes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elman.explain._trace import Trace

Axes = dict[str, int]


@dataclass(frozen=True)
class Ledger:
    """What each axis of these tensors is and how long it is."""

    rows: dict[str, Axes]

    def __getitem__(self, name: str) -> Axes:
        return self.rows[name]

    def __repr__(self) -> str:
        wide = max(map(len, self.rows))
        return "\n".join(f"{name:<{wide}}  ({described(axes)})" for name, axes in self.rows.items())


def described(axes: Axes) -> str:
    """`time 5, batch 3, feature 10`."""
    return ", ".join(f"{axis} {size}" for axis, size in axes.items())


def ledger(trace: "Trace") -> Ledger:
    """The shapes in the layer's own layout: batch_first swaps the first two axes of input and output, not of h."""
    s = trace.sizes
    steps = {"time": s["T"]}
    sequences = {"batch": s["N"]} if trace.batched else {}
    outer = sequences | steps if trace.batch_first else steps | sequences
    state = {"layer·direction": s["L"] * s["D"]} | sequences | {"feature": s["H"]}
    states = list(trace.states)
    return Ledger(
        {
            "input": outer | {"feature": s["I"]},
            **{f"{name}_0": state for name in states},
            "output": outer | {"feature": s["D"] * s["H"]},
            **{f"{name}_n": state for name in states},
        }
    )
