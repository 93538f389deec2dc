"""A weighted sum spelled out: which weight times which number, what they sum to, and the function of it."""

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from elman.explain._cells import FUNCTIONS
from elman.explain._language import say
from elman.explain._numbers import rounded

if TYPE_CHECKING:
    from elman.explain._trace import Trace

SPELT = 8  # products of one matrix are spelled out; of more, the largest
LARGEST = 4
SUFFIXES = ("", "_reverse")
DIRECTIONS = ("forward", "reverse")
KOREAN_DIRECTIONS = ("정방향", "역방향")


class Product(NamedTuple):
    """A weight times what it is multiplied with."""

    weight: str
    """`weight_ih_l0[1, 2]`."""
    source: str
    """`x[3, 2]`, a number of the input; `h[2, 0]`, one of a state, by step and place."""
    factors: tuple[float, float]

    @property
    def value(self) -> float:
        return self.factors[0] * self.factors[1]


@dataclass(frozen=True, repr=False)
class Arithmetic:
    """A weighted sum and the function of it: one hidden state of an RNN, or one gate of a unit.

    All sums are taken in double precision, from the numbers that the layer has.

    Attributes:
        where: "layer 0, step 1 (am), unit 0", in words.
        nonlinearity: "tanh", "relu" or "sigmoid", of a LeakyRNN also "softplus", "retanh" or, of the potential,
            "identity".
        from_input, from_state: the products of W_ih and of W_hh.
        b_ih, b_hh: the biases; 0 where the layer has none.
        names: of the row of W_ih, the input, the row of W_hh, the state before, b_ih and b_hh.
        value: the hidden state, as the layer computed it; of a gate the function of the sum.
        notes: what the names stand for, and what is left out of the lines.
        gate: which gate it is; "" where the layer has none.
        multiplier: name and value of the gate that multiplies W_hh h + b_hh, as a GRU's r does in n; None for none.
        drive: what a LeakyRNN was given or drew beside the input, by step and unit, and its value; None for none.
    """

    where: str
    nonlinearity: str
    from_input: tuple[Product, ...]
    from_state: tuple[Product, ...]
    b_ih: float
    b_hh: float
    names: tuple[str, str, str, str, str, str]
    value: float
    notes: tuple[str, ...] = ()
    gate: str = ""
    multiplier: tuple[str, float] | None = None
    drive: tuple[str, float] | None = None

    @property
    def input_term(self) -> float:
        """W_ih's row times the input."""
        return _sum(self.from_input)

    @property
    def recurrent_term(self) -> float:
        """W_hh's row times the state before."""
        return _sum(self.from_state)

    @property
    def pre_activation(self) -> float:
        """The sum of both terms, both biases and the drive."""
        if self.multiplier is None:
            driven = 0.0 if self.drive is None else self.drive[1]
            return self.input_term + self.b_ih + self.b_hh + self.recurrent_term + driven
        return self.input_term + self.b_ih + self.multiplier[1] * (self.recurrent_term + self.b_hh)

    @property
    def formula(self) -> str:
        """`tanh(0.12·1 + … + b_ih + b_hh) = …` in one line."""
        return self._line(_written(self.from_input), _written(self.from_state))

    @property
    def lines(self) -> list[str]:
        """The terms, one a line, and what they give."""
        w_ih, x, w_hh, h, b_ih, b_hh = self.names
        terms = [
            (f"{w_ih} · {x}", joined(_written(self.from_input)), self.input_term),
            (f"{w_hh} · {h}", joined(_written(self.from_state)), self.recurrent_term),
            (b_ih, "", self.b_ih),
            (b_hh, "", self.b_hh),
            *([] if self.drive is None else [(self.drive[0], "", self.drive[1])]),
        ]
        wide, wider = max(len(line[0]) for line in terms), max(len(line[1]) for line in terms)
        said = [f"  {name:<{wide}}  {products:<{wider}}  = {rounded(value)}" for name, products, value in terms]
        last = self._line([rounded(self.input_term)], [rounded(self.recurrent_term)])
        return [*said, *(f"  {note}" for note in self.notes), f"  {last}"]

    def _line(self, from_input: list[str], from_state: list[str]) -> str:
        """The sum of these terms and the biases, and the function of it."""
        b_ih, b_hh = rounded(self.b_ih), rounded(self.b_hh)
        if self.multiplier is None:
            driven = [] if self.drive is None else [rounded(self.drive[1])]
            total = joined([*from_input, *from_state, b_ih, b_hh, *driven])
        else:
            total = joined([*from_input, b_ih, f"{rounded(self.multiplier[1])}·({joined([*from_state, b_hh])})"])
        begin = f"{self.gate} = " if self.gate else ""
        if self.nonlinearity == "identity":
            return f"{begin}{total} = {rounded(self.value)}"
        result = f"{self.nonlinearity}({rounded(self.pre_activation)}) = {rounded(self.value)}"
        return f"{begin}{self.nonlinearity}({total}) = {result}"

    def __repr__(self) -> str:
        return "\n".join([self.where, *self.lines])


@dataclass(frozen=True)
class Place:
    """Which state of a trace: checked indices."""

    trace: "Trace"
    t: int
    layer: int
    direction: int
    unit: int
    batch: int

    @property
    def suffix(self) -> str:
        """`_l0_reverse`, as torch names the weights."""
        return f"_l{self.layer}{SUFFIXES[self.direction]}"

    @property
    def words(self) -> str:
        """ "layer 0, step 1 (am), unit 0"."""
        token = self.trace.labels.token(self.t, self.batch)
        parts = [
            layer_name(self.layer, self.direction, self.trace.sizes["D"]),
            say("step", "시점") + f" {self.t}" + (f" ({token})" if token is not None else ""),
            say("unit", "유닛") + f" {self.unit}",
        ]
        return ", ".join([*parts, *([say("sequence", "시퀀스") + f" {self.batch}"] if self.trace.batched else [])])

    def before(self, state: str) -> str:
        """`h[2`, the state that entered the step, by its own step, or `h_0[1`, by its row."""
        earlier = self.t + 1 if self.direction else self.t - 1
        length = int(self.trace.there[:, self.batch].sum())
        if 0 <= earlier < length:
            return f"{state}[{earlier}"
        return f"{state}_0[{self.layer * self.trace.problem.num_directions + self.direction}"


def place(trace: "Trace", t: int, layer: int, direction: int, unit: int, batch: int) -> Place:
    """A state of a trace, named as `Trace.at` says."""
    L, D, T, N, H = trace.hidden.shape
    t = index("t", t, T, "steps")
    layer = index("layer", layer, L, "layers")
    direction = index("direction", direction, D, "directions")
    unit = index("unit", unit, H, "units")
    batch = index("batch", batch, N, "sequences")
    if not trace.there[t, batch]:
        length = int(trace.there[:, batch].sum())
        raise IndexError(
            f"step {t} is past the end of sequence {batch}, whose length is {length}: nothing is computed."
        )
    return Place(trace, t, layer, direction, unit, batch)


def arithmetic(place: Place, number: int = 0, multiplier: tuple[str, float] | None = None) -> Arithmetic:
    """The sum of one gate, by its number, of the unit at a place; an RNN's only one is its hidden state."""
    trace, t, layer, direction, batch = place.trace, place.t, place.layer, place.direction, place.batch
    _, D, _, _, H = trace.hidden.shape
    gated, gate = trace.anatomy.is_gated, trace.anatomy.gates[number]
    suffix, row = place.suffix, number * H + place.unit
    w_ih, w_hh = trace.weights[f"weight_ih{suffix}"][row], trace.weights[f"weight_hh{suffix}"][row]
    if layer == 0:
        x, source = trace.x[t, batch], f"x[{t}"
    else:
        x, source = trace.hidden[layer - 1, :, t, batch].flatten(), f"y{layer - 1}[{t}"
    h, earlier = trace.before[layer, direction, t, batch], place.before("h")

    def products(weights: str, of_row: "list[float]", source: str, numbers: "list[float]") -> tuple[Product, ...]:
        return tuple(
            Product(f"{weights}[{row}, {k}]", f"{source}, {k}]", (w, v))
            for k, (w, v) in enumerate(zip(of_row, numbers, strict=True))
        )

    made = Arithmetic(
        where=place.words,
        nonlinearity=gate.function,
        from_input=products(f"weight_ih{suffix}", w_ih.tolist(), source, x.tolist()),
        from_state=products(f"weight_hh{suffix}", w_hh.tolist(), earlier, h.tolist()),
        b_ih=float(trace.b_ih[layer, direction, row]),
        b_hh=float(trace.b_hh[layer, direction, row]),
        names=(
            f"weight_ih{suffix}[{row}]",
            f"{source}]",
            f"weight_hh{suffix}[{row}]",
            f"{earlier}]",
            f"bias_ih{suffix}[{row}]",
            f"bias_hh{suffix}[{row}]",
        ),
        value=float(trace.hidden[layer, direction, t, batch, place.unit]),
        notes=() if gated else tuple(notes(layer, t, D, len(x), H)),
        gate=gate.name if gated else "",
        multiplier=multiplier,
        drive=None
        if trace.drive is None
        else (f"drive[{t}, {place.unit}]", float(trace.drive[layer, direction, t, batch, place.unit])),
    )
    return replace(made, value=FUNCTIONS[gate.function](made.pre_activation)) if gated else made


def notes(layer: int, t: int, directions: int, inputs: int, units: int) -> Iterator[str]:
    """What a name stands for that the layer's parameters do not explain, and which products are left out."""
    if layer:
        both = say(", forward and then reverse", "를 정방향, 역방향 순서로 이은 것") if directions == 2 else ""
        yield say(
            f"y{layer - 1}[{t}]: what layer {layer - 1} gives to layer {layer}, its hidden state{both}",
            f"y{layer - 1}[{t}]: 층 {layer - 1}이 층 {layer}에 넘겨주는 값, 곧 은닉 상태{both}",
        )
    for many, en, ko in ((inputs, "input", "입력과의"), (units, "state", "상태와의")):
        if many > SPELT:
            yield say(
                f"…: the largest {LARGEST} of {many} products with the {en} are shown",
                f"…: {ko} 곱 {many}개 가운데 가장 큰 {LARGEST}개만 보입니다",
            )


def layer_name(layer: int, direction: int, directions: int) -> str:
    """`layer 0`, and with two directions `layer 0 reverse`."""
    way = say(DIRECTIONS[direction], KOREAN_DIRECTIONS[direction])
    return say("layer", "층") + f" {layer}" + (f" {way}" if directions == 2 else "")


def index(name: str, value: int, size: int, things: str) -> int:
    """A place on an axis, counted from its end where negative."""
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} should be a whole number, got {value!r}.") from None
    if not -size <= value < size:
        raise IndexError(f"{name} = {value}: the trace has {size} {things}" + (f", 0 to {size - 1}." if size else "."))
    return value + size if value < 0 else value


def _sum(products: tuple[Product, ...]) -> float:
    """In the order of the axis, one after another, as the page does."""
    total = 0.0
    for product in products:
        total += product.value
    return total


def _written(products: tuple[Product, ...]) -> list[str]:
    """Each product as `0.3·(-0.5)`; of many the largest only, in the order of the axis, and then …."""
    order = sorted(range(len(products)), key=lambda k: (-abs(products[k].value), k))
    shown = sorted(order if len(products) <= SPELT else order[:LARGEST])
    said = []
    for k in shown:
        weight, factor = map(rounded, products[k].factors)
        said.append(f"{weight}·{f'({factor})' if factor.startswith('-') else factor}")
    return said if len(shown) == len(products) else [*said, "…"]


def joined(terms: list[str]) -> str:
    """`0.1·1 - 0.3·2 + …`."""
    first, *rest = terms
    return first + "".join(f" - {term[1:]}" if term.startswith("-") else f" + {term}" for term in rest)
