"""The light Adam: torch's own in every bit, and each reads the other's state."""

import pytest
import torch
from torch import nn

from elman.tasks.training.adam import Adam, clip

LR = [0.1, 0.03, 0.2, 0.01]


def weights() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in [(5, 3), (5, 5), (5,), (1,)]]


def train(parameters: list[nn.Parameter], optimizer, limit, steps: range) -> None:
    """Some steps towards zero, with gradients above the limit of their norm and below it."""
    for step in steps:
        optimizer.param_groups[0]["lr"] = LR[step % len(LR)]
        loss = sum((p**4).sum() for p in parameters) * (0.001 if step % 2 else 1.0)
        loss.backward()
        limit(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()


def torchs(parameters: list[nn.Parameter]) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=LR[0], fused=True)


def test_weights_and_state_are_those_of_torch():
    ours, theirs = weights(), weights()
    light, adam = Adam(ours, LR[0]), torchs(theirs)
    assert light.state_dict()["state"] == adam.state_dict()["state"] == {}
    train(ours, light, clip, range(20))
    train(theirs, adam, nn.utils.clip_grad_norm_, range(20))
    assert not torch.equal(ours[0], weights()[0])
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))
    state, expected = light.state_dict()["state"], adam.state_dict()["state"]
    assert state.keys() == expected.keys()
    for i, tensors in expected.items():
        assert state[i].keys() == tensors.keys()
        assert all(torch.equal(state[i][name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("first", ["light", "torch"])
def test_each_goes_on_from_the_other_ones_state(first):
    makers = [(lambda p: Adam(p, LR[0]), clip), (torchs, nn.utils.clip_grad_norm_)]
    (one, limit), (other, other_limit) = makers if first == "light" else makers[::-1]
    whole, moved = weights(), weights()
    train(whole, one(whole), limit, range(12))
    before = one(moved)
    train(moved, before, limit, range(7))
    after = other(moved)
    after.load_state_dict({**after.state_dict(), "state": before.state_dict()["state"]})
    train(moved, after, other_limit, range(7, 12))
    assert all(torch.equal(p, q) for p, q in zip(whole, moved, strict=True))


def test_clip_limits_the_norm_of_all_gradients_together():
    parameters = weights()
    for parameter, size in zip(parameters, [3.0, 0.0, 4.0, 0.0], strict=True):
        parameter.grad = torch.zeros_like(parameter)
        parameter.grad.view(-1)[0] = size
    clip(parameters, 10.0)
    assert [float(p.grad.norm()) for p in parameters] == [3.0, 0.0, 4.0, 0.0]
    clip(parameters, 1.0)
    assert [float(p.grad.norm()) for p in parameters] == pytest.approx([0.6, 0.0, 0.8, 0.0])
