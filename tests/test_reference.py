"""The definition (kernels/reference) beside torch's layers, in float64: every cell in every form."""

from itertools import pairwise

import pytest
import torch
from cases import CASES, Case, assert_same
from problems import LAYERS, Given, given, kinds_of
from torch import Tensor
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from elman.kernels.problem import Run
from elman.kernels.reference import loop
from elman.kernels.reference.cells import Step

SOME = (
    *CASES[:4],
    *CASES[11:13],
    Case(
        "three layers both ways, with fewer sequences than there: each of its pieces runs apart", 6, 5, 5, 4, L=3, D=2
    ),
)
SMALL = Case("two layers both ways: what is carried, up and down and between", 5, 4, 3, 4, L=2, D=2)
CELLS = list(LAYERS)
EVERY = [(case, cell, kinds) for case in SOME for cell in CELLS for kinds in kinds_of(cell, case)]


def torchs(made: Given) -> Run:
    """What torch's own layers give, one after the other: on packed sequences, or on the pieces of reset ones."""
    problem = made.problem
    directions = problem.num_directions
    per_layer = directions * problem.weights_a_direction
    x = problem.x
    states = problem.states or tuple(
        x.new_zeros(problem.num_layers * directions, problem.sequences, width) for width in problem.state_widths()
    )
    last = []
    for layer in range(problem.num_layers):
        if layer > 0 and problem.masks is not None:
            x = x * problem.masks[layer - 1]
        module = made.layer(1, x.shape[-1])
        own = problem.weights[layer * per_layer : (layer + 1) * per_layer]
        parameters = dict(zip(dict(module.named_parameters()), own, strict=True))
        starts = tuple(s[layer * directions : (layer + 1) * directions] for s in states)

        def call(x: Tensor | PackedSequence, starts: tuple[Tensor, ...], module=module, parameters=parameters):
            hx = starts if problem.cell.name == "lstm" else starts[0]
            output, after = functional_call(module, parameters, (x, hx))
            return output, after if problem.cell.name == "lstm" else (after,)

        if problem.batch_sizes is not None:
            output, after = call(PackedSequence(x, problem.batch_sizes), starts)
            x = output.data
        elif problem.lengths is None and problem.reset is None:
            x, after = call(x, starts)
        elif problem.reset is None:
            x, after = _on_packed(call, x, starts, problem.lengths)
        else:
            x, after = _in_pieces(call, x, starts, problem.lengths, problem.reset)
        last.append(after)
    return Run(x, tuple(torch.cat(of_state) for of_state in zip(*last, strict=True)))


def _on_packed(call, x: Tensor, starts: tuple[Tensor, ...], lengths: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Those that are not empty, packed; the state of an empty one stays."""
    there = lengths.nonzero().squeeze(1)
    if not len(there):
        return x.new_zeros(*x.shape[:2], starts[0].shape[0] * starts[0].shape[2]) + 0 * x.nansum(), starts
    packed = pack_padded_sequence(x[:, there], lengths[there], enforce_sorted=False)
    output, after = call(packed, tuple(s[:, there] for s in starts))
    padded, _ = pad_packed_sequence(output, total_length=x.shape[0])
    whole = x.new_zeros(*x.shape[:2], padded.shape[-1]).index_copy(1, there, padded)
    return whole, tuple(s.index_copy(1, there, a) for s, a in zip(starts, after, strict=True))


def _in_pieces(call, x, starts, lengths, reset) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Each sequence apart, and each of its pieces: every one starts from the first state."""
    T, N, _ = x.shape
    outputs, last = [], []
    for n in range(N):
        own = tuple(s[:, n : n + 1] for s in starts)
        length = T if lengths is None else int(lengths[n])
        edges = [0, *(t for t in range(1, length) if reset[t, n]), length]
        width = own[0].shape[0] * own[0].shape[2]
        runs = [call(x[a:b, n : n + 1], own) for a, b in pairwise(edges) if b > a]
        parts = [output for output, _ in runs]
        outputs.append(torch.cat([*parts, x.new_zeros(T - length, 1, width)]))
        ends = (runs[-1][1], runs[0][1]) if runs else (own, own)  # forwards the last piece, backwards the first
        last.append([torch.stack([ends[d][i][d] for d in range(len(s))]) for i, s in enumerate(own)])
    return torch.cat(outputs, 1), tuple(torch.cat(of_state, 1) for of_state in zip(*last, strict=True))


@pytest.mark.parametrize(("case", "cell", "kinds"), EVERY, ids=lambda value: getattr(value, "id", value))
def test_numbers_and_gradients_are_those_of_torchs_layers(case: Case, cell: str, kinds: str) -> None:
    made = given(case, cell, kinds)
    assert_same(made.values(loop.forward(made.problem)), made.values(torchs(made)))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kinds", ["plain", "lengths", "reset"])
def test_no_sequence_and_no_step_give_shapes_and_a_graph(cell: str, kinds: str) -> None:
    for T, N in ((4, 0), (0, 3), (0, 0)):
        made = given(Case("nothing to run", T, N, 3, 5, L=2, D=2), cell, kinds)
        run = loop.forward(made.problem)
        assert run.output.shape == (T, N, 10)
        expected = {f"d{name}": torch.zeros_like(t) for name, t in zip(made.names, made.problem.inputs, strict=True)}
        if T == 0:
            for state, first, d in zip(made.problem.cell.states, made.problem.states, made.d_last, strict=True):
                expected |= {f"{state}_n": first, f"d{state}_0": d}
        found = made.values(run)
        assert_same({name: found[name] for name in expected}, expected)
        assert all(result.requires_grad for result in (run.output, *run.last))


@pytest.mark.parametrize("cell", CELLS)
def test_a_weight_alone_gives_the_results_of_no_step_a_graph(cell: str) -> None:
    problem = given(Case("no step", 0, 3, 3, 5), cell, "from zero").problem
    for place in range(len(problem.weights)):
        frozen = [w.detach().requires_grad_(i == place) for i, w in enumerate(problem.weights)]
        run = loop.forward(problem.with_inputs((problem.x.detach(), *frozen)))
        assert run.output.requires_grad
        assert all(state.requires_grad for state in run.last)


@pytest.mark.parametrize(("cell", "kinds"), [("gru", "lengths reset dropout"), ("lstm", "projected lengths reset")])
def test_derivatives_of_both_modes_are_those_of_differences(cell: str, kinds: str) -> None:
    made = given(Case("small: each number is moved", 2, 2, 2, 2, L=2), cell, kinds)
    problem = made.problem.with_inputs([t.detach().nan_to_num().requires_grad_() for t in made.problem.inputs])

    def results(*inputs: Tensor) -> tuple[Tensor, ...]:
        run = loop.forward(problem.with_inputs(inputs))
        return run.output, *run.last

    assert torch.autograd.gradcheck(results, problem.inputs, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(results, problem.inputs, fast_mode=True)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kinds", ["lengths reset", "packed dropout"])
def test_every_transform_sees_through(cell: str, kinds: str) -> None:
    problem = given(SMALL, cell, kinds).problem
    x, *others = (t.detach() for t in problem.inputs)

    def total(x: Tensor, *others: Tensor) -> Tensor:
        run = loop.forward(problem.with_inputs((x, *others)))
        return run.output.square().sum() + sum(state.sum() for state in run.last)

    xs = torch.stack([x, 2 * x])
    alone = [torch.func.grad(total)(each, *others) for each in xs]
    assert_same(
        {"dx": torch.func.vmap(torch.func.grad(total), (0, *[None] * len(others)))(xs, *others)},
        {"dx": torch.stack(alone)},
    )
    _, forwards = torch.func.jvp(lambda x: total(x, *others), (x,), (torch.ones_like(x),))
    assert_same({"jvp": forwards}, {"jvp": alone[0].sum()})
    outer = torch.func.jacfwd(torch.func.jacrev(total, 2), 2)(x, *others)
    inner = torch.func.hessian(total, 2)(x, *others)
    assert_same({"hessian": outer}, {"hessian": inner})


@pytest.mark.parametrize("cell", CELLS)
def test_it_compiles_into_one_graph(cell: str) -> None:
    problem = given(Case("small: each step is traced", 2, 2, 3, 4), cell, "lengths reset").problem

    @torch.compile(fullgraph=True, backend="eager")
    def run(*inputs: Tensor) -> Tensor:
        return loop.forward(problem.with_inputs(inputs)).output

    assert_same({"output": run(*problem.inputs)}, {"output": loop.forward(problem).output})


@pytest.mark.parametrize("cell", CELLS)
def test_a_record_of_every_step_says_how_its_numbers_arose(cell: str) -> None:
    """The equations of torch's documentation, from the record's own terms and the biases."""
    problem = given(SMALL, cell, "projected" if cell == "lstm" else "plain").problem
    kept: dict[tuple[int, int, int], Step] = {}
    run = loop.forward(problem, keep=lambda layer, direction, t, step: kept.update({(layer, direction, t): step}))
    assert len(kept) == problem.num_layers * problem.num_directions * problem.steps
    for (layer, direction, t), step in kept.items():
        own = problem.weights_of(layer, direction)
        before, (h, *_) = step.states_before, step.states
        place = layer * problem.num_directions + direction
        edge = t == (0 if direction == 0 else problem.steps - 1)
        earlier = kept.get((layer, direction, t + 1 if direction else t - 1))
        for i, state in enumerate(before):
            assert torch.equal(state, problem.states[i][place] if edge else earlier.states[i])
        torch.testing.assert_close(step.recurrent_term, before[0] @ own.w_hh.T)
        if layer == 0:
            torch.testing.assert_close(step.input_term, problem.x[t] @ own.w_ih.T)
        a, b = step.input_term + own.b_ih, step.recurrent_term + own.b_hh
        expected, values = a + b, torch.sigmoid(a + b)
        if cell.startswith("rnn"):
            values = torch.tanh(expected) if cell == "rnn_tanh" else torch.relu(expected)
            new = values
        elif cell == "gru":
            H = problem.hidden_size
            n = a[:, 2 * H :] + values[:, :H] * b[:, 2 * H :]
            expected = torch.cat([expected[:, : 2 * H], n], -1)
            values = torch.cat([values[:, : 2 * H], torch.tanh(n)], -1)
            new = torch.lerp(torch.tanh(n), before[0], values[:, H : 2 * H])
        else:
            i, f, _, o = values.chunk(4, -1)
            g = torch.tanh(expected.chunk(4, -1)[2])
            values = torch.cat([i, f, g, o], -1)
            torch.testing.assert_close(step.states[1], f * before[1] + i * g)
            new = o * torch.tanh(step.states[1])
        torch.testing.assert_close(step.pre_activation, expected)
        torch.testing.assert_close(step.gates, values)
        torch.testing.assert_close(step.unprojected, new)
        torch.testing.assert_close(h, new if own.w_hr is None else new @ own.w_hr.T)
        if layer == problem.num_layers - 1:
            assert torch.equal(h, run.output[t].chunk(problem.num_directions, -1)[direction])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kinds", ["from zero", "lengths from zero", "reset", "packed from zero"])
def test_a_trace_runs_at_other_batch_sizes_and_refuses_other_steps(cell: str, kinds: str) -> None:
    def of(T: int, N: int) -> tuple[Given, list[Tensor]]:
        made = given(Case("", T, N, 3, 4, L=2, D=2), cell, kinds)
        problem = made.problem
        rest = (problem.lengths, problem.reset, problem.batch_sizes)
        return made, [problem.x.detach(), *(s.detach() for s in problem.states), *(r for r in rest if r is not None)]

    first, arguments = of(5, 3)
    fixed = tuple(w.detach() for w in first.problem.weights)

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        problem = first.problem
        states, others = rest[: len(problem.states)], iter(rest[len(problem.states) :])
        made = {
            name: next(others) for name in ("lengths", "reset", "batch_sizes") if getattr(problem, name) is not None
        }
        output, last, _ = loop.forward(problem._replace(x=x, states=states, weights=fixed, **made))
        return output, *last

    traced = torch.jit.trace(run, arguments, check_trace=False)
    for N in (3, 7, 1):
        made, arguments = of(5, N)
        output, last, _ = loop.forward(made.problem._replace(weights=fixed))
        names = ("output", *made.problem.cell.states)
        assert_same(dict(zip(names, traced(*arguments), strict=True)), dict(zip(names, (output, *last), strict=True)))
    for T in (4, 9):
        with pytest.raises(RuntimeError):
            traced(*of(T, 3)[1])
