"""trace of LeakyRNN: every term beside a loop over time in float64, with the leak, the drive and the noise drawn."""

import re

import drawn
import pytest
import torch
from test_trace import korean
from torch import Tensor, nn
from torch.nn import functional as F

import elman

FORMS = pytest.mark.parametrize("form", ["activation", "potential"])
FUNCTIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "retanh": lambda a: torch.tanh(a).clamp_min(0),
}


def same(found: Tensor, expected: Tensor, what: str) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12, msg=lambda text: f"{what}: {text}")


def check(trace, layer, lengths: list[int], start: Tensor, leak: Tensor, drive: Tensor) -> None:
    """Every number of a trace; leak and drive are (L * D, T, N, H)."""
    f = FUNCTIONS[layer.nonlinearity]
    potential, D, H = layer.form == "potential", 2 if layer.bidirectional else 1, layer.hidden_size
    for n, length in enumerate(lengths):
        below = trace.x[:length, n]
        for number in range(layer.num_layers):
            above = torch.zeros(length, D * H, dtype=torch.float64)
            for d in range(D):
                w_ih, w_hh, b_ih, b_hh = (w.detach() for w in layer.all_weights[number * D + d])
                row, state = number * D + d, start[number * D + d, n]
                for t in reversed(range(length)) if d else range(length):
                    at, h = (number, d, t, n), f(state) if potential else state
                    a = w_ih @ below[t] + b_ih + w_hh @ h + b_hh + drive[row, t, n]
                    alpha = leak[row, t, n]
                    same(trace.before[at], h, "before")
                    same(trace.input_term[at], w_ih @ below[t], "input term")
                    same(trace.recurrent_term[at], w_hh @ h, "recurrent term")
                    same(trace.pre_activation[at], a, "pre-activation")
                    same(trace.gate("a" if potential else "n")[at], a if potential else f(a), "gate")
                    state = (1 - alpha) * state + alpha * (a if potential else f(a))
                    same(trace.hidden[at], f(state) if potential else state, "hidden")
                    if potential:
                        same(trace.v[at], state, "v")
                    above[t, d * H : d * H + H] = trace.hidden[at]
            below = above


@pytest.mark.parametrize("nonlinearity", FUNCTIONS)
@FORMS
def test_every_term_is_that_of_a_loop_over_time(form, nonlinearity) -> None:
    layer = elman.LeakyRNN(3, 4, 2, nonlinearity, bidirectional=True, dtype=torch.float64, form=form, noise=0.3)
    x, start = torch.randn(5, 3, 3, dtype=torch.float64), torch.randn(4, 3, 4, dtype=torch.float64)
    leak, drive = torch.rand(5, 3, 4, dtype=torch.float64), torch.randn(5, 3, 1, dtype=torch.float64)
    lengths = [5, 2, 4]
    torch.manual_seed(3)
    trace = elman.trace(layer, x, start, lengths=lengths, leak=leak, drive=drive)
    torch.manual_seed(3)
    noise = 0.3 * drawn.normal(4, 5, 3, 4)
    scaled = noise * (2 / leak).sqrt() if form == "potential" else noise
    there = trace.there[:, :, None]
    same(trace.drive.flatten(0, 1) * there, (drive + scaled) * there, "drive")
    check(trace, layer, lengths, start, leak.expand(4, 5, 3, 4), drive + scaled)
    assert trace.difference < 1e-10


@pytest.mark.parametrize("options", [{}, dict(batch_first=True), dict(learn_leak=True)], ids=str)
@FORMS
def test_results_are_those_of_a_call_with_the_same_seed(form, options) -> None:
    """The noise is drawn as in the call, batched or not."""
    layer = elman.LeakyRNN(3, 4, form=form, leak=[0.1, 0.3, 0.5, 0.7], noise=0.3, **options)
    for x in (torch.randn(5, 5, 3), torch.randn(5, 3)):
        torch.manual_seed(5)
        output, last = layer(x)
        torch.manual_seed(5)
        trace = elman.trace(layer, x)
        torch.testing.assert_close(trace.output, output.detach())
        torch.testing.assert_close(trace.v_n if form == "potential" else trace.h_n, last.detach())
        assert trace.difference < 1e-5


@FORMS
def test_at_reads_like_lines_on_paper(form) -> None:
    layer = elman.LeakyRNN(1, 1, form=form, leak=0.25)
    with torch.no_grad():
        for name, value in dict(weight_ih_l0=2.0, weight_hh_l0=0.5, bias_ih_l0=0.125, bias_hh_l0=0.0).items():
            getattr(layer, name).fill_(value)
    x = torch.tensor([[-0.5], [1.0]])
    trace = elman.trace(layer, x, torch.zeros(1, 1), drive=torch.tensor([[1.0], [-0.25]]), lang="en")
    said = str(trace.at(0)).splitlines()
    if form == "activation":
        assert trace.at(0).formula == "h = (1 - α)·h_0[0] + α·n = (1 - 0.25)·0 + 0.25·0.1244 = 0.0311"
        assert "    n = tanh(-1 + 0 + 0.125 + 0 + 1) = tanh(0.125) = 0.1244" in said
    else:
        first = "v = (1 - α)·v_0[0] + α·a = (1 - 0.25)·0 + 0.25·0.125 = 0.0313"
        assert trace.at(0).formula == f"{first}; h = tanh(v) = tanh(0.0313) = 0.0312"
        assert "    a = -1 + 0 + 0.125 + 0 + 1 = 0.125" in said
    assert any(re.fullmatch(r"    drive\[0, 0\] +  = 1", line) for line in said)
    kept = trace.anatomy.kept
    assert f"  α = 0.25 is the leak: 1 - α of {kept} stays, a time constant of 1/α = 4 steps" in said
    assert f"the median leak α = 0.25, {kept} fades with a time constant of 1/α = 4 steps" in str(trace)
    row = trace.table().rows[1]
    assert (row["leak"], row["drive"]) == (0.25, -0.25)
    assert trace.shapes["v_n" if form == "potential" else "h_n"] == {"layer·direction": 1, "feature": 1}


@FORMS
def test_sensitivity_and_radius_are_autograds(form) -> None:
    layer = elman.LeakyRNN(3, 4, form=form, leak=0.3, dtype=torch.float64)
    x, drive = torch.randn(6, 2, 3, dtype=torch.float64), torch.randn(6, 2, 4, dtype=torch.float64)
    found = elman.trace(layer, x, drive=drive).sensitivity(batch=1)
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x, drive=drive)[0][-1, 1], x)[:, :, 1]
    torch.testing.assert_close(found.by_step, jacobian.square().sum((0, 2)).sqrt())
    radii, state, w_hh = [], torch.zeros(1, 2, 4, dtype=torch.float64), layer.weight_hh_l0.detach()
    for t in range(6):

        def step(h: Tensor, t: int = t) -> Tensor:
            return layer(x[t : t + 1], h, drive=drive[t : t + 1])[1]

        own = torch.autograd.functional.jacobian(step, state)[0, 1, :, 0, 1]
        state = step(state).detach()
        if form == "potential":  # what h and v after the step change, when those before it do: f' is that of v after it
            own = 0.7 * torch.eye(4, dtype=torch.float64) + 0.3 * w_hh * (1 - state[0, 1].tanh() ** 2)
        radii.append(torch.linalg.eigvals(own).abs().max())
    assert found.spectral_radius == pytest.approx(torch.stack(radii).median().item())


@FORMS
def test_figures_and_korean(form) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    trace = elman.trace(elman.LeakyRNN(3, 4, 2, form=form, noise=0.1), torch.randn(6, 2, 3), lang="ko")
    for _, reading in (
        trace.plot_network(),
        trace.plot_hidden(of=trace.anatomy.kept),
        trace.plot_hidden(of=trace.anatomy.gates[0].name),
        trace.plot_activations(),
        trace.plot_sensitivity(),
    ):
        assert re.search("[가-힣]", reading)
    plt.close("all")
    with pytest.raises(ValueError, match="no gates"):
        trace.plot_gates()
    assert all(korean(line) for line in str(trace).splitlines() if line.startswith(("-", "다음")))


def test_what_is_refused() -> None:
    x = torch.randn(4, 3)
    with pytest.raises(TypeError, match=r"leak= and drive= are those of an elman\.LeakyRNN, and this is RNN"):
        elman.trace(nn.RNN(3, 2), x, drive=1.0)
    with pytest.raises(TypeError, match="this one has zoneout"):
        elman.trace(elman.LeakyRNN(3, 2, zoneout=0.1), x)
    with pytest.raises(ValueError, match="drive should broadcast"):
        elman.trace(elman.LeakyRNN(3, 2), x, drive=torch.zeros(3, 2))
    with pytest.raises(TypeError, match=r"an elman\.LeakyRNN, got LeakyRNNCell"):
        elman.trace(elman.LeakyRNNCell(3, 2), x)
