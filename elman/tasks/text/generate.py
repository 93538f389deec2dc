"""Text that a character model writes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from elman.tasks.text.data import Vocabulary
from elman.tasks.text.model import CharacterModel
from elman.tasks.training.modules import as_state, first_state


def generate(
    model: CharacterModel,
    vocabulary: Vocabulary,
    prompt: str,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> Iterator[str]:
    """Characters that follow `prompt`, one at a time, each drawn from what the model expects after all before it.

    Args:
        model: a character model in eval mode.
        vocabulary: its vocabulary.
        prompt: read first; where it is empty, a line end (or else the first character) is read in its place.
        length: characters to generate.
        temperature: divides the logits; towards 0 only the likeliest character is left.
        top_k: draw from the k likeliest characters only.
        seed: of the drawing.

    Raises:
        DataError: the prompt has characters outside the vocabulary.
    """
    start = prompt or ("\n" if "\n" in vocabulary.characters else vocabulary.characters[0])
    ids = torch.tensor(vocabulary.encode(start))[:, None]
    return (vocabulary.characters[i] for i in _draw(model, ids, length, temperature, top_k or len(vocabulary), seed))


@torch.no_grad()
def _draw(model: CharacterModel, ids: Tensor, length: int, temperature: float, top_k: int, seed: int) -> Iterator[int]:
    """The ids that follow `ids`, (T, 1), the state carried from one to the next."""
    device = model.linear.weight.device
    generator = torch.Generator().manual_seed(seed)
    state = as_state(first_state(model.rnn, 1))
    for _ in range(length):
        logits, state = model(ids.to(device), state)
        values, choices = logits[-1, 0].double().cpu().topk(min(top_k, logits.size(-1)))
        weights = ((values - values[0]) / temperature).exp()
        ids = choices[torch.multinomial(weights, 1, generator=generator)][:, None]
        yield int(ids)
