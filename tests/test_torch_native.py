"""torch's own operators (kernels/torch_native.py) beside the definition."""

from dataclasses import replace

import pytest
import torch
from cases import CASES, Case, assert_same
from problems import LAYERS, Given, given, kinds_of
from torch import Tensor, nn
from torch.autograd import forward_ad

from elman.kernels import torch_native
from elman.kernels.cells import CELLS
from elman.kernels.problem import Run
from elman.kernels.reference import loop

SOME = (*CASES[:4], *CASES[10:13])
EVERY = [
    (case, cell, kinds) for case in SOME for cell in LAYERS for kinds in kinds_of(cell, case) if "reset" not in kinds
]
SMALL = Case("two layers both ways: what is carried, up and down and between", 5, 4, 3, 4, L=2, D=2)


@pytest.mark.parametrize(("case", "cell", "kinds"), EVERY, ids=lambda value: getattr(value, "id", value))
def test_numbers_and_gradients_are_the_definitions(case: Case, cell: str, kinds: str) -> None:
    made = given(case, cell, kinds)
    assert torch_native.obstacle(made.problem) is None
    assert_same(made.values(torch_native.forward(made.problem)), made.values(loop.forward(made.problem)))


@pytest.mark.parametrize("cell", ["rnn_tanh", "gru", "lstm"])
@pytest.mark.parametrize("kinds", ["plain", "packed dropout"])
def test_complex_numbers(cell: str, kinds: str) -> None:
    made = given(SMALL, cell, kinds, torch.complex128)
    small = made.problem.with_inputs([(t.detach() / 5).requires_grad_() for t in made.problem.inputs])  # far from poles
    made = replace(made, problem=small)
    assert torch_native.obstacle(small) is None
    assert_same(made.values(torch_native.forward(small)), made.values(loop.forward(small)))


@pytest.mark.parametrize("cell", LAYERS)
def test_it_says_what_it_cannot_run(cell: str) -> None:
    assert "reset" in torch_native.obstacle(given(SMALL, cell, "reset").problem)
    assert "T = 0" in torch_native.obstacle(given(Case("no step", 0, 2, 3, 4), cell).problem)
    assert "complex" in torch_native.obstacle(given(SMALL, cell, "lengths", torch.complex64).problem)
    assert "N = 0" in torch_native.obstacle(given(Case("no sequence", 4, 0, 3, 4), cell, "lengths").problem)
    no_sequence = given(Case("no sequence", 4, 0, 3, 4, L=2, D=2), cell)
    assert torch_native.obstacle(no_sequence.problem) is None
    assert_same(
        no_sequence.values(torch_native.forward(no_sequence.problem)),
        no_sequence.values(loop.forward(no_sequence.problem)),
    )
    found = []
    torch.func.vmap(lambda x: found.append(torch_native.obstacle(no_sequence.problem)) or x)(torch.ones(1))
    assert "vmap" in found[0]


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("kinds", ["plain", "lengths", "packed"])
def test_tangents_are_carried_or_refused(cell: str, kinds: str) -> None:
    """In float32, where torch's LSTM is another operator than in float64."""
    problem = given(SMALL, cell, kinds, torch.float32).problem
    with forward_ad.dual_level():
        inputs = [forward_ad.make_dual(t.detach(), torch.ones_like(t)) for t in problem.inputs]
        dual = problem.with_inputs(inputs)
        if torch_native.obstacle(dual) is None:
            found, expected = (forward_ad.unpack_dual(b.forward(dual).output).tangent for b in (torch_native, loop))
            assert_same({"tangent": found}, {"tangent": expected})
        else:
            assert cell == "lstm" or kinds == "lengths"


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("kinds", ["from zero", "lengths", "packed from zero"])
def test_another_device_gives_shapes(cell: str, kinds: str) -> None:
    problem = given(SMALL, cell, kinds).problem
    moved = problem.with_inputs([t.to("meta") for t in problem.inputs])
    expected, run = loop.forward(problem), torch_native.forward(moved)
    assert run.output.is_meta
    assert run.output.shape == expected.output.shape
    assert [state.shape for state in run.last] == [state.shape for state in expected.last]


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
def test_one_step_is_torchs_cells(cell: str, bias: bool) -> None:
    cls = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}.get(cell, nn.RNNCell)
    arguments = {"nonlinearity": "relu"} if cell == "rnn_relu" else {}
    module = cls(3, 4, bias=bias, **arguments)
    weights = list(module.parameters())
    states = tuple(torch.randn(5, 4) for _ in CELLS[cell].states)
    x = torch.randn(5, 3)
    for some, given_states in ((x, states), (x, ()), (x[0], tuple(s[0] for s in states)), (x[0], ())):
        expected = module(some, (given_states if cell == "lstm" else given_states[0]) if given_states else None)
        found = torch_native.step(CELLS[cell], some, given_states, weights)
        expected = expected if cell == "lstm" else (expected,)
        assert_same(dict(zip("hc", found, strict=False)), dict(zip("hc", expected, strict=False)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("kinds", ["plain", "from zero", "lengths from zero", "packed from zero", "packed"])
def test_a_trace_runs_at_other_sizes(cell: str, kinds: str) -> None:
    """Also where every sequence of the example is T long, and where the states are zeros of its size."""
    fixed: list[tuple[Tensor, ...]] = []

    def of(T: int, N: int, full: bool = False) -> tuple[Given, list[Tensor]]:
        made = given(Case("", T, N, 3, 4, L=2, D=2), cell, kinds)
        problem = made.problem
        if full and problem.lengths is not None:
            problem = problem._replace(lengths=torch.full((N,), T))
        problem = problem._replace(x=problem.x.detach().nan_to_num(), states=tuple(s.detach() for s in problem.states))
        fixed.append(tuple(w.detach() for w in problem.weights))
        problem = problem._replace(weights=fixed[0])
        rest = [r for r in (problem.lengths, problem.batch_sizes) if r is not None]
        return problem, [problem.x, *problem.states, *rest]

    first, arguments = of(5, 3, full=True)

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        states, others = rest[: len(first.states)], rest[len(first.states) :]
        names = [name for name in ("lengths", "batch_sizes") if getattr(first, name) is not None]
        output, last, _ = torch_native.forward(
            first._replace(x=x, states=states, **dict(zip(names, others, strict=True)))
        )
        return output, *last

    traced = torch.jit.trace(run, arguments, check_trace=False)
    for T, N in ((5, 3), (9, 7), (2, 1)):
        problem, arguments = of(T, N)
        expected: Run = loop.forward(problem)
        names = ("output", *problem.cell.states)
        assert_same(
            dict(zip(names, traced(*arguments), strict=True)),
            dict(zip(names, (expected.output, *expected.last), strict=True)),
        )
