"""Every number of one run, kept as arrays."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from elman.explain._cells import ANATOMY, Anatomy
from elman.kernels.problem import Problem


def _there(states: Mapping[str, Tensor | None]) -> Mapping[str, Tensor]:
    return {name: state for name, state in states.items() if state is not None}


@dataclass(frozen=True, eq=False, repr=False)
class Record:
    """The numbers of a run: the arrays that `Trace`, which explains them, names with their shapes."""

    problem: Problem
    batch_first: bool
    batched: bool
    layer: str
    x: Tensor
    h_0: Tensor
    weights: Mapping[str, Tensor]
    input_term: Tensor
    recurrent_term: Tensor
    b_ih: Tensor
    b_hh: Tensor
    pre_activation: Tensor
    gates: Tensor
    hidden: Tensor
    before: Tensor
    output: Tensor
    h_n: Tensor
    backend: str
    difference: float
    c_0: Tensor | None = None
    c: Tensor | None = None
    c_before: Tensor | None = None
    c_n: Tensor | None = None
    v_0: Tensor | None = None
    v: Tensor | None = None
    v_before: Tensor | None = None
    v_n: Tensor | None = None
    tolerance_ratio: float = math.nan

    @property
    def anatomy(self) -> Anatomy:
        """Which gates the cell has and what they make."""
        return ANATOMY[self.problem.cell.name]

    @property
    def states(self) -> Mapping[str, Tensor]:
        """What is carried from step to step by name, (L, D, T, N, H) each: h, for an LSTM c, for a potential v."""
        return _there({"h": self.hidden, "c": self.c, "v": self.v})

    @property
    def states_before(self) -> Mapping[str, Tensor]:
        """The same as it entered each step."""
        return _there({"h": self.before, "c": self.c_before, "v": self.v_before})

    @property
    def starts(self) -> Mapping[str, Tensor]:
        """The first states, (L * D, N, H) each."""
        return _there({"h": self.h_0, "c": self.c_0, "v": self.v_0})

    @property
    def leak(self) -> Tensor | None:
        """α of a LeakyRNN, (L, D, T, N, H); None for the others."""
        return self._at_every_step(self.problem.leak)

    @property
    def drive(self) -> Tensor | None:
        """What was added to its pre-activation, (L, D, T, N, H): the drive given, and the noise as it was drawn, in
        form "potential" sqrt(2 / α) σ ξ, which α multiplies; None where there is neither."""
        return self._at_every_step(self.problem.drive)

    def _at_every_step(self, term: Tensor | None) -> Tensor | None:
        L, D, T, N, H = self.hidden.shape
        return None if term is None else term.expand(L * D, T, N, H).view(L, D, T, N, H)

    def gate(self, name: str) -> Tensor:
        """The value of a gate, (L, D, T, N, H): of an LSTM "i", "f", "g" or "o", of a GRU "r", "z" or "n".

        A LeakyRNN has one, "n", what the state leaks to, and with form "potential" "a".

        Raises:
            ValueError: the layer has no such gate.

        Example:
            >>> import elman, torch
            >>> trace = elman.trace(elman.LSTM(3, 2), torch.eye(3))
            >>> torch.equal(trace.c, trace.gate("f") * trace.c_before + trace.gate("i") * trace.gate("g"))
            True
        """
        names = [gate.name for gate in self.anatomy.gates] if self.anatomy.is_gated else []
        if name not in names:
            there = f"its gates are {', '.join(names)}" if names else "an RNN has no gates"
            raise ValueError(f"there is no gate {name!r}: {there}.")
        return self.gates.chunk(len(names), -1)[names.index(name)]

    @property
    def sizes(self) -> dict[str, int]:
        """T, N, I, H, L and D."""
        L, D, T, N, H = self.hidden.shape
        return {"T": T, "N": N, "I": self.x.shape[2], "H": H, "L": L, "D": D}

    @property
    def there(self) -> Tensor:
        """(T, N) bool: whether a step lies inside its sequence."""
        T, N = self.x.shape[:2]
        lengths = self.problem.lengths
        return torch.ones(T, N, dtype=torch.bool) if lengths is None else torch.arange(T)[:, None] < lengths
