"""Problems as every backend takes them, for each cell, with the gradients that come from above."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from cases import Case, Values
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from elman.kernels.cells import CELLS
from elman.kernels.problem import Problem, Run

LAYERS = {"rnn_tanh": nn.RNN, "rnn_relu": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}

KINDS = (
    "plain",
    "from zero",
    "on output only",
    "on last only",
    "on h only",
    "on c only",
    "lengths",
    "reset",
    "packed",
    "packed from zero dropout",
    "lengths reset dropout",
    "projected",
    "projected lengths reset dropout",
)
"""What a problem has, in words that `given` looks for."""


def kinds_of(cell: str, case: Case) -> list[str]:
    """Those that a cell has at a case's sizes."""
    has = {"projected": cell == "lstm" and case.H > 1, "c": cell == "lstm", "dropout": case.L > 1}
    return [kinds for kinds in KINDS if all(has.get(word, True) for word in kinds.split())]


@dataclass(frozen=True)
class Given:
    """A problem, whose inputs ask for gradients, and the gradients at what it gives."""

    problem: Problem
    d_output: Tensor | None
    d_last: tuple[Tensor | None, ...]
    names: tuple[str, ...]
    """Of problem.inputs; the weights' are torch's."""

    def layer(self, num_layers: int | None = None, input_size: int | None = None) -> nn.RNNBase:
        """torch's layer of these sizes; its own weights mean nothing."""
        problem = self.problem
        arguments = {"nonlinearity": "relu"} if problem.cell.name == "rnn_relu" else {}
        if problem.projected:
            arguments = {"proj_size": problem.output_size}
        return LAYERS[problem.cell.name](
            problem.x.shape[-1] if input_size is None else input_size,
            problem.hidden_size,
            problem.num_layers if num_layers is None else num_layers,
            bias=problem.bias,
            bidirectional=problem.num_directions == 2,
            device="meta",
            dtype=problem.x.dtype,
            **arguments,
        )

    def values(self, run: Run) -> Values:
        """What a run gives and, by autograd, the gradient of every input, by name."""
        results = {"output": run.output} | {
            f"{s}_n": a for s, a in zip(self.problem.cell.states, run.last, strict=True)
        }
        pairs = [(r, d) for r, d in zip(results.values(), (self.d_output, *self.d_last), strict=True) if d is not None]
        found = torch.autograd.grad(
            [r for r, _ in pairs], self.problem.inputs, [d for _, d in pairs], materialize_grads=True
        )
        return results | self.named(found)

    def named(self, gradients: Sequence[Tensor | None]) -> Values:
        """The gradients of the inputs by name, those that are there."""
        return {f"d{n}": g for n, g in zip(self.names, gradients, strict=True) if g is not None}


def given(case: Case, cell: str, kinds: str = "plain", dtype: torch.dtype = torch.float64) -> Given:
    """A problem of a case's sizes with what `kinds` names. What stands in the padding is NaN."""
    torch.manual_seed(5)
    words = set(kinds.split())
    T, N, H, L, D = case.T, case.N, case.H, case.L, case.D
    P = max(H // 2, 1) if "projected" in words else H
    table = CELLS[cell]
    batch_sizes = lengths = None
    x = torch.randn(T, N, case.I, dtype=dtype)
    if "packed" in words:
        ends = torch.cat([torch.tensor([T]), torch.randint(1, T + 1, (N - 1,)).sort(descending=True).values])
        x, batch_sizes, _, _ = pack_padded_sequence(x, ends)
    elif "lengths" in words:
        lengths = torch.randint(0, T + 1, (N,))
        x[torch.arange(T).unsqueeze(1) >= lengths] = torch.nan
    rows = x.shape[:-1]
    problem = Problem(
        table,
        L,
        D,
        case.bias,
        projected="projected" in words,
        x=x.requires_grad_(),
        states=(),
        weights=tuple(weights(case, len(table.gates), P, "projected" in words, dtype)),
        lengths=lengths,
        reset=torch.rand(T, N) < 0.3 if "reset" in words else None,
        masks=2.0 * (torch.rand(L - 1, *rows, D * P) < 0.5).to(dtype) if "dropout" in words else None,
        batch_sizes=batch_sizes,
    )
    shapes = [(L * D, N, width) for width in problem.state_widths()]
    if "zero" not in words:
        problem = problem._replace(states=tuple(torch.randn(s, dtype=dtype, requires_grad=True) for s in shapes))
    d_last = [torch.randn(s, dtype=dtype) for s in shapes]
    asked = [state in words or not {"on"} & words or "last" in words for state in table.states]
    made = Given(
        problem,
        None if "on" in words and "output" not in words else torch.randn(*rows, D * P, dtype=dtype),
        tuple(d if a else None for d, a in zip(d_last, asked, strict=True)),
        (),
    )
    states = [f"{state}_0" for state, _ in zip(table.states, problem.states, strict=False)]
    return Given(made.problem, made.d_output, made.d_last, ("x", *states, *dict(made.layer().named_parameters())))


def weights(case: Case, gates: int, P: int, projected: bool, dtype: torch.dtype) -> list[Tensor]:
    """Random ones, no two alike, in torch's order."""
    shapes: list[tuple[int, ...]] = []
    rows = gates * case.H
    for place in range(case.L * case.D):
        shapes += [(rows, case.I if place < case.D else case.D * P), (rows, P)]
        shapes += [(rows,), (rows,)] if case.bias else []
        shapes += [(P, case.H)] if projected else []
    return [(torch.randn(shape, dtype=dtype) / case.H**0.5).requires_grad_() for shape in shapes]
