"""A model of the character that comes next."""

from typing import Protocol

from torch import Tensor, nn

from elman.tasks.settings import TextSettings
from elman.tasks.training.modules import State, SteadyDropout, recurrent_layer, start_orthogonal


class Layer(Protocol):
    """A class with the constructor of torch.nn.RNN, GRU or LSTM."""

    def __call__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, *, dropout: float = 0.0
    ) -> nn.Module: ...


class CharacterModel(nn.Module):
    """p(next character | characters so far): embedding, recurrent layer, linear.

    Args:
        size: characters in the vocabulary, V.
        settings: sizes, layers and dropout.
        layer: the recurrent layer's class, elman's for the cell unless given.
    """

    def __init__(self, size: int, settings: TextSettings, layer: Layer | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, settings.embedding_size)
        self.rnn = recurrent_layer(settings, settings.embedding_size, layer=layer)
        self.dropout = SteadyDropout(settings.dropout)
        self.linear = nn.Linear(settings.hidden_size, size)
        start_orthogonal(self.rnn)

    def forward(
        self,
        ids: Tensor,  # (T, N)
        state: State | None = None,  # (L, N, H), two of them for an LSTM
    ) -> tuple[Tensor, State]:
        """Returns the logits of each next character, (T, N, V), and the state after them; None begins with zeros."""
        output, state = self.rnn(self.dropout(self.embedding(ids)), state)
        return self.linear(self.dropout(output)), state
