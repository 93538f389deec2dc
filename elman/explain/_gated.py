"""One unit of a cell with gates or a leak, spelled out: each gate's sum, and the states that the gates make."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from elman.explain._arithmetic import Arithmetic, Place, arithmetic, joined, notes
from elman.explain._cells import Update, factor, rows_said, time_constant
from elman.explain._language import say
from elman.explain._numbers import rounded, short


class Made(NamedTuple):
    """A state of the unit, from its gates."""

    state: str
    formula: str
    """`c = f·c[1] + i·g = 0.9·0.5 + 0.2·(-0.3) = 0.39`"""
    value: float


@dataclass(frozen=True, repr=False)
class GatedArithmetic:
    """How one hidden state of a GRU, an LSTM or a LeakyRNN comes about.

    Attributes:
        where: "layer 0, step 1 (am), unit 0", in words.
        gates: by name, in the order of the weights' rows (GRU: r, z, n; LSTM: i, f, g, o), the `Arithmetic` of each;
            of a LeakyRNN n, what the state leaks to, and of its form "potential" a.
        updates: what they make, in this order: for an LSTM c and h, for a GRU h, for a LeakyRNN h or v and h; each with
            state, formula and value.
        value: the hidden state, as the layer computed it.
        notes: what the names stand for, and what is left out of the lines.
    """

    where: str
    gates: Mapping[str, Arithmetic]
    updates: tuple[Made, ...]
    titles: Mapping[str, str]
    value: float
    notes: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        """`h = (1 - z)·n + z·h[1] = …` in one line; for an LSTM that of c before it."""
        return "; ".join(update.formula for update in self.updates)

    def __repr__(self) -> str:
        said = [self.where]
        for name, gate in self.gates.items():
            said += [f"  {name}, {self.titles[name]}", *(f"  {line}" for line in gate.lines)]
        return "\n".join([*said, *(f"  {update.formula}" for update in self.updates), *(f"  {n}" for n in self.notes)])


def gated_arithmetic(place: Place) -> GatedArithmetic:
    """The arithmetic of one unit of a trace of a layer with gates."""
    trace = place.trace
    anatomy, H = trace.anatomy, trace.sizes["H"]
    at = place.layer, place.direction, place.t, place.batch, place.unit
    gates: dict[str, Arithmetic] = {}
    for number, gate in enumerate(anatomy.gates):
        multiplier = None if gate.multiplier is None else (gate.multiplier, gates[gate.multiplier].value)
        gates[gate.name] = arithmetic(place, number, multiplier)
    values = {name: gate.value for name, gate in gates.items()}
    values |= {state: float(kept[at]) for state, kept in trace.states.items()}
    values |= {f"{state}-": float(kept[at]) for state, kept in trace.states_before.items()}
    any_gate = next(iter(gates.values()))
    keeper = anatomy.keeper
    kept = [] if keeper is None else [_kept(anatomy.kept, keeper, values[keeper])]
    if trace.leak is not None:
        values["α"] = float(trace.leak[at])
        kept = [_leaked(anatomy.kept, values["α"])]
    return GatedArithmetic(
        where=place.words,
        gates=gates,
        updates=tuple(_made(update, values, place) for update in anatomy.updates),
        titles={gate.name: gate.title for gate in anatomy.gates},
        value=values["h"],
        notes=(
            *kept,
            say("rows of weight_ih, weight_hh and the biases", "weight_ih, weight_hh, 편향의 행")
            + f": {rows_said(anatomy, H)}",
            *notes(place.layer, place.t, trace.sizes["D"], len(any_gate.from_input), len(any_gate.from_state)),
        ),
    )


def _kept(state: str, gate: str, share: float) -> str:
    steps = short(time_constant(share))
    return say(
        f"{gate} = {rounded(share)} keeps this share of {state}: a time constant of 1/(1 - {gate}) = {steps} steps",
        f"{gate} = {rounded(share)}: {state}에서 이만큼이 남습니다. 시간 상수는 1/(1 - {gate}) = {steps}시점입니다",
    )


def _leaked(state: str, leak: float) -> str:
    steps = short(time_constant(1 - leak))
    return say(
        f"α = {rounded(leak)} is the leak: 1 - α of {state} stays, a time constant of 1/α = {steps} steps",
        f"α = {rounded(leak)}: 누출률입니다. {state}에서 1 - α만큼이 남습니다. 시간 상수는 1/α = {steps}시점입니다",
    )


def _made(update: Update, values: Mapping[str, float], place: Place) -> Made:
    """A state, its update in letters and in numbers."""

    def letters(name: str) -> str:
        if name.endswith("-"):
            return f"{place.before(name[:-1])}]"
        return f"({name})" if name.startswith("1 - ") else name

    def numbers(name: str, first: bool) -> str:
        if name.startswith("1 - "):
            return f"(1 - {rounded(values[name.removeprefix('1 - ')])})"
        if name.endswith(")"):
            function, _, inner = name.removesuffix(")").partition("(")
            return f"{function}({rounded(values[inner])})"
        text = rounded(factor(name, values))
        return text if first or not text.startswith("-") else f"({text})"

    in_letters = " + ".join("·".join(map(letters, product)) for product in update.products)
    in_numbers = joined(["·".join(numbers(name, k == 0) for k, name in enumerate(p)) for p in update.products])
    value = values[update.state]
    return Made(update.state, f"{update.state} = {in_letters} = {in_numbers} = {rounded(value)}", value)
