"""The operators of `torch.ops.elman`: how they are called. What they do is loaded when torch first asks.

`import elman` registers them where torch is imported already, and else the first name of elman's used. So a program
that was exported or compiled finds them before a layer is made, and an import does not wait for what few need.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch._decomp import register_decomposition

from elman.autograd import counted
from elman.kernels.cells import CELLS, Cell

_LIBRARY: Any = torch.library.Library("elman", "FRAGMENT")  # type: ignore[no-untyped-call]
_KINDS = {"x": "Tensor", "weights": "Tensor[]", "nonlinearity": "str", "num_layers": "int", "bidirectional": "bool"}


class Signature:
    """What the two operators of one class of layer take and return.

    Forward takes x, h0 (and c0), the weights, lengths, reset, masks, the nonlinearity where there is a choice,
    num_layers and bidirectional, recurrent_masks, and where the cell takes them leak and drive; it returns output, h_n
    (and c_n), the mark of the backend and what that saved.
    Backward takes the same, then output, saved, the gradients at output and the last states, needs and groups, and
    returns the gradients that are needed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.cells = {cell.nonlinearity: cell for cell in CELLS.values() if cell.layer == name}
        self.cell: Cell = next(iter(self.cells.values()))
        self.terms = () if name == "rnn" else ("leak", "drive") if self.cell.leaks else ("leak",)
        states = [f"{state}0" for state in self.cell.states]
        choice = ["nonlinearity"] if len(self.cells) > 1 else []
        self.names = ["x", *states, "weights", "lengths", "reset", "masks", *choice, "num_layers", "bidirectional"]
        self.later = ["recurrent_masks", *self.terms]

    def schemas(self) -> dict[str, str]:
        """By the names of the two operators."""
        taken = ", ".join(f"{_KINDS.get(name, 'Tensor?')} {name}" for name in self.names)
        by_name = ", ".join(f"Tensor? {name}=None" for name in self.later)
        gives = ["output", *(f"{state}_n" for state in self.cell.states), "mark", *self.cell.saved]
        given = ", ".join(f"Tensor {name}" for name in gives)
        gradients = ", ".join(f"Tensor? d_{name}" for name in gives[: 1 + len(self.cell.states)])
        back = f"Tensor output, Tensor[] saved, {gradients}, bool[] needs, SymInt? groups"
        forward = f"({taken}, {by_name}) -> ({given})"
        return {self.name: forward, f"{self.name}_backward": f"({taken}, {back}, {by_name}) -> Tensor[]"}


SIGNATURES = {name: Signature(name) for name in dict.fromkeys(cell.layer for cell in CELLS.values())}
DRAWN = {
    "normal": "(Tensor keys, SymInt[] size, float factor, ScalarType dtype) -> Tensor",
    "moves": "(Tensor keys, SymInt[] size, float factor, int threshold, ScalarType dtype) -> Tensor",
}


class _Operator:
    """One of the operators. In the module `home`, OPERATORS[name] has the methods that torch asks."""

    def __init__(self, home: str, name: str, schema: str) -> None:
        self._home, self._name = home, name
        _LIBRARY.define(name + schema, tags=torch.Tag.pt2_compliant_tag)
        self.packet = getattr(torch.ops.elman, name)
        _LIBRARY.impl(name, self.later("compute"), "CompositeExplicitAutograd")
        torch.library.register_fake(f"elman::{name}", self.later("fake"), lib=_LIBRARY)
        torch.library.register_vmap(f"elman::{name}", self.later("map"), lib=_LIBRARY)

    def later(self, what: str) -> Callable[..., Any]:
        """The method, whose module is loaded with the first call."""

        @functools.cache
        def method() -> Callable[..., Any]:
            found: Callable[..., Any] = getattr(importlib.import_module(self._home).OPERATORS[self._name], what)
            return found

        return lambda *given, **by_name: method()(*given, **by_name)

    def goes_in_pieces(self) -> None:
        register_decomposition(self.packet.default)(self.later("in_pieces"))

    def is_differentiated(self) -> None:
        _LIBRARY.impl(self._name, self.later("autograd"), "Autograd", with_keyset=True)


_formulas = {}
for _signature in SIGNATURES.values():
    for _name, _schema in _signature.schemas().items():
        _operator = _Operator("elman.autograd.operator", _name, _schema)
        _operator.is_differentiated()
        _formulas[_operator.packet] = _operator.later("flops")
        if _name == _signature.name:
            _operator.goes_in_pieces()
for _name, _schema in DRAWN.items():
    _Operator("elman.autograd.drawing", _name, _schema).goes_in_pieces()
counted.register(_formulas)
