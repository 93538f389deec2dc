"""How the states of each kind of cell come about: the one description behind the text and the figures.

assets/cells.js says the same to the page. A kind of cell is an entry here and a record there; whoever spells numbers
out knows gates and states by name only.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from elman.explain._language import say
from elman.kernels.cells import FUNCTIONS as OF_LEAKY


class Gate(NamedTuple):
    """A block of H rows of the weights, and the function of its sum W_ih x + b_ih + W_hh h + b_hh."""

    name: str
    function: str
    en: str
    ko: str
    multiplier: str | None = None
    """The gate that multiplies W_hh h + b_hh before it is added."""

    @property
    def title(self) -> str:
        """What it is called."""
        return say(self.en, self.ko)


class Update(NamedTuple):
    """A state as a sum of products.

    A factor is a gate, the leak α, a state, `1 - ` or a function of one, or, with `-` behind its name, the state
    before.
    """

    state: str
    products: tuple[tuple[str, ...], ...]


class Anatomy(NamedTuple):
    """A kind of cell."""

    gates: tuple[Gate, ...]
    updates: tuple[Update, ...] = ()
    """In their order; none: the only gate is the state."""
    keeper: str | None = None
    """The gate that says which share of a state stays to the next step."""
    leaks: bool = False
    """Whether that is said by a leak α, which is no gate: 1 - α stays."""

    @property
    def is_gated(self) -> bool:
        """Whether the state is more than one function of a sum."""
        return bool(self.updates)

    @property
    def kept(self) -> str:
        """The state of which `keeper`, or the leak, keeps a share."""
        return self.updates[0].state if self.updates else "h"

    def gate(self, name: str) -> Gate:
        """The gate of this name."""
        return next(gate for gate in self.gates if gate.name == name)


def _leaky(function: str) -> Anatomy:
    """Form "activation"."""
    new = Gate("n", function, "new activation", "새 활성값")
    return Anatomy((new,), (Update("h", (("1 - α", "h-"), ("α", "n"))),), leaks=True)


def _potential(function: str) -> Anatomy:
    """Form "potential"."""
    updates = Update("v", (("1 - α", "v-"), ("α", "a"))), Update("h", ((f"{function}(v)",),))
    return Anatomy((Gate("a", "identity", "input to the potential", "전위에 들어오는 값"),), updates, leaks=True)


ANATOMY = {
    "rnn_tanh": Anatomy((Gate("h", "tanh", "hidden state", "은닉 상태"),)),
    "rnn_relu": Anatomy((Gate("h", "relu", "hidden state", "은닉 상태"),)),
    "gru": Anatomy(
        (
            Gate("r", "sigmoid", "reset gate", "리셋 게이트"),
            Gate("z", "sigmoid", "update gate", "업데이트 게이트"),
            Gate("n", "tanh", "candidate", "후보 상태", multiplier="r"),
        ),
        (Update("h", (("1 - z", "n"), ("z", "h-"))),),
        keeper="z",
    ),
    "lstm": Anatomy(
        (
            Gate("i", "sigmoid", "input gate", "입력 게이트"),
            Gate("f", "sigmoid", "forget gate", "망각 게이트"),
            Gate("g", "tanh", "candidate", "후보 값"),
            Gate("o", "sigmoid", "output gate", "출력 게이트"),
        ),
        (Update("c", (("f", "c-"), ("i", "g"))), Update("h", (("o", "tanh(c)"),))),
        keeper="f",
    ),
    **{f"leaky_{function}": _leaky(function) for function in OF_LEAKY},
    **{f"potential_{function}": _potential(function) for function in OF_LEAKY},
}


def _sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a)) if a > -700 else 0.0 if a < 0 else math.nan


FUNCTIONS: Mapping[str, Callable[[float], float]] = {
    "tanh": math.tanh,
    "relu": lambda a: max(a, 0.0),
    "sigmoid": _sigmoid,
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "retanh": lambda a: max(math.tanh(a), 0.0),
    "identity": lambda a: a,
}


def factor(name: str, values: Mapping[str, float]) -> float:
    """The value of a factor of an update, from those of gates and states."""
    if name.startswith("1 - "):
        return 1 - values[name.removeprefix("1 - ")]
    if name.endswith(")"):
        function, _, inner = name.removesuffix(")").partition("(")
        return FUNCTIONS[function](values[inner])
    return values[name]


def rows_said(anatomy: Anatomy, hidden_size: int) -> str:
    """Which rows of the stacked weights belong to which gate: `i 0-4 | f 5-9 | g 10-14 | o 15-19`."""
    parts = []
    for k, gate in enumerate(anatomy.gates):
        first, last = k * hidden_size, (k + 1) * hidden_size - 1
        parts.append(f"{gate.name} {first}" + (f"-{last}" if last > first else ""))
    return " | ".join(parts)


def time_constant(share: float) -> float:
    """In how many steps a state fades to 1/e, about, of which this share stays at each: 1/(1 - share)."""
    return math.inf if share >= 1 else 1 / (1 - share)
