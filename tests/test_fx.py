"""torch.fx: the layers are one node each in a traced model, as torch's are."""

import copy

import pytest
import torch
from cases import assert_same
from torch import Tensor, nn
from torch.fx import symbolic_trace

import elman


class Model(nn.Module):
    def __init__(self, rnn: type, cell: type) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inside = nn.Sequential(rnn(3, 8, 2), nn.Identity())
        self.cell = cell(8, 4)

    def forward(self, x: Tensor, h: Tensor, short: Tensor) -> Tensor:
        output, h_n = self.inside[0](x, h)
        again, _ = self.inside[0](x)
        return self.cell(self.inside(x)[0][-1], self.cell(output[-1] + again[0])) + h_n.sum() + short.sum()


def test_a_model_is_traced_as_with_torchs_layers() -> None:
    torch.manual_seed(1)
    x, h, short = torch.randn(5, 4, 3), torch.randn(2, 4, 8), torch.tensor([2, 5, 1, 0])
    calls, results = [], []
    for layers in ((elman.RNN, elman.RNNCell), (nn.RNN, nn.RNNCell)):
        model = Model(*layers)
        traced = symbolic_trace(model)
        calls.append([(node.op, node.target) for node in traced.graph.nodes if node.op == "call_module"])
        output = copy.deepcopy(traced)(x, h, short)
        torch.testing.assert_close(output, model(x, h, short), rtol=0, atol=0)
        traced(x, h, short).sin().sum().backward()
        results.append({"output": output} | {name: p.grad for name, p in model.named_parameters()})
    assert calls[0] == calls[1]
    assert_same(*results)


def test_what_is_elmans_own_stays_in_the_graph() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = elman.RNN(3, 8)

        def forward(self, x: Tensor, lengths: Tensor, reset: Tensor) -> Tensor:
            return self.rnn(x, lengths=lengths, reset=reset)[0]

    model = Masked()
    given = torch.randn(5, 2, 3), torch.tensor([5, 2]), torch.eye(5, 2).bool()
    torch.testing.assert_close(symbolic_trace(model)(*given), model(*given))


@pytest.mark.parametrize("layer", [elman.RNN(3, 8), elman.RNNCell(3, 8)], ids=lambda layer: type(layer).__name__)
def test_a_layer_itself_has_no_graph_inside(layer: nn.Module) -> None:
    with pytest.raises(torch.fx.proxy.TraceError, match="Trace a module that holds it"):
        symbolic_trace(layer)
