"""The trace of a trained character model reading a text, with what it expects after each character."""

from typing import Any

import torch

from elman.explain._labels import GUESSES
from elman.explain._lessons import words
from elman.explain._run import trace
from elman.explain._trace import Trace
from elman.tasks.errors import DataError
from elman.tasks.text.data import Vocabulary
from elman.tasks.text.model import CharacterModel

# Of the embedding and the output layer together; with more, a page would have no room for the layer itself.
MOST_NUMBERS = 60_000


@torch.no_grad()
def trace_text(model: CharacterModel, vocabulary: Vocabulary, text: str) -> Trace:
    """The recurrent layer's trace for `text`, one character a step, its state zero at first.

    The embedding and the output layer come along, so that one can type into the page, unless they are too large for it.

    Raises:
        DataError: the text is empty or has characters that the model does not know.
    """
    if not text:
        raise DataError("the text is empty: give at least one character to read")
    characters = vocabulary.characters
    ids = torch.tensor(vocabulary.encode(text), device=model.linear.weight.device)
    x = model.embedding(ids)  # (T, E)
    about = words("characters")
    around: dict[str, Any] = {
        "head": model.linear,
        "outcomes": characters,
        "targets": [*text[1:], None],
        "vocabulary": dict(zip(characters, model.embedding.weight, strict=True)),
    }
    if model.embedding.weight.numel() + model.linear.weight.numel() > MOST_NUMBERS:
        likely = model.linear(model.rnn(x)[0]).softmax(-1).topk(min(GUESSES, len(vocabulary)))
        around = {
            "predictions": [
                [(characters[i], p) for i, p in zip(choices, shares, strict=True)]
                for choices, shares in zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
            ]
        }
    return trace(model.rnn, x).label(
        tokens=list(text),
        title={language: said.format(text=text) for language, said in about["title"].items()},
        note={language: said.format(size=x.shape[1]) for language, said in about["note"].items()},
        **around,
    )
