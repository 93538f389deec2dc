"""Per-sample gradients as privacy libraries take them: Opacus (in the extra `ecosystem`), torch's expanded weights."""

from typing import Any

import pytest
import torch
from cases import assert_same, states_of
from torch import Tensor, nn
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads

import elman

DTYPE = torch.float64
N, T, I, H = 6, 5, 3, 4
cells = pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])


def encoder(cls: type, *arguments: Any, **words: Any) -> nn.Module:
    """The layer as Opacus takes one that it has no rule for: it returns one tensor."""

    class Encoder(cls):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input)[0]

    return Encoder(*arguments, **words)


class Classifier(nn.Module):
    def __init__(self, cell: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = encoder(getattr(elman, cell), I, H, 2, batch_first=True, bidirectional=True, dtype=DTYPE)
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
@cells
def test_opacus_finds_the_gradients_of_a_loop(cell: str, mode: str) -> None:
    wrap_model = pytest.importorskip("opacus.grad_sample.utils").wrap_model
    model = Classifier(cell)
    expected = gradients_by_loop(model)
    wrapped = wrap_model(model, grad_sample_mode=mode, batch_first=True)
    input, target = data()
    nn.functional.cross_entropy(wrapped(input), target).backward()
    assert_same({name: p.grad_sample for name, p in model.named_parameters()}, expected)


@pytest.mark.filterwarnings("ignore")
@cells
def test_opacus_steps_along_the_clipped_gradients(cell: str) -> None:
    """DP-SGD without noise, beside the same by hand: each sample's gradient is clipped, then all are averaged."""
    opacus = pytest.importorskip("opacus")
    bound, rate = 0.3, 0.5
    model, by_hand = Classifier(cell), Classifier(cell)
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
@pytest.mark.parametrize("arguments", [{}, dict(num_layers=2, bidirectional=True), dict(batch_first=True, bias=False)])
@cells
def test_expanded_weights_give_the_gradients_of_a_loop(cell: str, arguments: dict[str, Any], call: str) -> None:
    """torch's own per-sample gradients, by a subclass of Tensor that answers only a few questions.

    torch's layer does the same, LSTM apart, and is called here one sample at a time.
    """
    layers = []
    for home in (elman, nn):
        torch.manual_seed(0)
        own = {"nonlinearity": "relu"} if cell == "RNN" and "bias" in arguments else {}
        layers.append(getattr(home, cell)(I, H, dtype=DTYPE, **arguments, **own))
    layer, theirs = layers
    input, time = data()[0], 1
    lengths = torch.tensor([5, 5, 4, 3, 2, 1]) if call == "packed" else torch.full((N,), T)
    states = torch.randn(2, layer.num_layers * (1 + layer.bidirectional), N, H, dtype=DTYPE)
    if not layer.batch_first:
        input, time = input.transpose(0, 1), 0

    def hx_of(rows: slice) -> Any:
        given = tuple(states[:, :, rows])
        return None if call != "hx" else given if cell == "LSTM" else given[0]

    def loss(layer: nn.Module, input: Any, hx: Any) -> Tensor:
        output, last = layer(input, hx)
        rows = output.data if isinstance(output, nn.utils.rnn.PackedSequence) else output
        return rows.sin().sum() + sum(state.cos().sum() for state in states_of(last))

    given = input
    if call == "packed":
        given = nn.utils.rnn.pack_padded_sequence(input, lengths, batch_first=layer.batch_first)
    per_sample = call_for_per_sample_grads(layer, batch_size=N, batch_first=layer.batch_first)
    loss(per_sample, given, hx_of(slice(N))).backward()
    each = []
    for n, length in enumerate(lengths):
        alone = input.narrow(1 - time, n, 1).narrow(time, 0, int(length))
        each.append(torch.autograd.grad(loss(theirs, alone, hx_of(slice(n, n + 1))), list(theirs.parameters())))
    found = [p.grad_sample for p in layer.parameters()]
    torch.testing.assert_close(found, [torch.stack(parts) for parts in zip(*each, strict=True)])
