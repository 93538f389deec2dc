"""Examples of layers with gates: weights set by hand, so that each gate does one thing, and gradients compared."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from elman.explain._lessons import words

if TYPE_CHECKING:
    from torch import Tensor

    from elman.explain._trace import Trace
    from elman.nn.recurrent import Recurrent

# What is to be remembered at the steps where the first number is 1; the second is there at every step.
WRITTEN = {1: 0.8, 8: -0.5}
VALUES = (0.3, 0.8, -0.4, 0.6, -0.7, 0.2, 0.5, -0.3, -0.5, 0.4, 0.7, -0.6)
STEPS = 30
KEEP = 3.0  # the bias of the gate that keeps, of the layers whose gradients are compared


def gru_keeps() -> "Trace":
    """A GRU whose update gate is near 1 but where it is told to write."""
    return _gru(4.0, "gru-keeps")


def gru_forgets() -> "Trace":
    """The same GRU with another bias: its update gate is near 0 at every step."""
    return _gru(-4.0, "gru-forgets")


def lstm_keeps() -> "Trace":
    """An LSTM whose forget gate is 0.982 at every step, and whose input gate opens where it is told to write."""
    import elman

    lstm = elman.LSTM(2, 1)
    _set(lstm, {"i": ((8.0, 0.0), -4.0), "f": ((0.0, 0.0), 4.0), "g": ((0.0, 2.0), 0.0), "o": ((0.0, 0.0), 2.0)})
    return _read(lstm, (*VALUES, *VALUES), "lstm-keeps")


def gradients() -> "Trace":
    """An RNN, a GRU and an LSTM on one input; the page is the LSTM's."""
    import torch

    import elman

    torch.manual_seed(0)
    x = torch.randn(STEPS, 2)
    rnn, gru, lstm = elman.RNN(2, 16), elman.GRU(2, 16), elman.LSTM(2, 16)
    with torch.no_grad():
        for layer in (gru, lstm):  # z and f are the second of the gates
            layer.get_parameter("bias_ih_l0")[16:32] = KEEP
    traces = {type(layer).__name__: elman.trace(layer, x) for layer in (rnn, gru, lstm)}
    return traces["LSTM"].label(beside=traces, **words("gradients"))


def _gru(bias: float, name: str) -> "Trace":
    import elman

    gru = elman.GRU(2, 1)
    _set(gru, {"r": ((0.0, 0.0), 0.0), "z": ((-8.0, 0.0), bias), "n": ((0.0, 2.0), 0.0)})
    return _read(gru, VALUES, name)


def _set(layer: "Recurrent", gates: Mapping[str, tuple[Sequence[float], float]]) -> None:
    """The weights of the input and the bias of each gate of one unit; the state before is read by none of them."""
    import torch

    own = dict(layer.named_parameters())
    with torch.no_grad():
        for row, (weights, bias) in enumerate(gates.values()):
            own["weight_ih_l0"][row] = torch.tensor(weights)
            own["bias_ih_l0"][row] = bias
        own["weight_hh_l0"].zero_()
        own["bias_hh_l0"].zero_()


def _read(layer: "Recurrent", values: Sequence[float], name: str) -> "Trace":
    import torch

    import elman

    x: Tensor = torch.tensor([(float(t in WRITTEN), value) for t, value in enumerate(values)])
    return elman.trace(layer, x).label(
        tokens=["write" if t in WRITTEN else "·" for t in range(len(values))],
        features=["write", "value"],
        translations={"ko": {"write": "쓰기", "value": "값"}},
        **words(name),
    )
