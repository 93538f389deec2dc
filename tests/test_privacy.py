"""Per-sample gradients as privacy libraries take them: Opacus (in the extra `ecosystem`), torch's expanded weights."""

from typing import Any

import pytest
import torch
from cases import assert_same
from torch import Tensor, nn
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads

import elman

DTYPE = torch.float64
N, T, I, H = 6, 5, 3, 4


class Encoder(elman.RNN):
    """The layer as Opacus takes one that it has no rule for: it returns one tensor."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input)[0]


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = Encoder(I, H, 2, batch_first=True, bidirectional=True, dtype=DTYPE)
        self.head = nn.Linear(2 * H, 2, dtype=DTYPE)

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.rnn(input).mean(1))


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(N, T, I, dtype=DTYPE, generator=generator), torch.arange(N) % 2


def gradients_by_loop(model: nn.Module) -> dict[str, Tensor]:
    """The gradient of each sample's own loss, one backward pass after the other."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    each = []
    for x, y in zip(*data(), strict=True):
        loss = nn.functional.cross_entropy(model(x[None]), y[None])
        each.append(torch.autograd.grad(loss, parameters))
    return {name: torch.stack(parts) for name, parts in zip(names, zip(*each, strict=True), strict=True)}


@pytest.mark.filterwarnings("ignore")  # Opacus' own
@pytest.mark.parametrize("mode", ["hooks", "functorch"])
def test_opacus_finds_the_gradients_of_a_loop(mode: str) -> None:
    wrap_model = pytest.importorskip("opacus.grad_sample.utils").wrap_model
    model = Classifier()
    expected = gradients_by_loop(model)
    wrapped = wrap_model(model, grad_sample_mode=mode, batch_first=True)
    input, target = data()
    nn.functional.cross_entropy(wrapped(input), target).backward()
    assert_same({name: p.grad_sample for name, p in model.named_parameters()}, expected)


@pytest.mark.filterwarnings("ignore")
def test_opacus_steps_along_the_clipped_gradients() -> None:
    """DP-SGD without noise, beside the same by hand: each sample's gradient is clipped, then all are averaged."""
    opacus = pytest.importorskip("opacus")
    bound, rate = 0.3, 0.5
    model, by_hand = Classifier(), Classifier()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data()), batch_size=N)
    optimiser = torch.optim.SGD(model.parameters(), rate)
    private, optimiser, loader = opacus.PrivacyEngine().make_private(
        module=model,
        optimizer=optimiser,
        data_loader=loader,
        noise_multiplier=0.0,
        max_grad_norm=bound,
        poisson_sampling=False,
    )
    for input, target in loader:
        nn.functional.cross_entropy(private(input), target).backward()
        optimiser.step()
    each = gradients_by_loop(by_hand)
    norms = torch.stack([g.flatten(1).square().sum(1) for g in each.values()]).sum(0).sqrt()
    assert (norms > bound).any()
    factors = (bound / (norms + 1e-6)).clamp(max=1)  # Opacus adds this number
    with torch.no_grad():
        for name, p in by_hand.named_parameters():
            p -= rate * torch.tensordot(factors, each[name], 1) / N
    assert_same(dict(model.named_parameters()), dict(by_hand.named_parameters()))


@pytest.mark.parametrize("call", ["plain", "hx", "packed"])
@pytest.mark.parametrize(
    "arguments", [{}, dict(num_layers=2, bidirectional=True), dict(batch_first=True, nonlinearity="relu", bias=False)]
)
def test_expanded_weights_give_torchs_gradients(arguments: dict[str, Any], call: str) -> None:
    """torch's own per-sample gradients, by a subclass of Tensor that answers only a few questions."""
    results = []
    for cls in (elman.RNN, nn.RNN):
        torch.manual_seed(0)
        layer = cls(I, H, dtype=DTYPE, **arguments)
        input, _ = data()
        input = input if layer.batch_first else input.transpose(0, 1)
        given: tuple[Any, ...] = (input,)
        if call == "hx":
            given = (input, torch.ones(layer.num_layers * (1 + layer.bidirectional), N, H, dtype=DTYPE))
        elif call == "packed":
            lengths = torch.tensor([5, 5, 4, 3, 2, 1])
            given = (nn.utils.rnn.pack_padded_sequence(input, lengths, batch_first=layer.batch_first),)
        per_sample = call_for_per_sample_grads(layer, batch_size=N, batch_first=layer.batch_first)
        output, h_n = per_sample(*given)
        (output[0].sin().sum() + h_n.cos().sum()).backward()
        results.append({name: p.grad_sample for name, p in layer.named_parameters()})
    assert_same(*results)
