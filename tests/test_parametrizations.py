"""Constraints on W_hh: what they promise, kept while a layer is trained, and torch's layer under them agrees."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import elman
from elman import Connectivity, DalesLaw, LowRank

MASK = torch.arange(64).reshape(8, 8) % 3 > 0
CONSTRAINTS = {
    "dale": lambda: DalesLaw(8, 0.75, self_connections=False),
    "mask": lambda: Connectivity(MASK),
    "rank": lambda: LowRank(2),
}
LAYERS = [(elman.RNN, nn.RNN), (elman.GRU, nn.GRU), (elman.LSTM, nn.LSTM)]


def trained(kind: type[nn.RNNBase], constraint: nn.Module) -> nn.RNNBase:
    torch.manual_seed(0)
    layer = kind(3, 8)
    parametrize.register_parametrization(layer, "weight_hh_l0", constraint)
    optimizer = torch.optim.SGD(layer.parameters(), lr=3.0)  # steps that would break a sign
    x = torch.randn(6, 4, 3)
    for _ in range(5):
        optimizer.zero_grad()
        layer(x)[0].square().mean().neg().backward()
        optimizer.step()
    return layer


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize(("ours", "torchs"), LAYERS, ids=lambda kind: f"{kind.__module__[:5]}.{kind.__name__}")
def test_trained_under_a_constraint_both_layers_end_alike(
    name: str, ours: type[nn.RNNBase], torchs: type[nn.RNNBase]
) -> None:
    one, other = trained(ours, CONSTRAINTS[name]()), trained(torchs, CONSTRAINTS[name]())
    torch.testing.assert_close(one.weight_hh_l0, other.weight_hh_l0, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(dict(one.named_parameters()), dict(other.named_parameters()), atol=1e-4, rtol=1e-4)


def test_dales_law_holds_after_steps_that_would_break_it() -> None:
    weight = trained(elman.GRU, CONSTRAINTS["dale"]()).weight_hh_l0.detach()
    assert (weight[:, :6] >= 0).all()
    assert (weight[:, 6:] <= 0).all()
    assert (weight != 0).sum() == 3 * 8 * 7  # a gate's own diagonal is empty
    assert (weight.reshape(3, 8, 8).diagonal(dim1=1, dim2=2) == 0).all()


def test_a_weight_that_obeys_is_set_as_it_is() -> None:
    layer = elman.RNN(3, 4)
    signs = [1, -1, -1, 1]
    parametrize.register_parametrization(layer, "weight_hh_l0", DalesLaw(4, signs))
    wanted = torch.rand(4, 4) * torch.tensor(signs)
    layer.weight_hh_l0 = wanted
    assert torch.equal(layer.weight_hh_l0, wanted)


def test_no_connection_outside_the_mask() -> None:
    weight = trained(elman.LSTM, CONSTRAINTS["mask"]()).weight_hh_l0.detach()
    assert torch.equal(weight != 0, MASK.repeat(4, 1))


def test_the_rank_and_the_nearest_start() -> None:
    torch.manual_seed(0)
    layer = elman.RNN(3, 8)
    start = layer.weight_hh_l0.detach().clone()
    parametrize.register_parametrization(layer, "weight_hh_l0", LowRank(3))
    left, values, right = torch.linalg.svd(start)
    values[3:] = 0
    torch.testing.assert_close(layer.weight_hh_l0, left @ torch.diag(values) @ right)
    assert torch.linalg.matrix_rank(trained(elman.RNN, LowRank(2)).weight_hh_l0) == 2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: DalesLaw(4, 1.5), "share"),
        (lambda: DalesLaw(4, [1, -1, 1]), r"4 signs.*shape \(3,\)"),
        (lambda: DalesLaw(3, [1, 0, 1]), "other numbers"),
        (lambda: parametrize.register_parametrization(elman.RNN(3, 8), "weight_hh_l0", DalesLaw(4)), "4 signs.*8 col"),
        (
            lambda: parametrize.register_parametrization(
                elman.LSTM(3, 7, proj_size=5), "weight_hh_l0", DalesLaw(5, self_connections=False)
            ),
            "28 rows",
        ),
        (lambda: Connectivity(torch.ones(3)), "matrix"),
        (
            lambda: parametrize.register_parametrization(elman.RNN(3, 8), "weight_hh_l0", Connectivity(MASK[:4])),
            "alike",
        ),
        (lambda: parametrize.register_parametrization(elman.RNN(3, 8), "weight_hh_l0", LowRank(9)), "rank of 9"),
        (lambda: LowRank(0), "at least 1"),
    ],
)
def test_what_cannot_be(make: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()  # type: ignore[operator]
