"""The trace of a trained character model reading a text, with what it expects after each character."""

from typing import cast

import torch
from torch import nn

from elman.explain._examples import words
from elman.explain._run import trace
from elman.explain._trace import Trace
from elman.tasks.errors import DataError
from elman.tasks.text.data import Vocabulary
from elman.tasks.text.model import CharacterModel

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
    made = trace(cast(nn.RNN, model.rnn), x)
    likely = model.linear(model.rnn(x)[0]).softmax(-1).topk(min(GUESSES, len(vocabulary)))
    about = words("characters")
    return made.label(
        tokens=list(text),
        predictions=[
            [(vocabulary.characters[i], p) for i, p in zip(choices, shares, strict=True)]
            for choices, shares in zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
        ],
        title={language: said.format(text=text) for language, said in about["title"].items()},
        note={language: said.format(size=x.shape[1]) for language, said in about["note"].items()},
    )
