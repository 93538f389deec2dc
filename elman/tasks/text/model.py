"""A model of the character that comes next."""

from typing import Protocol

from torch import Tensor, nn

from elman import RNN
from elman.tasks.settings import TextSettings
from elman.tasks.training.modules import SteadyDropout, start_orthogonal


class Layer(Protocol):
    """A class with the constructor of torch.nn.RNN."""

    def __call__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, *, dropout: float = 0.0
    ) -> nn.Module: ...


class CharacterModel(nn.Module):
    """p(next character | characters so far): embedding, recurrent layer, linear.

    Args:
        size: characters in the vocabulary, V.
        settings: sizes, layers and dropout.
        layer: the recurrent layer's class; its weight_hh start orthogonal.
    """

    def __init__(self, size: int, settings: TextSettings, layer: Layer | None = None) -> None:
        super().__init__()
        layer = layer or RNN
        between = settings.dropout if settings.layers > 1 else 0.0
        self.embedding = nn.Embedding(size, settings.embedding_size)
        self.rnn = layer(settings.embedding_size, settings.hidden_size, settings.layers, dropout=between)
        self.dropout = SteadyDropout(settings.dropout)
        self.linear = nn.Linear(settings.hidden_size, size)
        start_orthogonal(self.rnn)

    def forward(
        self,
        ids: Tensor,  # (T, N)
        h0: Tensor,  # (L, N, H)
    ) -> tuple[Tensor, Tensor]:
        """Returns the logits of each next character, (T, N, V), and the state, (L, N, H)."""
        output, h = self.rnn(self.dropout(self.embedding(ids)), h0)
        return self.linear(self.dropout(output)), h
