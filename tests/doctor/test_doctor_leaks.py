"""Leaks that are stuck, noise that drowns the rest, and weights that break Dale's law."""

import pytest
import torch
from collected import C, H, I, Of, numbers
from test_doctor_language import assert_korean
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

import elman
from elman.explain._report import Report

FORMS = pytest.mark.parametrize("form", ["activation", "potential"])
OURS = {"stuck-leak", "loud-noise", "broken-signs"}


def tagger(layer: nn.Module, hidden: int = H) -> nn.Module:
    return Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=layer, fc=nn.Linear(hidden, C))


def only(report: Report, code: str):
    (finding,) = [finding for finding in report.findings if finding.code in OURS]
    assert finding.code == code
    assert finding.where == "rnn"
    return finding


# Leaks


@FORMS
def test_a_leak_near_zero_is_found(form) -> None:
    """A time constant in the wrong unit: four of six units."""
    leak = [2e-5, 2e-5, 0.2, 2e-5, 2e-5, 0.5]
    report = elman.doctor(tagger(elman.LeakyRNN(I, H, batch_first=True, form=form, leak=leak)), numbers(), lang="en")
    finding = only(report, "stuck-leak")
    said = "The leak of 4 of the 6 units of 'rnn' (LeakyRNN) is stuck at 0: the state never changes."
    assert finding.sentence == said
    assert finding.evidence.startswith("units 0, 1, 3 and 4: α is at most 2e-05, and over the whole input the state")
    assert "leak_logit" not in finding.mend


@pytest.mark.parametrize(("logit", "at"), [(-12.0, "0: the state never changes"), (14.0, "1: nothing is kept")])
def test_a_learned_leak_that_is_saturated_is_found(logit, at) -> None:
    layer = elman.LeakyRNN(I, H, batch_first=True, learn_leak=True)
    nn.init.constant_(layer.leak_logit, logit)
    finding = only(elman.doctor(tagger(layer), numbers(), lang="en"), "stuck-leak")
    assert f"is stuck at {at}" in finding.sentence
    assert "next to no gradient changes that" in finding.sentence
    assert "leak_logit" in finding.mend


def test_the_leak_of_the_call_counts() -> None:
    """A sampling interval of nothing is given with every call, and a slow layer that reads long enough does move."""
    given = Of(
        lambda self, x: self.fc(self.rnn(x, leak=torch.zeros(x.shape[1], 1))[0]),
        rnn=elman.LeakyRNN(I, H, batch_first=True),
        fc=nn.Linear(H, C),
    )
    assert only(elman.doctor(given, numbers(), lang="en"), "stuck-leak")
    slow = tagger(elman.LeakyRNN(I, H, batch_first=True, leak=9e-5))
    assert "stuck-leak" in elman.doctor(slow, numbers(2, 50)).codes
    assert "stuck-leak" not in elman.doctor(slow, numbers(2, 200)).codes


@FORMS
@pytest.mark.parametrize("leak", [0.002, 0.2, 1.0])
def test_leaks_that_are_used_are_no_finding(form, leak) -> None:
    learned = leak < 1
    layer = elman.LeakyRNN(I, H, batch_first=True, form=form, leak=leak, learn_leak=learned)
    assert not OURS & set(elman.doctor(tagger(layer), numbers()).codes)


def looped(cell: nn.Module) -> nn.Module:
    def forward(self, x: Tensor) -> Tensor:
        state, states = None, []
        for x_t in x.unbind(1):
            state = self.rnn(x_t, state)
            states.append(state)
        return self.fc(torch.stack(states, 1))

    return Of(forward, rnn=cell, fc=nn.Linear(H, C))


@FORMS
@pytest.mark.parametrize(
    "trouble", [{"leak": [2e-5, 2e-5, 0.2, 2e-5, 2e-5, 0.5]}, {"noise": 4.0}], ids=["leak", "noise"]
)
def test_a_loop_over_a_leaky_cell_is_told_what_the_layer_is(form, trouble) -> None:
    layer = elman.LeakyRNN(I, H, batch_first=True, form=form, nonlinearity="softplus", **trouble)
    cell = elman.LeakyRNNCell(I, H, form=form, nonlinearity="softplus", **trouble)
    with torch.no_grad():
        for name, parameter in cell.named_parameters():
            parameter.copy_(getattr(layer, f"{name}_l0"))
    x, code = numbers(), "stuck-leak" if "leak" in trouble else "loud-noise"
    of_cell = only(elman.doctor(looped(cell), x, lang="en"), code)
    of_layer = only(elman.doctor(tagger(layer), x, lang="en"), code)
    assert of_cell.evidence == of_layer.evidence
    assert of_cell.sentence == of_layer.sentence.replace("(LeakyRNN)", "(LeakyRNNCell)")
    assert not OURS & set(elman.doctor(looped(elman.LeakyRNNCell(I, H, form=form)), x).codes)


# Noise


@FORMS
def test_noise_larger_than_what_is_given_is_found(form) -> None:
    layer = elman.LeakyRNN(I, H, batch_first=True, form=form, noise=4.0)
    finding = only(elman.doctor(tagger(layer), numbers(), lang="en"), "loud-noise")
    assert "(noise=4), that of the pre-activations without it" in finding.evidence


@FORMS
@pytest.mark.parametrize("leak", [0.01, 0.2, 1.0])
def test_noise_as_it_is_used_is_no_finding(form, leak) -> None:
    """0.05 and 0.15 are those of the field's papers."""
    for noise in (0.05, 0.15):
        layer = elman.LeakyRNN(I, H, batch_first=True, form=form, leak=leak, noise=noise)
        elman.doctor(tagger(layer), numbers()).raise_if_bad()
        assert layer.noise == noise


# Signs


def obeying(layer: nn.Module) -> nn.Module:
    """Its W_hh, without a parametrization, as Dale's law has it: four fifths of the units excite."""
    size = layer.hidden_size
    signs = torch.where(torch.arange(size) < round(0.8 * size), 1.0, -1.0)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(layer.weight_hh_l0.abs() * signs)
    return layer


@pytest.mark.parametrize("cls", [elman.LeakyRNN, nn.RNN, elman.GRU])
def test_signs_broken_by_a_step_of_an_optimizer_are_found(cls) -> None:
    layer = obeying(cls(I, 20, batch_first=True))
    model = tagger(layer, 20)
    assert "broken-signs" not in elman.doctor(model, numbers()).codes
    optimizer = torch.optim.SGD([layer.weight_hh_l0], 0.01)
    layer.weight_hh_l0.grad = torch.randn_like(layer.weight_hh_l0)
    optimizer.step()
    wrong = int((layer.weight_hh_l0[:, :16] < 0).sum() + (layer.weight_hh_l0[:, 16:] > 0).sum())
    finding = only(elman.doctor(model, numbers(), lang="en"), "broken-signs")
    assert f"breaks Dale's law: {wrong} of its {layer.weight_hh_l0.numel()} weights" in finding.sentence
    assert "16 units excite and 4 inhibit" in finding.evidence


def test_a_law_that_another_parametrization_undoes_is_found() -> None:
    """Whatever the share of the wrong signs: the law says which sign each unit has."""
    layer = elman.LeakyRNN(I, 10, batch_first=True)
    register_parametrization(layer, "weight_hh_l0", elman.DalesLaw(10, 0.5))
    assert "broken-signs" not in elman.doctor(tagger(layer, 10), numbers()).codes
    register_parametrization(layer, "weight_hh_l0", Of(lambda self, weight: weight - 0.1))
    assert only(elman.doctor(tagger(layer, 10), numbers(), lang="en"), "broken-signs")


def trained(layer: nn.Module) -> nn.Module:
    """Some steps that teach a sum over time."""
    head, x = nn.Linear(layer.hidden_size, 1), numbers(16, 12)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], 0.02)
    for _ in range(30):
        optimizer.zero_grad()
        (head(layer(x)[0]) - x.sum(-1, keepdim=True).cumsum(1)).square().mean().backward()
        optimizer.step()
    return layer


def with_start(layer: nn.Module, start, *args: object) -> nn.Module:
    start(layer, *args)
    return layer


ORDINARY = {
    "torch's start": lambda: nn.RNN(I, 32, batch_first=True),
    "trained": lambda: trained(elman.LeakyRNN(I, 32, batch_first=True, learn_leak=True, noise=0.05)),
    "trained relu": lambda: trained(elman.RNN(I, 32, batch_first=True, nonlinearity="relu")),
    "IRNN": lambda: trained(with_start(elman.RNN(I, 32, batch_first=True, nonlinearity="relu"), elman.identity_)),
    "echo state": lambda: with_start(elman.LeakyRNN(I, 40, batch_first=True), elman.echo_state_),
    "two": lambda: elman.RNN(I, 2, batch_first=True),
    "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.RNN(I, 32, batch_first=True), "weight_hh_l0"),
    "softplus": lambda: elman.LeakyRNN(I, 32, batch_first=True, nonlinearity="softplus", form="potential"),
}


@pytest.mark.parametrize("make", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_layers_have_no_such_finding(make) -> None:
    torch.manual_seed(0)
    layer = make()
    codes = set(elman.doctor(tagger(layer, layer.hidden_size), numbers(8, 20)).codes)
    assert not (OURS | {"saturated-units", "dead-units"}) & codes


def test_findings_in_korean() -> None:
    learned = elman.LeakyRNN(I, H, batch_first=True, learn_leak=True, noise=5.0)
    for logit in (-12.0, 14.0):
        nn.init.constant_(learned.leak_logit, logit)
        report = elman.doctor(tagger(learned), numbers(), lang="ko")
        assert {"stuck-leak", "loud-noise"} <= set(report.codes)
        assert_korean(report)
    layer = obeying(elman.LeakyRNN(I, 20, batch_first=True))
    with torch.no_grad():
        layer.weight_hh_l0[1, 2] *= -1
    report = elman.doctor(tagger(layer, 20), numbers(), lang="ko")
    assert "broken-signs" in report.codes
    assert_korean(report)


def test_layers_that_cannot_be_traced_are_said_to_be_unchecked() -> None:
    report = elman.doctor(tagger(elman.LeakyRNN(I, H, batch_first=True, zoneout=0.1)), numbers(), lang="en")
    assert dict(report.unchecked)["leak and noise"] == (
        "no LeakyRNN or LeakyRNNCell of real numbers, without dropout over time, inside"
    )


def test_packed_input_is_examined() -> None:
    layer = elman.LeakyRNN(I, H, leak=1e-5)
    packed = Of(lambda self, x: self.fc(self.rnn(_packed(x))[1][-1]), rnn=layer, fc=nn.Linear(H, C))
    assert only(elman.doctor(packed, numbers(), lang="en"), "stuck-leak")


def _packed(x: Tensor) -> nn.utils.rnn.PackedSequence:
    return nn.utils.rnn.pack_padded_sequence(x, [x.shape[1]] * len(x), batch_first=True)
