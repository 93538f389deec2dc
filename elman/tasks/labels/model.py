"""A model of the label that a sequence has: characters, words or numbers in, one of K labels out."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elman.tasks.settings import LabelsSettings
from elman.tasks.training.modules import SteadyDropout, as_parts, recurrent_layer, start_orthogonal


class LabelsModel(nn.Module):
    """p(label | sequence): embedding or one-hot or scaled numbers, recurrent layer, what is kept of its states, linear.

    The last state of the forward direction is the one at the sequence's own end, that of the reverse direction the one
    at its start: h_n, not `output[-1]`. Beside it, with `pooling` "all", the mean and the largest value of each unit
    over the sequence's own steps. Source: Howard and Ruder, "Universal language model fine-tuning for text
    classification", 2018 (concat pooling).

    Args:
        labels: how many there are, K.
        settings: sizes, layers, directions and dropout.
        tokens: how many there are, the unknown one included; or None for sequences of numbers.
        mean: of each feature of numbers, (F,).
        std: likewise, the standard deviation.
        layer: the recurrent layer's class, elman's for the cell unless given.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        labels: int,
        settings: LabelsSettings,
        *,
        tokens: int | None,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        layer: Any = None,
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.embedding: nn.Embedding | None = None
        if tokens is None:
            self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
            self.register_buffer("std", torch.tensor(std, dtype=torch.float64))
            size = len(self.mean)
        elif settings.one_hot:
            size = tokens
        else:
            self.embedding = nn.Embedding(tokens, settings.embedding_size)
            size = settings.embedding_size
        self.directions = 2 if settings.bidirectional else 1
        self.rnn = recurrent_layer(settings, size, layer=layer, bidirectional=settings.bidirectional)
        self.dropout_in = SteadyDropout(settings.dropout / 2)
        self.dropout = SteadyDropout(settings.dropout)
        self.pooled = settings.pooling == "all"
        self.linear = nn.Linear((3 if self.pooled else 1) * self.directions * settings.hidden_size, labels)
        start_orthogonal(self.rnn)

    def forward(
        self,
        sequences: Tensor,  # (T, N) ids, or (T, N, F) numbers
        lengths: Tensor,  # (N,)
    ) -> Tensor:
        """Returns the logits of the labels, (N, K)."""
        output, state = self.rnn(self.dropout_in(self.embedded(sequences)), lengths=lengths)
        kept = as_parts(state)[0][-self.directions :].transpose(0, 1).flatten(1)  # (N, D H)
        if self.pooled:
            there = torch.arange(len(output), device=lengths.device)[:, None, None] < lengths[:, None]  # (T, N, 1)
            mean = output.sum(0) / lengths[:, None]  # output is zero past an end
            kept = torch.cat([kept, mean, output.masked_fill(~there, -torch.inf).amax(0)], dim=1)
        return cast(Tensor, self.linear(self.dropout(kept[None])[0]))

    def embedded(self, sequences: Tensor) -> Tensor:
        """What the recurrent layer reads, (T, N, I), of ids (T, N) or numbers (T, N, F)."""
        if self.tokens is None:
            return ((sequences - self.mean) / self.std).to(self.linear.weight.dtype)  # in float64 up to here
        if self.embedding is None:
            return F.one_hot(sequences, self.tokens).to(self.linear.weight.dtype)
        return cast(Tensor, self.embedding(sequences))
