"""Traces of what tutorials teach about recurrent layers, with what some of them get wrong put right.

No torch at import: the command line's help lists the names.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from elman.explain import _examples_gates as gates
from elman.explain._lessons import words

if TYPE_CHECKING:
    from torch import Tensor

    from elman.explain._trace import Trace

WORDS = ("hello", "eolll", "lleel")
ALPHABET = "helo"
# Sentences that are Korean word by word, too.
SENTENCES = (
    (("this", "film", "is", "great"), "joy"),
    (("this", "film", "is", "sad"), "sorrow"),
    (("this", "film", "is", "awful"), "anger"),
    (("my", "happy", "old", "cat"), "joy"),
    (("my", "crying", "old", "cat"), "sorrow"),
    (("my", "furious", "old", "cat"), "anger"),
)
MOODS = ("joy", "sorrow", "anger")
KOREAN = {
    "this": "이",
    "film": "영화는",
    "is": "정말",
    "great": "좋다",
    "sad": "슬프다",
    "awful": "짜증난다",
    "my": "내",
    "happy": "행복한",
    "crying": "우는",
    "furious": "화난",
    "old": "늙은",
    "cat": "고양이",
    "joy": "기쁨",
    "sorrow": "슬픔",
    "anger": "화남",
}


def shapes() -> "Trace":
    """Two layers with the sizes of torch's own documentation."""
    import torch

    import elman

    torch.manual_seed(0)
    rnn, x, h_0 = elman.RNN(10, 20, 2), torch.randn(5, 3, 10), torch.randn(2, 3, 20)
    return elman.trace(rnn, x, h_0).label(
        **words("shapes"),
    )


def hello() -> "Trace":
    """Three words fed as (batch, time, feature) to a layer that reads (time, batch, feature)."""
    import torch

    import elman

    torch.manual_seed(0)
    tokens = [list(letters) for letters in zip(*WORDS, strict=True)]
    return elman.trace(elman.RNN(4, 2), _one_hot_words()).label(
        tokens=tokens,
        features=list(ALPHABET),
        vocabulary=_one_hot(ALPHABET),
        **words("hello"),
    )


def hello_fixed() -> "Trace":
    """The same words and weights with batch_first=True."""
    import torch

    import elman

    torch.manual_seed(0)
    return elman.trace(elman.RNN(4, 2, batch_first=True), _one_hot_words()).label(
        tokens=[list(word) for word in WORDS],
        features=list(ALPHABET),
        vocabulary=_one_hot(ALPHABET),
        **words("hello-fixed"),
    )


def mood() -> "Trace":
    """Word embeddings, and a hidden state of one number a class, trained for a moment."""
    import torch
    from torch import nn

    import elman

    torch.manual_seed(0)
    vocabulary = sorted({word for sentence, _ in SENTENCES for word in sentence})
    ids = torch.tensor([[vocabulary.index(word) for word in sentence] for sentence, _ in SENTENCES])
    target = torch.tensor([MOODS.index(mood) for _, mood in SENTENCES])
    embedding, rnn = nn.Embedding(len(vocabulary), 8), elman.RNN(8, 3, batch_first=True)
    optimiser = torch.optim.Adam([*embedding.parameters(), *rnn.parameters()], lr=0.05)
    for _ in range(80):
        optimiser.zero_grad()
        _, h_n = rnn(embedding(ids))
        nn.functional.cross_entropy(4 * h_n[0], target).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    head = nn.Linear(3, 3)  # each state is a mood's score as it is, times 4
    with torch.no_grad():
        head.weight.copy_(4 * torch.eye(3))
        head.bias.zero_()
    return elman.trace(rnn, embedding(ids)).label(
        tokens=[list(sentence) for sentence, _ in SENTENCES],
        head=head,
        outcomes=MOODS,
        targets=[[None, None, None, mood] for _, mood in SENTENCES],
        vocabulary=dict(zip(vocabulary, embedding.weight, strict=True)),
        translations={"ko": KOREAN},
        **words("mood"),
    )


def series() -> "Trace":
    """A time series through three layers."""
    import torch
    from torch import nn

    import elman

    torch.manual_seed(0)
    steps = torch.arange(49.0)
    wave = (torch.sin(steps / 4) + 0.3 * torch.sin(steps * 1.7))[:, None]
    rnn, head = elman.RNN(1, 8, num_layers=3), nn.Linear(8, 1)
    optimiser = torch.optim.Adam([*rnn.parameters(), *head.parameters()], lr=0.01)
    for _ in range(200):
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(head(rnn(wave[:-1])[0]), wave[1:])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return elman.trace(rnn, wave[:-1]).label(
        features=["value"],
        head=head,
        targets=wave[1:, 0].tolist(),
        translations={"ko": {"value": "값"}},
        **words("series"),
    )


def here() -> "Trace":
    """'i am here' by hand: the matrix (3, 2) fits as x W."""
    import torch

    import elman

    W_x, W_h, b = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], [[0.7, 0.8], [0.9, 1.0]], [0.1, 0.2]
    rnn = elman.RNN.from_weights(W_x, W_h, b, convention="x W")
    return elman.trace(rnn, torch.eye(3)).label(
        tokens=["i", "am", "here"],
        features=["i", "am", "here"],
        vocabulary=_one_hot(["i", "am", "here"]),
        **words("here"),
    )


def here_now() -> "Trace":
    """'i am here now' by hand: the matrix (2, 4) fits as W x."""
    import torch

    import elman

    W_x, W_h, b = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]], [[0.9, 1.0], [1.1, 1.2]], [0.1, 0.2]
    rnn = elman.RNN.from_weights(W_x, W_h, b, convention="W x")
    return elman.trace(rnn, torch.eye(4)).label(
        tokens=["i", "am", "here", "now"],
        features=["i", "am", "here", "now"],
        vocabulary=_one_hot(["i", "am", "here", "now"]),
        **words("here-now"),
    )


def directions() -> "Trace":
    """Three layers in both directions, batch first."""
    import torch

    import elman

    torch.manual_seed(0)
    rnn = elman.RNN(5, 8, num_layers=3, batch_first=True, bidirectional=True)
    return elman.trace(rnn, torch.randn(40, 10, 5)).label(
        **words("directions"),
    )


EXAMPLES: "dict[str, Callable[[], Trace]]" = {
    "here": here,
    "here-now": here_now,
    "hello": hello,
    "hello-fixed": hello_fixed,
    "shapes": shapes,
    "directions": directions,
    "mood": mood,
    "series": series,
    "gru-keeps": gates.gru_keeps,
    "gru-forgets": gates.gru_forgets,
    "lstm-keeps": gates.lstm_keeps,
    "gradients": gates.gradients,
}
"""By name, in the order of the lessons."""


def _one_hot(tokens: "Sequence[str]") -> "dict[str, Tensor]":
    """The one-hot vector of each token."""
    import torch

    return dict(zip(tokens, torch.eye(len(tokens)), strict=True))


def _one_hot_words() -> "Tensor":
    """(3, 5, 4): words, letters, one-hot."""
    import torch

    return torch.eye(4)[torch.tensor([[ALPHABET.index(letter) for letter in word] for word in WORDS])]
