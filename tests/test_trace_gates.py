"""trace of GRU and LSTM: every gate and state by the equations in numpy, results and gradients by torch's layers."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from test_trace import korean
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman.explain._numbers import rounded, short

CELLS = [elman.GRU, nn.GRU, elman.LSTM, nn.LSTM]
GATES = {"GRU": "rzn", "LSTM": "ifgo"}
OPTIONS = [
    dict(num_layers=2, bidirectional=True),
    dict(bias=False),
    dict(num_layers=3, batch_first=True, dtype=torch.float64),
]


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def by_hand(kind: str, w: dict, x, h, c) -> dict:
    """One step in numpy, from the equations of torch's documentation."""
    terms = {"input_term": w["ih"] @ x, "recurrent_term": w["hh"] @ h}
    v, u = terms["input_term"] + w["b_ih"], terms["recurrent_term"] + w["b_hh"]
    H = len(h)
    if kind == "GRU":
        r, z = sigmoid(v[:H] + u[:H]), sigmoid(v[H : 2 * H] + u[H : 2 * H])
        a = np.concatenate([v[: 2 * H] + u[: 2 * H], v[2 * H :] + r * u[2 * H :]])
        n = np.tanh(a[2 * H :])
        return terms | {"pre_activation": a, "gates": np.concatenate([r, z, n]), "hidden": (1 - z) * n + z * h}
    a = v + u
    i, f, o = (sigmoid(a[k * H : (k + 1) * H]) for k in (0, 1, 3))
    g = np.tanh(a[2 * H : 3 * H])
    new = f * c + i * g
    return terms | {"pre_activation": a, "gates": np.concatenate([i, f, g, o]), "c": new, "hidden": o * np.tanh(new)}


def weights_of(layer: nn.RNNBase, number: int, d: int) -> dict:
    suffix = f"_l{number}{'_reverse' if d else ''}"
    own = {name: p.detach().double().numpy() for name, p in layer.named_parameters() if name.endswith(suffix)}
    own = {name.removesuffix(suffix): value for name, value in own.items()}
    none = np.zeros(len(own["weight_ih"]))
    biases = {"b_ih": own.get("bias_ih", none), "b_hh": own.get("bias_hh", none)}
    return {"ih": own["weight_ih"], "hh": own["weight_hh"], **biases}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("cls", CELLS)
def test_every_gate_and_state_follows_the_equations(cls, options) -> None:
    """Of sequences of different length, the states given: all terms by numpy, the results by torch's packed layer."""
    kind, dtype = cls.__name__, options.get("dtype", torch.float32)
    layer, lengths = cls(3, 4, **options), [5, 2, 4]
    L, D = layer.num_layers, 2 if layer.bidirectional else 1
    x = torch.randn(5, 3, 3, dtype=dtype)
    start = torch.randn(2, L * D, 3, 4, dtype=dtype)
    hx = (start[0], start[1]) if kind == "LSTM" else start[0]
    trace = elman.trace(layer, x.transpose(0, 1) if layer.batch_first else x, hx, lengths=lengths)
    close = dict(rtol=1e-4, atol=1e-5) if dtype == torch.float32 else dict(rtol=1e-10, atol=1e-12)
    for n, length in enumerate(lengths):
        below = [x[t, n].double().numpy() for t in range(length)]
        for number in range(L):
            above = np.zeros((length, D * 4))
            for d in range(D):
                w, (h, c) = weights_of(layer, number, d), start[:, number * D + d, n].double().numpy()
                for t in reversed(range(length)) if d else range(length):
                    found = by_hand(kind, w, below[t], h, c)
                    before = {"before": h} | ({"c_before": c} if kind == "LSTM" else {})
                    for name, value in (found | before).items():
                        kept = getattr(trace, name)[number, d, t, n].double().numpy()
                        np.testing.assert_allclose(kept, value, err_msg=f"{name} at {t}", **close)
                    h, c = found["hidden"], found.get("c", c)
                    above[t, d * 4 : d * 4 + 4] = h
            below = list(above)
    theirs = getattr(nn, kind)(3, 4, **options)
    theirs.load_state_dict(layer.state_dict())
    packed = pack_padded_sequence(
        x.transpose(0, 1) if layer.batch_first else x, lengths, layer.batch_first, enforce_sorted=False
    )
    _, last = theirs(packed, hx)
    h_n, c_n = last if kind == "LSTM" else (last, None)
    torch.testing.assert_close(trace.h_n, h_n.detach())
    assert (trace.c_n is None) == (c_n is None)
    if c_n is not None:
        torch.testing.assert_close(trace.c_n, c_n.detach())
    assert trace.difference < 1e-5
    for kept in (trace.gates, trace.hidden, trace.before, *([trace.c] if kind == "LSTM" else [])):
        assert not kept[:, :, ~trace.there].any()
    for k, name in enumerate(GATES[kind]):
        assert torch.equal(trace.gate(name), trace.gates[..., 4 * k : 4 * k + 4])


def test_gates_are_asked_for_by_their_names() -> None:
    with pytest.raises(ValueError, match="there is no gate 'f': its gates are r, z, n"):
        elman.trace(elman.GRU(3, 4), torch.randn(5, 3)).gate("f")
    with pytest.raises(ValueError, match="an RNN has no gates"):
        elman.trace(elman.RNN(3, 4), torch.randn(5, 3)).gate("h")


@pytest.mark.parametrize("cls", [nn.GRU, nn.LSTM])
def test_at_spells_out_each_gate_and_update(cls) -> None:
    """The products are weights times numbers, by torch's rows; what is written down gives torch's own state."""
    kind, H = cls.__name__, 4
    layer, x = cls(3, H, 2, bidirectional=True, dtype=torch.float64), torch.randn(4, 2, 3, dtype=torch.float64)
    trace = elman.trace(layer, x, lengths=[4, 3])
    for number, d, t, n, unit in itertools.product(range(2), range(2), range(3), range(2), range(H)):
        at = trace.at(t, number, d, unit, n)
        suffix = f"l{number}{'_reverse' if d else ''}"
        assert list(at.gates) == list(GATES[kind])
        for k, (name, gate) in enumerate(at.gates.items()):
            assert gate.value == pytest.approx(float(trace.gate(name)[number, d, t, n, unit]), abs=1e-12)
            assert gate.pre_activation == pytest.approx(
                float(trace.pre_activation[number, d, t, n, k * H + unit]), abs=1e-12
            )
            for product in (*gate.from_input, *gate.from_state):
                weight, place = product.weight.rstrip("]").split("[")
                row, column = map(int, place.split(", "))
                assert row == k * H + unit
                assert product.factors[0] == getattr(layer, weight)[row, column].item()
            assert (gate.multiplier is not None) == (name == "n")
            assert gate.names[4:] == (f"bias_ih_{suffix}[{k * H + unit}]", f"bias_hh_{suffix}[{k * H + unit}]")
        assert at.value == float(trace.hidden[number, d, t, n, unit])
        for update in at.updates:
            numbers = update.formula.split(" = ")[2].replace("·", "*").replace("tanh", "math.tanh")
            assert eval(numbers, {"math": math}) == pytest.approx(update.value, abs=5e-4)
            assert update.formula.endswith(f" = {rounded(update.value)}")


def test_a_unit_reads_like_lines_on_paper() -> None:
    lstm = elman.LSTM(1, 1)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.tensor([[0.5], [0.0], [2.0], [-1.0]]))
        lstm.weight_hh_l0.copy_(torch.tensor([[0.25], [0.0], [-0.5], [1.0]]))
        lstm.bias_ih_l0.copy_(torch.tensor([0.0, 4.0, 0.0, 1.0]))
        lstm.bias_hh_l0.zero_()
    trace = elman.trace(lstm, torch.tensor([[1.0], [-2.0]]), (torch.zeros(1, 1), torch.full((1, 1), 0.5)), lang="en")
    i, f, g, o = (1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(-4)), math.tanh(2), 0.5)
    c = f * 0.5 + i * g
    assert [update.formula for update in trace.at(0).updates] == [
        f"c = f·c_0[0] + i·g = {rounded(f)}·0.5 + {rounded(i)}·{rounded(g)} = {rounded(c)}",
        f"h = o·tanh(c) = {rounded(o)}·tanh({rounded(c)}) = {rounded(o * math.tanh(c))}",
    ]
    assert "c = f·c[0] + i·g = " in trace.at(1).formula
    said = str(trace.at(1))
    for line in (
        "layer 0, step 1, unit 0",
        "  f, forget gate",
        f"    f = sigmoid(0 + 0 + 4 + 0) = sigmoid(4) = {rounded(f)}",
        "  rows of weight_ih, weight_hh and the biases: i 0 | f 1 | g 2 | o 3",
        f"  f = {rounded(f)} keeps this share of c: a time constant of 1/(1 - f) = {short(1 / (1 - f))} steps",
    ):
        assert line in said.splitlines()
    assert f"the median forget gate f = {short(f)}, c fades with a time constant of 1/(1 - f) = 55.6 steps" in str(
        trace
    )
    gru = elman.GRU(3, 2)
    at = elman.trace(gru, torch.randn(4, 3)).at(2, unit=1)
    assert re.fullmatch(r"n = tanh\([^()]*(\(-[\d.]+\)[^()]*)*[\d.]+·\(.*\)\) = tanh\(.*\) = .*", at.gates["n"].formula)
    assert at.formula.startswith("h = (1 - z)·n + z·h[1] = (1 - ")
    assert "r 0-1 | z 2-3 | n 4-5" in str(at)


@pytest.mark.parametrize("cls", [nn.GRU, nn.LSTM])
def test_sensitivity_and_radius_are_torchs(cls) -> None:
    """The norms by autograd of torch's own layer, the radius by that of one step of its own cell."""
    torch.manual_seed(0)
    layer, x = cls(3, 4, dtype=torch.float64), torch.randn(6, 3, dtype=torch.float64)
    trace = elman.trace(layer, x)
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x)[0][-1], x)  # (H, T, I)
    torch.testing.assert_close(trace.sensitivity().by_step, jacobian.square().sum((0, 2)).sqrt())
    torch.testing.assert_close(trace.sensitivity(unit=2).by_step, jacobian[2].norm(dim=-1))
    cell = getattr(nn, f"{cls.__name__}Cell")(3, 4, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    radii = []
    for t in range(6):
        before = tuple(state[0, 0, t, 0] for state in trace.states_before.values())

        def step(*states, t=t):
            return cell(x[t], states if cls is nn.LSTM else states[0])

        rows = torch.autograd.functional.jacobian(step, before)
        whole = torch.cat([torch.cat(row, -1) for row in (rows if cls is nn.LSTM else (rows,))])
        radii.append(torch.linalg.eigvals(whole).abs().max())
    found = trace.sensitivity()
    assert found.spectral_radius == pytest.approx(torch.stack(radii).median().item())
    assert math.isnan(found.weight_radius)
    assert "(spectral radius of its Jacobian)." in found.sentence


def test_table_has_a_row_for_each_gate() -> None:
    trace = elman.trace(elman.LSTM(3, 2), torch.randn(4, 3))
    rows = trace.table().rows
    assert len(rows) == 4 * 2 * 4
    assert list(rows[0]) == [
        *("layer", "direction", "sequence", "step", "unit", "gate", "input_term", "recurrent_term", "b_ih", "b_hh"),
        *("pre_activation", "value", "c", "hidden"),
    ]
    for row in rows:
        at = 0, 0, row["step"], 0, row["unit"]
        assert row["value"] == trace.gate(row["gate"])[at].item()
        assert (row["c"], row["hidden"]) == (trace.c[at].item(), trace.hidden[at].item())


def test_states_of_an_lstm_are_in_the_ledger() -> None:
    shapes = elman.trace(elman.LSTM(3, 2, 2), torch.randn(4, 5, 3)).shapes
    assert list(shapes.rows) == ["input", "h_0", "c_0", "output", "h_n", "c_n"]
    assert shapes["c_n"] == {"layer·direction": 2, "batch": 5, "feature": 2}


def test_a_gated_trace_speaks_korean() -> None:
    for cls in (elman.GRU, elman.LSTM):
        trace = elman.trace(cls(9, 12, 2), torch.randn(5, 3, 9), lang="ko")
        lines = [line for line in str(trace.at(1, layer=1)).splitlines() if re.search("[가-힣]", line)]
        assert len(lines) >= 6
        assert all(korean(re.sub("sigmoid", "", line)) for line in lines)
        assert all(korean(line) for line in str(trace).splitlines() if line.startswith(("-", "다음")))


def test_beside_takes_traces_of_as_many_steps() -> None:
    one, other = (elman.trace(elman.LSTM(3, 2), torch.randn(T, 3)) for T in (4, 5))
    with pytest.raises(ValueError, match="that of 'other' has another number"):
        one.label(beside={"one": one, "other": other})
    assert one.label(beside={"one": one}).labels.beside["one"] == tuple(one.sensitivity().by_step.tolist())


@pytest.mark.parametrize("cls", [elman.RNN, elman.GRU, elman.LSTM])
@pytest.mark.parametrize("name", ["zoneout", "recurrent_dropout"])
def test_dropout_over_time_is_refused(cls, name) -> None:
    with pytest.raises(TypeError, match=f"this one has {name}"):
        elman.trace(cls(3, 2, **{name: 0.25}), torch.randn(4, 5, 3))


def test_hx_is_a_pair_for_an_lstm() -> None:
    lstm, x = elman.LSTM(3, 2), torch.randn(4, 5, 3)
    with pytest.raises((TypeError, RuntimeError, IndexError)):
        elman.trace(lstm, x, torch.zeros(1, 5, 2))
    with pytest.raises(RuntimeError, match=r"Expected hidden\[1\] size"):
        elman.trace(lstm, x, (torch.zeros(1, 5, 2), torch.zeros(1, 5, 3)))
