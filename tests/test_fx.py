"""torch.fx: the layers are one node each in a traced model, as torch's are."""

import copy
from types import ModuleType

import pytest
import torch
from cases import assert_same
from torch import Tensor, nn
from torch.fx import symbolic_trace

import elman


class Model(nn.Module):
    def __init__(self, home: ModuleType) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inside = nn.Sequential(home.RNN(3, 8, 2), nn.Identity())
        self.cell = home.RNNCell(8, 4)
        self.gru, self.lstm = home.GRU(8, 8), home.LSTM(8, 8, proj_size=5)
        self.gru_cell, self.lstm_cell = home.GRUCell(5, 4), home.LSTMCell(4, 4)

    def forward(self, x: Tensor, h: Tensor, short: Tensor) -> Tensor:
        output, h_n = self.inside[0](x, h)
        again, _ = self.inside[0](x)
        output, h = self.gru(output, h_n[:1])
        projected, (h, c) = self.lstm(output, (h[..., :5], h))
        h, c = self.lstm_cell(self.gru_cell(projected[-1]), (c[0, :, :4], c[0, :, 4:]))
        again = again + h.sum() + c.sum()
        return self.cell(self.inside(x)[0][-1], self.cell(output[-1] + again[0])) + h_n.sum() + short.sum()


def test_a_model_is_traced_as_with_torchs_layers() -> None:
    torch.manual_seed(1)
    x, h, short = torch.randn(5, 4, 3), torch.randn(2, 4, 8), torch.tensor([2, 5, 1, 0])
    calls, results = [], []
    for home in (elman, nn):
        model = Model(home)
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


def test_a_pair_of_states_may_come_from_outside() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.cell = elman.LSTM(3, 8), elman.LSTMCell(3, 8)

        def forward(self, x: Tensor, hx: tuple[Tensor, Tensor], first: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return self.lstm(x, hx)[0], self.cell(x[0], first)[1]

    model, hx = Encoder(), torch.randn(2, 1, 2, 8).unbind()
    given = torch.randn(5, 2, 3), hx, tuple(state[0] for state in hx)
    torch.testing.assert_close(symbolic_trace(model)(*given), model(*given))


@pytest.mark.parametrize("name", ["RNN", "RNNCell", "GRU", "GRUCell", "LSTM", "LSTMCell"])
def test_a_layer_itself_has_no_graph_inside(name: str) -> None:
    layer = getattr(elman, name)(3, 8)
    with pytest.raises(torch.fx.proxy.TraceError, match="Trace a module that holds it"):
        symbolic_trace(layer)
