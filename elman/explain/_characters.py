"""The trace of a trained character model reading a text, with what it expects after each character."""

import torch

from elman.explain._trace import Trace, trace
from elman.tasks.characters import Vocabulary
from elman.tasks.errors import DataError
from elman.tasks.text import CharacterModel

GUESSES = 5


@torch.no_grad()
def trace_text(model: CharacterModel, vocabulary: Vocabulary, text: str) -> Trace:
    """The recurrent layer's trace for `text`, one character a step, its state zero at first.

    Raises:
        DataError: the text is empty or has characters that the model does not know.
    """
    if not text:
        raise DataError("the text is empty: give at least one character to read")
    ids = torch.tensor(vocabulary.encode(text), device=model.linear.weight.device)
    x = model.embedding(ids)  # (T, E)
    made = trace(model.rnn, x)
    likely = model.linear(model.rnn(x)[0]).softmax(-1).topk(min(GUESSES, len(vocabulary)))
    return made.label(
        tokens=list(text),
        predictions=[
            [(vocabulary.characters[i], p) for i, p in zip(choices, shares, strict=True)]
            for choices, shares in zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
        ],
        title={"en": f"A character model reads “{text}”", "ko": f"“{text}”를 읽는 글자 모델"},
        note={
            "en": f"Each character becomes {x.shape[1]} numbers (an embedding), and a linear layer on top of output "
            "turns each hidden state into probabilities of the next character, shown above each step.",
            "ko": f"글자마다 숫자 {x.shape[1]}개가 됩니다(임베딩). output 위의 선형층이 은닉 상태를 다음 글자의 확률로 바꾸고, 그 확률이 각 시점 위에 있습니다.",
        },
    )
