"""Traces of what tutorials teach about recurrent layers, with what some of them get wrong put right.

No torch at import: the command line's help lists the names.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from elman.explain._trace import Trace

WORDS = ("hello", "eolll", "lleel")
ALPHABET = "helo"
SENTENCES = (
    (("this", "film", "is", "great"), "joy"),
    (("this", "film", "is", "sad"), "sorrow"),
    (("this", "film", "is", "awful"), "anger"),
    (("i", "loved", "the", "end"), "joy"),
    (("i", "cried", "the", "whole"), "sorrow"),
    (("i", "hated", "the", "end"), "anger"),
)
MOODS = ("joy", "sorrow", "anger")


def shapes() -> "Trace":
    """Two layers with the sizes of torch's own documentation."""
    import torch

    import elman

    torch.manual_seed(0)
    rnn, x, h_0 = elman.RNN(10, 20, 2), torch.randn(5, 3, 10), torch.randn(2, 3, 20)
    return elman.trace(rnn, x, h_0).label(
        title={"en": "RNN(10, 20, 2): two layers", "ko": "RNN(10, 20, 2): 두 층"},
        note={
            "en": "10 features in, 20 hidden units, 2 layers; 5 steps of 3 sequences; h_0 is random here. The second "
            "layer reads the first one's hidden states. output holds the second layer only; h_n holds both.",
            "ko": "입력 특징 10개, 은닉 유닛 20개, 층 2개, 시점 5개, 시퀀스 3개이고 h_0은 여기서 무작위입니다. 둘째 층은 첫째 층의 "
            "은닉 상태를 읽습니다. output에는 둘째 층만, h_n에는 두 층이 모두 있습니다.",
        },
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
        title={"en": "hello, with its axes swapped", "ko": "축이 뒤바뀐 hello"},
        note={
            "en": "A tutorial feeds hello, eolll and lleel as (batch 3, time 5, feature 4), but the layer reads its "
            "first axis as time. So sequence 0 is not “hello”: it is h, e, l, the first letter of each word, and the "
            "printed numbers mix three words. Nothing fails. Compare the page hello-fixed.",
            "ko": "한 튜토리얼은 hello, eolll, lleel을 (배치 3, 시간 5, 특징 4)로 넣지만, 층은 첫 번째 축을 시간으로 읽습니다. "
            "그래서 시퀀스 0은 “hello”가 아니라 각 단어의 첫 글자인 h, e, l이고, 출력된 숫자에는 세 단어가 섞여 있습니다. "
            "오류는 나지 않습니다. hello-fixed 페이지와 비교해 보세요.",
        },
    )


def hello_fixed() -> "Trace":
    """The same words and weights with batch_first=True."""
    import torch

    import elman

    torch.manual_seed(0)
    return elman.trace(elman.RNN(4, 2, batch_first=True), _one_hot_words()).label(
        tokens=[list(word) for word in WORDS],
        features=list(ALPHABET),
        title={"en": "hello, letter by letter", "ko": "한 글자씩 읽는 hello"},
        note={
            "en": "Three words over four letters, one-hot, through RNN(4, 2, batch_first=True): each sequence is one "
            "word. The weights are those of the page hello, where the axes are swapped.",
            "ko": "네 글자로 쓴 세 단어를 원-핫으로 RNN(4, 2, batch_first=True)에 넣었습니다. 시퀀스 하나가 단어 하나입니다. "
            "가중치는 축이 뒤바뀐 hello 페이지와 같습니다.",
        },
    )


def mood() -> "Trace":
    """Word embeddings, and a hidden state of one number a class, trained for a moment."""
    import torch
    from torch import nn

    import elman

    torch.manual_seed(0)
    words = sorted({word for sentence, _ in SENTENCES for word in sentence})
    ids = torch.tensor([[words.index(word) for word in sentence] for sentence, _ in SENTENCES])
    target = torch.tensor([MOODS.index(mood) for _, mood in SENTENCES])
    embedding, rnn = nn.Embedding(len(words), 8), elman.RNN(8, 3, batch_first=True)
    optimiser = torch.optim.Adam([*embedding.parameters(), *rnn.parameters()], lr=0.05)
    for _ in range(80):
        optimiser.zero_grad()
        _, h_n = rnn(embedding(ids))
        nn.functional.cross_entropy(4 * h_n[0], target).backward()
        optimiser.step()
    trace = elman.trace(rnn, embedding(ids))
    shares = (4 * trace.hidden[0, 0]).softmax(-1)  # (T, N, 3)
    by_sequence = shares.transpose(0, 1).tolist()
    guesses = [[sorted(zip(MOODS, p, strict=True), key=lambda guess: -guess[1]) for p in row] for row in by_sequence]
    return trace.label(
        tokens=[list(sentence) for sentence, _ in SENTENCES],
        predictions=guesses,
        title={"en": "Mood, word by word", "ko": "단어마다 바뀌는 감정"},
        note={
            "en": "Each word becomes 8 numbers (an embedding in place of one-hot), and each of the 3 hidden units "
            "stands for a mood: joy, sorrow, anger. Above each step is the mood read so far; it is decided by the words "
            "that carry it, and kept by the hidden state afterwards.",
            "ko": "단어마다 숫자 8개가 됩니다(원-핫 대신 임베딩). 은닉 유닛 3개는 감정 셋(joy, sorrow, anger)을 나타냅니다. 각 시점 "
            "위에는 거기까지 읽은 감정이 있습니다. 감정을 담은 단어에서 정해지고, 그 뒤로는 은닉 상태가 간직합니다.",
        },
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
        nn.functional.mse_loss(head(rnn(wave[:-1])[0]), wave[1:]).backward()
        optimiser.step()
    return elman.trace(rnn, wave[:-1]).label(
        features=["value"],
        title={"en": "A time series through three layers", "ko": "세 층을 지나는 시계열"},
        note={
            "en": "One number a step, 48 steps, no batch axis. The layers were trained for a moment to tell the next "
            "value (an output layer y_t = h_t W_y + b_y stands on top and is not shown). Follow one unit through time: "
            "some swing with the wave, some with its ripple.",
            "ko": "시점마다 숫자 하나, 시점 48개, 배치 축 없음. 다음 값을 맞히도록 잠깐 학습했습니다(위에 출력층 y_t = h_t W_y + b_y가 "
            "있지만 여기에는 보이지 않습니다). 유닛 하나를 시간을 따라 살펴보세요. 큰 물결을 따라 흔들리는 유닛도 있고 잔물결을 따르는 유닛도 있습니다.",
        },
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
        title={"en": "“i am here”, by hand", "ko": "손으로 계산하는 “i am here”"},
        note={
            "en": "A tutorial multiplies this (3, 2) matrix from the left, W x, with a vector of 3, which does not "
            "exist: W x takes 2 numbers. It then writes down four numbers where the state has two, and adds the bias "
            "to some steps only. Read as x W both matrices fit, and these are the right numbers.",
            "ko": "한 튜토리얼은 이 (3, 2) 행렬을 길이 3인 벡터의 왼쪽에 곱합니다(W x). 그런 곱은 없습니다. W x는 숫자 2개를 받기 때문입니다. "
            "그러고는 숫자가 2개인 상태 자리에 4개를 적고, 편향을 일부 시점에만 더합니다. x W로 읽으면 두 행렬이 모두 맞고, 올바른 숫자는 여기 있는 것과 같습니다.",
        },
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
        title={"en": "“i am here now”, by hand", "ko": "손으로 계산하는 “i am here now”"},
        note={
            "en": "Here W_x is (2, 4) and W x fits. The tutorial takes a row of W_x, four numbers, where the product with "
            "a one-hot vector is a column, two numbers; from then on its states have four numbers and W_hh, a (2, 2) "
            "matrix, cannot be multiplied with them. These are the right numbers.",
            "ko": "여기서는 W_x가 (2, 4)이고 W x가 맞습니다. 그런데 튜토리얼은 W_x의 행(숫자 4개)을 가져옵니다. 원-핫 벡터와의 곱은 열(숫자 2개)입니다. "
            "그 뒤로 상태가 숫자 4개가 되어, (2, 2) 행렬인 W_hh와는 곱할 수 없습니다. 올바른 숫자는 여기 있는 것과 같습니다.",
        },
    )


def directions() -> "Trace":
    """Three layers in both directions, batch first."""
    import torch

    import elman

    torch.manual_seed(0)
    rnn = elman.RNN(5, 8, num_layers=3, batch_first=True, bidirectional=True)
    return elman.trace(rnn, torch.randn(40, 10, 5)).label(
        title={"en": "Three layers, both directions", "ko": "세 층, 두 방향"},
        note={
            "en": "A tutorial says that h_n equals outputs[:, -1, :]. That holds for one layer and one direction. Here "
            "h_n has 6 states; only two of them stand in output, and the reverse one at step 0, not at the last.",
            "ko": "한 튜토리얼은 h_n이 outputs[:, -1, :]과 같다고 합니다. 층도 방향도 하나일 때만 맞는 말입니다. 여기서 h_n에는 상태가 6개 있고, "
            "그 가운데 둘만 output에 있습니다. 역방향의 것은 마지막 시점이 아니라 시점 0에 있습니다.",
        },
    )


EXAMPLES: "dict[str, Callable[[], Trace]]" = {
    "shapes": shapes,
    "hello": hello,
    "hello-fixed": hello_fixed,
    "mood": mood,
    "series": series,
    "here": here,
    "here-now": here_now,
    "directions": directions,
}
"""By name, in the order of the gallery."""


def _one_hot_words() -> "Tensor":
    """(3, 5, 4): words, letters, one-hot."""
    import torch

    return torch.eye(4)[torch.tensor([[ALPHABET.index(letter) for letter in word] for word in WORDS])]
