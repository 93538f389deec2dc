"""The kernels (kernels/numba_cpu) beside the definition: every cell in every form, however a run is cut into pieces."""

import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from cases import CASES, Case, Values, assert_same
from guarded import guarded
from plans import forget_plans
from problems import LAYERS, Given, given, kinds_of
from torch import Tensor

import elman
from elman.kernels.numba_cpu import api
from elman.kernels.numba_cpu.cells.table import KINDS
from elman.kernels.numba_cpu.memory import rows_as_they_lie
from elman.kernels.numba_cpu.plan import prepared
from elman.kernels.numba_cpu.plan import split as rules
from elman.kernels.numba_cpu.plan.record import FIELDS
from elman.kernels.numba_cpu.threads import team
from elman.kernels.problem import Problem, Run
from elman.kernels.reference import loop

CELLS = list(LAYERS)
SIZES = (
    *CASES[:4],
    CASES[7],
    Case("two layers both ways: what is carried, up and down and between", 6, 5, 3, 4, L=2, D=2),
    Case("three layers both ways without bias", 5, 4, 5, 6, L=3, D=2, bias=False),
    Case("panels of units, which begin anew in a share of them", 7, 2, 3, 75),
)
EVERY = [(case, cell, kinds) for case in SIZES for cell in CELLS for kinds in kinds_of(cell, case)]
every = pytest.mark.parametrize(
    ("case", "cell", "kinds"), EVERY, ids=[f"{cell}, {kinds}, {case.id}" for case, cell, kinds in EVERY]
)


@pytest.fixture
def eager_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads even for work as small as the tests'."""
    monkeypatch.setattr(team, "_TEAM_WORK", 0)
    monkeypatch.setattr(team, "_TEAM_STEP", 0)
    forget_plans()
    yield
    forget_plans()


def own(made: Given, needs: tuple[bool, ...] | None = None) -> tuple[Run, Values]:
    """What the kernels give, and the gradients by name: of all inputs, or of those needed."""
    problem = made.problem.with_inputs([t.detach() for t in made.problem.inputs])
    run = api.forward(problem, True)
    needs = needs or (True,) * len(problem.inputs)
    found = api.backward(problem, run.output, run.saved, made.d_output, made.d_last, needs)
    states = {f"{s}_n": a for s, a in zip(problem.cell.states, run.last, strict=True)}
    return run, {"output": run.output, **states, **made.named(found)}


@pytest.mark.covering(3)
@every
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_kernels_are_the_definition(
    case: Case, cell: str, kinds: str, threads: int, eager_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(threads)
    monkeypatch.setattr(rules, "_PIECE_ROWS", 0 if threads == 2 else 64)
    made = given(case, cell, kinds)
    expected = made.values(loop.forward(made.problem))
    run, found = own(made)
    assert_same(found, expected)
    inferred = api.forward(made.problem.with_inputs([t.detach() for t in made.problem.inputs]), False)
    torch.testing.assert_close(inferred[:2], run[:2], rtol=0, atol=0, equal_nan=True)


LIES: dict[str, Callable[[Tensor], Tensor]] = {
    "one number": lambda d: guarded(d.flatten()[:1]).view(()).expand_as(d),
    "the same at every step": lambda d: guarded(d[:1]).expand_as(d),
    "the same in every sequence": lambda d: guarded(d[..., :1, :]).expand_as(d),
    "turned": lambda d: guarded(d.transpose(0, -2)).transpose(0, -2),
    "columns of wider rows": lambda d: guarded(torch.cat([d.sin(), d], -1))[..., d.shape[-1] :],
    "columns before others": lambda d: guarded(torch.cat([d, d.sin()], -1), "start")[..., : d.shape[-1]],
    "every other step of a longer one": lambda d: guarded(torch.stack([d.sin(), d], 1).flatten(0, 1))[1::2],
    "one column": lambda d: guarded(d[..., :1]).expand_as(d),
}
"""Gradients at the output with the shape of another, whose numbers lie apart."""


@pytest.mark.covering
@every
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("split", ["alone", "sequences", "units"])
def test_a_gradient_at_the_output_is_read_as_it_lies(
    case: Case, cell: str, kinds: str, lie: str, split: str, eager_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1 if split == "alone" else 2)
    monkeypatch.setattr(prepared, "shares_of_units", lambda *_: 2 if split == "units" else 0)
    made = given(case, cell, kinds)
    if made.d_output is None or made.d_output.numel() == 0:
        return
    d = LIES[lie](made.d_output)
    _, found = own(replace(made, d_output=d))
    _, expected = own(replace(made, d_output=d.clone(memory_format=torch.contiguous_format)))
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name
    read = rows_as_they_lie(d).read
    assert lie == "one column" or read.data_ptr() == d.data_ptr() or read.numel() == d.shape[-1], "it was copied"


@pytest.mark.parametrize("width", [3, 5000])
def test_of_one_number_a_row_is_read_whatever_its_width(width: int) -> None:
    d = torch.randn(()).expand(4, 3, width)
    row, steps, of = rows_as_they_lie(d)
    assert torch.equal(row, d[0, 0])
    assert torch.equal(of(torch.tensor(2.0).expand(4, 3, width)), torch.full((width,), 2.0))
    assert steps == (0, 0)


def test_of_an_axis_of_one_any_stride_is_meant() -> None:
    """torch has strides there that no address has room for."""
    d = torch.randn(5, 4).as_strided((5, 1, 4), (4, 2**61, 1))
    assert rows_as_they_lie(d).steps == (4 * d.itemsize, 0)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("case", [CASES[0], CASES[16], CASES[17]], ids=lambda case: case.why)
@pytest.mark.parametrize("cell", CELLS)
def test_float32_is_as_near_as_torch(case: Case, cell: str) -> None:
    for kinds in kinds_of(cell, case):
        if kinds in ("plain", "projected"):
            made = given(case, cell, kinds, torch.float32)
            made = Given(made.problem, made.d_output / case.T**0.5, made.d_last, made.names)
            layer = made.layer()
            names = [name for name, _ in layer.named_parameters()]
            weights = dict(zip(names, made.problem.weights, strict=True))
            states = made.problem.states if cell == "lstm" else made.problem.states[0]
            output, last = torch.func.functional_call(layer, weights, (made.problem.x, states))
            expected = made.values(Run(output, last if cell == "lstm" else (last,)))
            assert_same(own(made)[1], expected)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kinds", ["plain", "lengths reset dropout", "packed", "from zero"])
def test_any_gradients_may_be_asked_for(cell: str, kinds: str) -> None:
    case = SIZES[5]
    made = given(case, cell, kinds)
    count, states = len(made.problem.inputs), len(made.problem.states)
    everything = own(made)[1]
    for bits in range(2 ** (2 + states)):
        x, weights, *rest = (bool(bits >> k & 1) for k in range(2 + states))
        needs = (x, *rest, *[weights] * (count - 1 - states))
        found = own(made, needs)[1]
        wanted = {f"d{name}" for name, need in zip(made.names, needs, strict=True) if need}
        assert {name for name in found if name.startswith("d")} == wanted
        torch.testing.assert_close(found, {name: everything[name] for name in found}, rtol=0, atol=0)


@pytest.fixture(params=["sequences", "pieces", "units"])
def split(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, eager_threads: None) -> None:
    """What the threads of the recurrence share, whatever the sizes; pieces: each sums its gradients at the weights."""
    shares = 2 if request.param == "units" else 0
    monkeypatch.setattr(rules, "_PIECE_ROWS", 0 if request.param == "pieces" else sys.maxsize)
    monkeypatch.setattr(prepared, "shares_of_units", lambda *sizes: shares if sizes[-1] > 1 else 0)


@pytest.mark.parametrize("span", [1, 2, 5])
@pytest.mark.parametrize("kinds", ["plain", "reset", "lengths reset", "from zero", "projected"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("case", SIZES[5:], ids=lambda case: case.why)
def test_gated_cells_however_a_run_is_cut(
    case: Case, cell: str, kinds: str, span: int, split: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kinds not in ("projected", *kinds_of(cell, case), "lengths reset") or (kinds == "projected" and cell == "gru"):
        pytest.skip("the cell has no such form")
    monkeypatch.setattr(prepared, "steps_of_a_span", lambda *sizes: max(2, span))
    monkeypatch.setattr(prepared, "steps_read_at_once", lambda *sizes: span)
    torch.set_num_threads(2)
    made = given(case, cell, kinds)
    assert_same(own(made)[1], made.values(loop.forward(made.problem)))


@pytest.mark.parametrize("kinds", ["plain", "lengths", "projected"])
@pytest.mark.parametrize("cell", CELLS)
def test_weights_that_lie_far_away(cell: str, kinds: str, split: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for while sequences enough for several tiles are multiplied, one panel after the other, in both orders."""
    case = Case("panels and part of one", 5, 100, 3, 150)
    if kinds not in ("projected", *kinds_of(cell, case)) or (kinds == "projected" and cell != "lstm"):
        pytest.skip("the cell has no such form")
    monkeypatch.setattr(prepared, "is_far", lambda weight_bytes: True)
    torch.set_num_threads(2)
    made = given(case, cell, kinds)
    assert plan_of(made.problem, False)["asks"]
    assert_same(own(made)[1], made.values(loop.forward(made.problem)))


def test_large_weights_lie_far_away() -> None:
    """And then more steps of the input are read at once, if those of all threads are not too many."""
    torch.set_num_threads(1)
    near, far = (
        plan_of(given(Case("rows", 20, 16, 3, h), "lstm", dtype=torch.float32).problem, False) for h in (500, 725)
    )
    assert (near["asks"], far["asks"]) == (False, True)
    wide = given(Case("rows", 20, 16, 2200, 500), "lstm", dtype=torch.float32)
    assert plan_of(wide.problem, False)["span"] > near["span"]
    assert rules.steps_read_at_once(64, 8 << 20, 2 << 14) > rules.steps_read_at_once(64, 8 << 20, 32 << 14)


def plan_of(problem: Problem, backward: bool) -> dict[str, int]:
    head = prepared.prepare(problem, backward, True, 0, False).head
    return dict(zip(FIELDS, struct.unpack(f"{len(head) // 8}q", head), strict=False))


def assert_apart(plan: dict[str, int], rows: str, cell: str, H: int) -> None:
    """What two threads write; rows that products write by a dozen tiles and more."""
    assert plan["apart"] >= 4096
    assert plan[rows] - plan["span"] * plan["most"] >= max(96, 4096 / (4 * KINDS[cell].slots * H))


@pytest.mark.parametrize("H", [4, 32, 200, 300])
@pytest.mark.parametrize("cell", CELLS)
def test_what_threads_write_of_a_step_is_apart(cell: str, H: int, eager_threads: None) -> None:
    """Their rows z of a span, too."""
    torch.set_num_threads(2)
    plan = plan_of(given(Case("several threads", 20, 8, 3, H), cell, dtype=torch.float32).problem, False)
    assert plan["own"]
    assert_apart(plan, "z_rows", cell, H)


@pytest.mark.parametrize("H", [4, 32, 200])
@pytest.mark.parametrize("cell", CELLS)
def test_what_threads_sum_by_themselves_is_apart(cell: str, H: int, eager_threads: None) -> None:
    """Each one's rows dz, and its gradients at the weights."""
    torch.set_num_threads(2)
    plan = plan_of(given(Case("several threads", 20, 8, 3, H), cell, dtype=torch.float32).problem, True)
    assert plan["pieces"]
    assert_apart(plan, "span_rows", cell, H)
    assert plan["piece_numbers"] - plan["weight_numbers"] >= min(96 * H, plan["weight_numbers"])


@pytest.mark.parametrize(("I", "H"), [(10_000, 1), (10_000, 40), (3, 2000)])
def test_what_lies_between_threads_is_little_beside_what_they_have(I: int, H: int, eager_threads: None) -> None:
    torch.set_num_threads(2)
    problem = given(Case("several threads", 100, 4, I, H), "lstm", dtype=torch.float32).problem
    for backward in (False, True):
        plan = plan_of(problem, backward)
        row_bytes = 4 * plan["z_step"]
        assert (plan["z_rows"] - plan["span"] * plan["most"]) * row_bytes <= 2 << 20
        assert plan["piece_numbers"] <= 2 * plan["weight_numbers"]


@pytest.mark.parametrize("D", [1, 2])
def test_who_sums_gradients_by_itself_has_as_many_sequences_as_directions(D: int, eager_threads: None) -> None:
    torch.set_num_threads(2)
    for N in (1, 2, 3, 4, 9):
        plan = plan_of(given(Case("several threads", 100, N, 3, 20, D=D), "lstm", dtype=torch.float32).problem, True)
        assert plan["pieces"] == (N >= 2 * D)


def picked(problem: Problem, i: int) -> Problem:
    """One sequence of a problem."""
    states = tuple(s[:, i : i + 1].contiguous() for s in problem.states)
    return problem._replace(x=problem.x[:, i : i + 1].contiguous(), states=states)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("case", [Case("a batch", 9, 7, 5, 70, L=2, D=2), Case("wide", 6, 5, 9, 203)], ids=str)
def test_a_sequence_has_the_same_bits_in_any_batch_on_any_threads(
    case: Case, cell: str, dtype: torch.dtype, split: None
) -> None:
    made = given(case, cell, "plain", dtype)
    problem = made.problem.with_inputs([t.detach() for t in made.problem.inputs])
    expected: Run | None = None
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        run = api.forward(problem, threads % 2 == 0)[:2]
        expected = expected or run
        torch.testing.assert_close(run, expected, rtol=0, atol=0)
        for i in range(case.N):
            output, last = api.forward(picked(problem, i), False)[:2]
            torch.testing.assert_close(output[:, 0], run[0][:, i], rtol=0, atol=0)
            torch.testing.assert_close([s[:, 0] for s in last], [s[:, i] for s in run[1]], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kinds", ["plain", "reset", "reset dropout"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "case",
    [
        Case("one step", 1, 3, 5, 75),
        Case("fewer sequences than threads", 6, 1, 5, 131),
        Case("as many, two layers", 4, 2, 3, 100, L=2),
        Case("more, two layers", 5, 3, 4, 203, L=2),
        Case("both directions", 4, 5, 3, 75, L=2, D=2),
    ],
    ids=str,
)
def test_all_bits_are_the_same_whether_units_or_sequences_are_shared(
    case: Case, cell: str, kinds: str, dtype: torch.dtype, eager_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "dropout" in kinds and case.L == 1:
        pytest.skip("the cell has no such form")
    monkeypatch.setattr(rules, "_PIECE_ROWS", sys.maxsize)
    torch.set_num_threads(2)
    made = given(case, cell, kinds, dtype)
    found = []
    for shares in (0, 2):
        monkeypatch.setattr(prepared, "shares_of_units", lambda *sizes, shares=shares: shares)
        forget_plans()
        assert plan_of(made.problem, True)["shares"] == shares
        found.append(own(made)[1])
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_units_are_shared_where_each_thread_would_read_a_large_weight_for_a_few_sequences() -> None:
    torch.set_num_threads(2)
    for N, H, D, shares in (
        (1, 320, 1, 2),
        (1, 64, 1, 0),
        (1, 65, 1, 2),
        (2, 32, 1, 0),
        (2, 127, 1, 0),
        (2, 200, 1, 2),
        (3, 320, 1, 2),
        (4, 320, 1, 2),
        (3, 20, 1, 0),
        (4, 200, 1, 0),
        (6, 320, 1, 0),
        (3, 320, 2, 0),
    ):
        made = given(Case("few", 200, N, 16, H, D=D), "lstm", dtype=torch.float32)
        assert [plan_of(made.problem, backward)["shares"] for backward in (False, True)] == [shares] * 2, (N, H, D)


def gates_of(z: Tensor) -> Tensor:
    """i, f, g and o of an LSTM's first step where the pre-activations are all z: (4, len(z))."""
    n = z.numel()
    none = z.new_zeros(4 * n, 1)
    weights = (none, none, z.repeat(4), z.new_zeros(4 * n), z.new_zeros(1, n))
    table = given(CASES[1], "lstm").problem.cell
    run = api.forward(Problem(table, 1, 1, True, True, z.new_zeros(1, 1, 1), (), weights), True)
    kept = run.saved[2]
    assert kept is not None
    return kept.view(4, n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sigmoid_and_tanh_to_three_units_in_the_last_place(dtype: torch.dtype) -> None:
    numpy = pytest.importorskip("numpy")
    small = torch.logspace(-30, 2, 4000, dtype=torch.float64)
    z = torch.cat([small, -small, torch.linspace(-110, 110, 20001, dtype=torch.float64)]).to(dtype)
    exact = z.numpy().astype(numpy.longdouble)
    half = numpy.exp(-abs(exact))
    sigmoid = numpy.where(exact < 0, half, 1) / (1 + half)
    i, f, g, o = gates_of(z).numpy()
    for found, expected in ((i, sigmoid), (f, sigmoid), (g, numpy.tanh(exact)), (o, sigmoid)):
        units = abs(found - expected) / numpy.spacing(abs(expected.astype(found.dtype)))
        assert units.max() <= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gates_at_the_ends(dtype: torch.dtype) -> None:
    infinity = float("inf")
    z = torch.tensor([infinity, -infinity, float("nan"), 0.0, -0.0, 1e30, -1e30], dtype=dtype)
    i, f, g, o = gates_of(z)
    for found, expected in ((i, z.sigmoid()), (f, z.sigmoid()), (g, z.tanh()), (o, z.sigmoid())):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


def misfits(problem: Problem) -> Iterator[Problem]:
    """The problem with one tensor that does not fit."""
    for change in (lambda t: t[:-1], lambda t: t.double(), lambda t: t.to("meta")):
        for k in range(1, len(problem.inputs)):
            inputs = list(problem.inputs)
            inputs[k] = change(inputs[k])
            yield problem.with_inputs(inputs)
    T, N, _ = problem.x.shape
    yield problem._replace(lengths=torch.full((N - 1,), T))
    yield problem._replace(lengths=torch.full((N,), T, dtype=torch.int32))
    yield problem._replace(reset=torch.zeros(T - 1, N, dtype=torch.bool))
    yield problem._replace(reset=torch.zeros(T, N))
    yield problem._replace(masks=torch.ones(1, T, N, 1))


@pytest.mark.parametrize("cell", CELLS)
def test_what_does_not_fit_reaches_no_machine_code(cell: str) -> None:
    made = given(SIZES[5], cell, "plain", torch.float32)
    problem = made.problem.with_inputs([t.detach() for t in made.problem.inputs])
    output, last, saved = api.forward(problem, True)
    needs = (True,) * len(problem.inputs)
    for wrong in misfits(problem):
        with pytest.raises((RuntimeError, ValueError)):
            api.forward(wrong, True)
        with pytest.raises((RuntimeError, ValueError)):
            api.backward(wrong, output, saved, output, last, needs)
    short = [(output[1:], saved, output, last), (output, saved, output[1:], last)]
    short += [(output, saved, output, tuple(s[:, 1:] for s in last)), (output, (None,) * len(saved), output, last)]
    for given_back in short:
        with pytest.raises(RuntimeError, match="The kernel needs"):
            api.backward(problem, *given_back, needs)


def test_wrong_lengths_lead_to_no_other_memory() -> None:
    """Whoever calls has checked them; what the kernel reads may have been written to since."""
    made = given(SIZES[5], "gru", "plain", torch.float32)
    problem = made.problem.with_inputs([t.detach() for t in made.problem.inputs])
    T, N = problem.steps, problem.sequences
    wrong, right = (torch.tensor(values) for values in ([-(2**60), 2**60, T, 1, -1], [0, T, T, 1, 0]))
    runs = [api.forward(problem._replace(lengths=lengths), True)[:2] for lengths in (wrong, right)]
    torch.testing.assert_close(*runs, rtol=0, atol=0, equal_nan=True)
    packed = problem._replace(x=problem.x.flatten(0, 1), batch_sizes=torch.tensor([N, 2**60, -3, *[9] * (T - 3)]))
    output, _, saved = api.forward(packed, True)
    api.backward(packed, output, saved, output, (None,), (True,) * len(packed.inputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kinds", ["plain", "lengths reset dropout", "packed", "projected"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_seal_shows_that_the_output_was_written_to(cell: str, kinds: str, dtype: torch.dtype, split: None) -> None:
    """By whatever way, and whoever shares the run: torch's versions do not show what is written through `.data`."""
    if kinds == "projected" and cell != "lstm":
        pytest.skip("the cell has no such form")
    made = given(SIZES[5], cell, kinds, dtype)
    problem = made.problem.with_inputs([t.detach() for t in made.problem.inputs])
    needs = (True,) * len(problem.inputs)
    seals = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        (output, last, saved), seal = api.forward_sealed(problem)
        seals.append(seal)
        api.backward(problem, output, saved, None, last, needs, seal=seal)
    assert len(set(seals)) == 1
    for change in (lambda t: t.mul_(1.5), lambda t: t.zero_(), lambda t: t.copy_(t.flip(0).clone())):
        written = output.clone()
        change(written[:2])
        with pytest.raises(api.OutputChanged):
            api.backward(problem, written, saved, None, last, needs, seal=seal)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(100, 32, 64), (5, 2, 16), (4, 8, 16), (7, 3, 5)])
def test_a_seal_shows_that_the_output_was_multiplied(size: tuple[int, int, int], dtype: torch.dtype) -> None:
    """By a power of two, which adds the same number to the bits of each; outputs of one sign, and all alike."""
    T, N, H = size
    layer = elman.RNN(3, H, nonlinearity="relu", dtype=dtype)
    for start in (torch.rand, torch.ones):
        for p in layer.parameters():
            p.data = start(p.shape, dtype=dtype).div_(2 * H)
        x = start(T, N, 3, dtype=dtype)
        expected = torch.autograd.grad(layer(x)[0].sum(), layer.weight_hh_l0)[0]
        for factor in (2, 0.5, 4, -1, 1024):
            output = layer(x)[0]
            loss = (output * 1).sum()
            output.data.mul_(factor)
            found = torch.autograd.grad(loss, layer.weight_hh_l0)[0]
            torch.testing.assert_close(found, expected, msg=f"times {factor}")
