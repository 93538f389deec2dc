"""The shapes the layer is tested with, each with its reason, and how two runs are compared.

Sizes are one letter each: T steps, N sequences, I input_size, H hidden_size, L layers, D directions, P proj_size.
"""

from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType

import torch
from torch import Tensor

Values = dict[str, Tensor]
States = Tensor | tuple[Tensor, ...] | None
Home = ModuleType | type[torch.nn.Module]
"""Where a layer's class is looked up by its name, elman or torch.nn; or the class itself."""


@dataclass(frozen=True)
class Case:
    """One layer and the size of its input, and why it is here."""

    why: str
    T: int
    N: int
    I: int
    H: int
    L: int = 1
    D: int = 1
    nonlinearity: str = "tanh"
    bias: bool = True
    batch_first: bool = False
    cell: str = "RNN"
    """The name of the layer's class."""
    P: int = 0
    dropout: float = 0.0

    @property
    def id(self) -> str:
        """A short name for the test's report."""
        flags = "".join(
            [
                f" D{self.D}" if self.D > 1 else "",
                " relu" if self.nonlinearity == "relu" else "",
                "" if self.bias else " no bias",
                " batch first" if self.batch_first else "",
                f" P{self.P}" if self.P else "",
                " dropout" if self.dropout else "",
            ]
        )
        kind = "" if self.cell == "RNN" else f"{self.cell} "
        return f"{kind}T{self.T} N{self.N} I{self.I} H{self.H} L{self.L}{flags}"

    def of(self, cell: str, projected: bool = False) -> "Case":
        """The same sizes for another cell."""
        return replace(self, cell=cell, nonlinearity="tanh", P=(self.H + 1) // 2 if projected else 0)

    @property
    def arguments(self) -> dict[str, object]:
        """The keyword arguments of the layer's class."""
        own = {"RNN": {"nonlinearity": self.nonlinearity}, "LSTM": {"proj_size": self.P}}.get(self.cell, {})
        return {
            "input_size": self.I,
            "hidden_size": self.H,
            "num_layers": self.L,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "dropout": self.dropout,
            "bidirectional": self.D == 2,
            **own,
        }

    def layer(self, home: Home, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
        """The layer, elman's or torch's, with the same random, asymmetric weights for both."""
        torch.manual_seed(1)
        cls = home if isinstance(home, type) else getattr(home, self.cell)
        return cls(**self.arguments, dtype=dtype)

    def input(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """A random input that asks for its gradient."""
        torch.manual_seed(2)
        shape = (self.N, self.T, self.I) if self.batch_first else (self.T, self.N, self.I)
        return torch.randn(shape, dtype=dtype, requires_grad=True)

    def h0(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """A random initial state that asks for its gradient."""
        torch.manual_seed(3)
        return torch.randn(self.L * self.D, self.N, self.P or self.H, dtype=dtype, requires_grad=True)

    def hx(self, dtype: torch.dtype = torch.float32) -> Tensor | tuple[Tensor, Tensor]:
        """The initial states as the layer takes them: h_0, of an LSTM (h_0, c_0)."""
        h0 = self.h0(dtype)
        if self.cell != "LSTM":
            return h0
        return h0, torch.randn(self.L * self.D, self.N, self.H, dtype=dtype, requires_grad=True)


CASES = (
    Case("the example of torch's own documentation and of the seed documents", 5, 3, 10, 20, L=2),
    Case("every size is one: no loop may rely on a second turn", 1, 1, 1, 1),
    Case("one step: nothing is carried but h_0", 1, 7, 4, 6, L=2, D=2),
    Case("one sequence: fewer rows than threads, nothing to split", 13, 1, 5, 7),
    Case("one sequence in both directions", 21, 1, 3, 10, L=2, D=2),
    Case("one hidden unit: W_hh is a scalar", 11, 3, 6, 1),
    Case("one input feature", 9, 4, 1, 5),
    Case("no size is a multiple of a block of 4 or of a vector", 7, 5, 3, 17),
    Case("one column more than four vectors of eight", 9, 6, 4, 33),
    Case("more rows than a block, and a rest of one row for each of two threads", 6, 66, 2, 12),
    Case("three layers in both directions, as in the seed documents", 10, 40, 5, 8, L=3, D=2, batch_first=True),
    Case("relu: the derivative is a step, and states may grow", 12, 4, 3, 9, nonlinearity="relu"),
    Case("relu in both directions without bias", 8, 5, 3, 6, L=2, D=2, nonlinearity="relu", bias=False),
    Case("no bias: two parameters a layer instead of four", 7, 3, 4, 11, L=2, bias=False),
    Case("batch first: the input arrives with its first two axes swapped", 6, 9, 5, 14, L=2, batch_first=True),
    Case("no sequence at all: shapes and zero gradients", 4, 0, 3, 5, L=2, D=2),
    Case("a long sequence: errors of one step must not grow with T", 1000, 2, 3, 12),
    Case("large enough for two threads in every product", 100, 32, 32, 64),
    Case("W_hh fills the second cache, which blocked kernels treat apart", 4, 9, 24, 512),
    Case("the widest layer the design promises", 3, 5, 8, 1024),
)

SMALL = CASES[:1] + CASES[10:13]


def gated(*cases: Case) -> tuple[Case, ...]:
    """The cases for the other cells: GRU, LSTM, and LSTM with its state projected."""
    plain = [case for case in cases if case.nonlinearity == "tanh"]
    return (
        *(case.of("GRU") for case in plain),
        *(case.of("LSTM") for case in plain),
        *(case.of("LSTM", projected=True) for case in plain if case.H > 1),
    )


EVERY_CELL = (CASES[10], *gated(CASES[10]))
"""One case in each cell: three layers in both directions, batch first."""

DTYPES = (torch.float32, torch.float64)
LOSSES = ("output", "h_n", "both")


def states_of(hx: States) -> tuple[Tensor, ...]:
    """The states in a row, none where there are none."""
    return () if hx is None else hx if isinstance(hx, tuple) else (hx,)


def detached(hx: States) -> States:
    """The same states without a graph, as the layer takes them."""
    found = tuple(state.detach() for state in states_of(hx))
    return found if isinstance(hx, tuple) else found[0] if found else None


def named_states(hx: States, suffix: str) -> Values:
    """The states by name: h0 and c0, h_n and c_n."""
    return {f"{name}{suffix}": state for name, state in zip("hc", states_of(hx), strict=False)}


def cotangent(y: Tensor) -> Tensor:
    """A random gradient for every number of a result, so that no two can be mistaken for each other.

    It is divided by the root of the number of rows: weight gradients, sums over all rows, are then of the order of one
    at any T and N. Left undivided, two float32 sums of the same 2,000 terms in different order differ by 2e-5.
    """
    rows = max(y.numel() // y.shape[-1], 1)
    return torch.randn_like(y) / rows**0.5


def weighed(output: Tensor, last: States, wanted: dict[str, Tensor], loss: str = "both") -> Values:
    """output, the last states and the gradient of every wanted tensor, by name, for a loss on one result or on all."""
    torch.manual_seed(4)
    results = {"output": output} | named_states(last, "_n")
    parts = {name: (y * cotangent(y)).sum() for name, y in results.items()}
    total = sum(parts.values()) if loss == "both" else parts[loss]
    gradients = torch.autograd.grad(total, list(wanted.values()), materialize_grads=True)
    return results | {f"d{name}": g for name, g in zip(wanted, gradients, strict=True)}


def run(layer: torch.nn.Module, input: Tensor, hx: States = None, loss: str = "both") -> Values:
    """What a layer computes: output, last states and the gradient of everything that asks for one, by name."""
    tensors = {"x": input} | named_states(hx, "0") | dict(layer.named_parameters())
    wanted = {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}
    return weighed(*layer(input, hx), wanted, loss)


def assert_same(actual: Values, expected: Values) -> None:
    """Each value of one run equals the other's of the same name, within torch.testing's own tolerance for its dtype."""
    assert list(actual) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, equal_nan=True, msg=partial("{}: {}".format, name))
