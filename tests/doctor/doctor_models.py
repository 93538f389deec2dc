"""Models that the doctor is tried on: right ones, and the same with one mistake each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman

KINDS = {"nn.RNN": nn.RNN, "nn.GRU": nn.GRU, "nn.LSTM": nn.LSTM, "elman.RNN": elman.RNN}
I, H, C = 4, 6, 3
N, T = 5, 7
LENGTHS = [7, 3, 5, 1, 4]
IDS = torch.randint(1, 11, (N, T), generator=torch.Generator().manual_seed(1))  # words, none of which is 0
CELLS = {"RNN": nn.RNNCell, "GRU": nn.GRUCell, "LSTM": nn.LSTMCell, "elman": elman.RNNCell}
Layer = Callable[..., nn.Module]

kinds = pytest.mark.parametrize("kind", KINDS)
stacks = pytest.mark.parametrize(
    "stack",
    [dict(num_layers=layers, bidirectional=both) for layers in (1, 2) for both in (False, True)],
    ids=["one layer", "two directions", "two layers", "two of both"],
)


def hidden(state: Any) -> Tensor:
    """h_n of any recurrent layer."""
    return state[0] if isinstance(state, tuple) else state


class Tagger(nn.Module):
    """An output for every step."""

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__()
        self.rnn = layer(I, H, **options)
        self.fc = nn.Linear(H * (2 if self.rnn.bidirectional else 1), C)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0])


class Classifier(Tagger):
    """One output a sequence; `read` takes it from the layer's output and h_n."""

    def __init__(self, layer: Layer, read: Callable[[Tensor, Tensor], Tensor], width: int = H, **options: Any) -> None:
        super().__init__(layer, **options)
        self.read = read
        self.fc = nn.Linear(width, C)

    def forward(self, x: Tensor) -> Tensor:
        output, state = self.rnn(x)
        return self.fc(self.read(output, hidden(state)))


class Last(Classifier):
    """The last step of the output, or of each sequence where lengths are given."""

    def __init__(self, kind: str, **options: Any) -> None:
        width = H * (2 if options.get("bidirectional") else 1)
        super().__init__(KINDS[kind], lambda output, h: output[:, -1], width, batch_first=True, **options)

    def forward(self, x: Tensor, ends: Tensor | None = None) -> Tensor:
        return super().forward(x) if ends is None else self.fc(self.rnn(x)[0][torch.arange(len(x)), ends - 1])


class Words(nn.Module):
    """Ids in, logits of each next id out, as (batch, time, V) or flattened as (batch * time, V)."""

    def __init__(self, layer: Layer, flatten: bool = False, padding_idx: int | None = None, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, I, padding_idx=padding_idx)
        self.rnn = layer(I, H, **options)
        self.fc = nn.Linear(H, 11)
        self.flatten = flatten

    def forward(self, ids: Tensor) -> Tensor:
        logits = self.fc(self.rnn(self.embedding(ids))[0])
        return logits.flatten(0, 1) if self.flatten else logits


class Attention(Tagger):
    """Learned weights over all steps, the padded ones masked where lengths are given."""

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(layer, batch_first=True, **options)
        self.score = nn.Linear(self.fc.in_features, 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
        if lengths is None:
            output, _ = self.rnn(x)
            score = self.score(output)
        else:
            packed = pack_padded_sequence(x, torch.as_tensor(lengths), batch_first=True, enforce_sorted=False)
            output, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
            past = torch.arange(x.shape[1]) >= torch.as_tensor(lengths)[:, None]
            score = self.score(output).masked_fill(past[..., None], -torch.inf)
        weights = score.softmax(1)
        return {"logits": self.fc((weights * output).sum(1)), "weights": weights}


class Packed(Classifier):
    """Packs with the lengths it is given, and takes the state at each sequence's end."""

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(layer, lambda output, h: h[-1], batch_first=True, **options)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, torch.as_tensor(lengths), batch_first=True, enforce_sorted=False)
        _, state = self.rnn(packed)
        return self.fc(hidden(state)[-1])


class Stateful(Tagger):
    """Goes on from the state of the last call, with or without a way to start anew."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer, batch_first=True)
        self.state: Any = None

    def forward(self, x: Tensor) -> Tensor:
        output, state = self.rnn(x, self.state)
        self.state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        return self.fc(output)


class StatefulByDesign(Stateful):
    def reset(self) -> None:
        self.state = None


class Cells(nn.Module):
    """A loop over a cell, over the right axis of (batch, time, feature) or over the wrong one."""

    def __init__(self, cell: Layer, axis: int = 1) -> None:
        super().__init__()
        self.cell = cell(I, H)
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        state, outputs = None, []
        for x_t in x.unbind(self.axis):
            state = self.cell(x_t, state)
            outputs.append(hidden(state))
        return torch.stack(outputs, self.axis)


class ByHand(nn.Module):
    """The recurrence of many tutorials: one linear layer on input and state side by side."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.i2h = nn.Linear(I + H, H)
        self.h2o = nn.Linear(H, C)
        with torch.no_grad():
            self.i2h.weight[:, I:] *= scale

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], H)
        for x_t in x.unbind(1):
            h = torch.tanh(self.i2h(torch.cat([x_t, h], 1)))
        return self.h2o(h)


@dataclass
class Answer:
    logits: Tensor
    states: tuple[Tensor, ...]


class Answering(Tagger):
    """Returns a dataclass that holds a tuple."""

    def forward(self, x: Tensor) -> Answer:
        output, state = self.rnn(x)
        return Answer(self.fc(output), (hidden(state),))


class Normed(Tagger):
    """Batch norm over the features, dropout, and a recurrent layer between."""

    def __init__(self, layer: Layer, **norm: Any) -> None:
        super().__init__(layer, batch_first=True, num_layers=2, dropout=0.5)
        self.norm = nn.BatchNorm1d(I, **norm)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.dropout(self.rnn(self.norm(x.transpose(1, 2)).transpose(1, 2))[0]))
