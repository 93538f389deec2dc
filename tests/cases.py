"""The shapes the layer is tested with, each with its reason, and how two runs are compared.

Sizes are one letter each: T steps, N sequences, I input_size, H hidden_size, L layers, D directions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

Values = dict[str, Tensor]


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

    @property
    def id(self) -> str:
        """A short name for the test's report."""
        flags = "".join(
            [
                f" D{self.D}" if self.D > 1 else "",
                " relu" if self.nonlinearity == "relu" else "",
                "" if self.bias else " no bias",
                " batch first" if self.batch_first else "",
            ]
        )
        return f"T{self.T} N{self.N} I{self.I} H{self.H} L{self.L}{flags}"

    def layer(self, cls: Callable[..., torch.nn.Module], dtype: torch.dtype = torch.float32) -> torch.nn.Module:
        """The layer of a class, with the same random, asymmetric weights for every class."""
        torch.manual_seed(1)
        return cls(
            self.I,
            self.H,
            self.L,
            nonlinearity=self.nonlinearity,
            bias=self.bias,
            batch_first=self.batch_first,
            bidirectional=self.D == 2,
            dtype=dtype,
        )

    def input(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """A random input that asks for its gradient."""
        torch.manual_seed(2)
        shape = (self.N, self.T, self.I) if self.batch_first else (self.T, self.N, self.I)
        return torch.randn(shape, dtype=dtype, requires_grad=True)

    def h0(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """A random initial state that asks for its gradient."""
        torch.manual_seed(3)
        return torch.randn(self.L * self.D, self.N, self.H, dtype=dtype, requires_grad=True)


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

DTYPES = (torch.float32, torch.float64)
LOSSES = ("output", "h_n", "both")


def cotangent(y: Tensor) -> Tensor:
    """A random gradient for every number of a result, so that no two can be mistaken for each other.

    It is divided by the root of the number of rows: weight gradients, sums over all rows, are then of the order of one
    at any T and N. Left undivided, two float32 sums of the same 2,000 terms in different order differ by 2e-5.
    """
    rows = max(y.numel() // y.shape[-1], 1)
    return torch.randn_like(y) / rows**0.5


def weighed(output: Tensor, h_n: Tensor, wanted: dict[str, Tensor], loss: str = "both") -> Values:
    """output, h_n and the gradient of every wanted tensor, by name, for a loss on either result or on both."""
    torch.manual_seed(4)
    parts = {"output": (output * cotangent(output)).sum(), "h_n": (h_n * cotangent(h_n)).sum()}
    total = parts["output"] + parts["h_n"] if loss == "both" else parts[loss]
    gradients = torch.autograd.grad(total, list(wanted.values()))
    return {"output": output, "h_n": h_n} | {f"d{name}": g for name, g in zip(wanted, gradients, strict=True)}


def run(layer: torch.nn.Module, input: Tensor, h0: Tensor | None = None, loss: str = "both") -> Values:
    """What a layer computes: output, h_n and the gradient of everything that asks for one, by name."""
    tensors = {"x": input, "h0": h0} | dict(layer.named_parameters())
    wanted = {name: tensor for name, tensor in tensors.items() if tensor is not None and tensor.requires_grad}
    return weighed(*layer(input, h0), wanted, loss)


def assert_same(actual: Values, expected: Values) -> None:
    """Each value of one run equals the other's of the same name, within torch.testing's own tolerance for its dtype."""
    assert list(actual) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, equal_nan=True, msg=partial("{}: {}".format, name))
