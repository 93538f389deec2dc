"""Starts of whole layers."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.parametrizations import orthogonal

import elman
from elman import DalesLaw, LowRank, echo_state_, identity_, spectral_radius


def test_eigenvalues_are_asked_for_once_where_no_parametrization_changes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are most of the time that a large reservoir takes to start."""
    found, eigvals = [], torch.linalg.eigvals
    monkeypatch.setattr(torch.linalg, "eigvals", lambda matrix: found.append(matrix.shape) or eigvals(matrix))
    echo_state_(elman.RNN(2, 20, num_layers=2))
    assert found == [(20, 20)] * 2


def test_a_reservoir_has_its_radius_and_density() -> None:
    layer = echo_state_(
        elman.RNN(3, 200, num_layers=2, bidirectional=True),
        radius=1.1,
        density=0.05,
        input_scale=0.5,
        bias_scale=0.1,
        generator=torch.Generator().manual_seed(1),
    )
    for name, weight in layer.named_parameters():
        values = weight.detach().numpy()
        if "weight_hh" in name:
            assert np.abs(np.linalg.eigvals(values.astype(np.float64))).max() == pytest.approx(1.1, rel=1e-5)
            assert 0.03 < (values != 0).mean() < 0.07
        else:
            scale = {"weight_ih": 0.5, "bias_ih": 0.1, "bias_hh": 0.0}[name.partition("_l")[0]]
            assert np.abs(values).max() <= scale
            assert not scale or np.abs(values).max() > 0.9 * scale


def test_a_generator_gives_the_same_reservoir_again() -> None:
    one, other = (echo_state_(elman.RNN(2, 20), generator=torch.Generator().manual_seed(3)) for _ in range(2))
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_the_radius_is_that_of_the_constrained_weight() -> None:
    layer = elman.RNN(2, 50)
    parametrize.register_parametrization(layer, "weight_hh_l0", DalesLaw(50))
    echo_state_(layer, radius=0.7, density=1.0)
    weight = layer.weight_hh_l0.detach()
    assert weight.sum().abs() < 0.2 * weight.abs().sum()  # inhibition is as strong as excitation
    assert spectral_radius(weight) == pytest.approx(0.7, rel=1e-5)
    assert (weight[:, :40] >= 0).all()
    assert (weight[:, 40:] <= 0).all()


def test_an_irnn_keeps_its_state() -> None:
    layer = identity_(elman.RNN(2, 5, nonlinearity="relu"), scale=0.5, input_std=0.0)
    state = torch.rand(1, 1, 5)
    output, _ = layer(torch.randn(3, 1, 2), state)
    torch.testing.assert_close(output, state * torch.tensor([0.5, 0.25, 0.125]).reshape(3, 1, 1))
    assert identity_(nn.RNN(300, 200), input_std=0.01).weight_ih_l0.std().item() == pytest.approx(0.01, rel=0.05)


def constrained(by: nn.Module) -> elman.RNN:
    layer = elman.RNN(2, 5)
    parametrize.register_parametrization(layer, "weight_hh_l0", by)
    return layer


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: echo_state_(elman.GRU(2, 5)), "GRU has gates"),
        (lambda: identity_(elman.LSTM(2, 5)), "LSTM has gates"),
        (lambda: echo_state_(elman.RNN(2, 5), radius=0), "radius"),
        (lambda: echo_state_(elman.RNN(2, 5), density=1.5), "share"),
        (lambda: echo_state_(elman.RNN(2, 1), density=1e-9), "no eigenvalue but 0"),
        (lambda: echo_state_(elman.RNN(2, 5), radius=math.inf), "finite"),
        (lambda: echo_state_(orthogonal(elman.RNN(2, 5), "weight_hh_l0"), radius=0.5, density=1.0), "keep a scale"),
        (lambda: echo_state_(prune.random_unstructured(elman.RNN(2, 5), "weight_hh_l0", 0.5)), "a hook"),
        (lambda: identity_(constrained(DalesLaw(5))), "keep the identity"),
        (lambda: identity_(constrained(LowRank(2))), "keep the identity"),
    ],
)
def test_what_cannot_be(make: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()  # type: ignore[operator]
