"""What a number of bits per character has to be compared with: a general compressor and a count model.

All answer for the same held-out characters as the network.
"""

import bz2
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer[Any]]


def bz2_alone(held_out: str) -> float:
    """Bits per character of the held-out text compressed by bz2, at its strongest setting."""
    return 8 * len(bz2.compress(held_out.encode())) / len(held_out)


def bz2_after(train: str, held_out: str) -> float:
    """Bits per character by which the compressed train text grows when the held-out text follows it.

    bz2 looks back 900 kB at most, so on a long text this comes near `bz2_alone`. On pure repetition the growth falls
    below zero, which counts as zero.
    """
    growth = len(bz2.compress((train + held_out).encode())) - len(bz2.compress(train.encode()))
    return 8 * max(0, growth) / len(held_out)


def count_bits(train: Ids, held_out: Ids, size: int, order: int) -> float:
    """Bits per held-out character of a count model that looks `order` characters back.

    Interpolated Witten-Bell smoothing: with n the times a context was seen in the train part and t the number of
    different characters that followed it there,

        p(c | context) = (n(context c) + t(context) p(c | shorter context)) / (n(context) + t(context)),

    down to the uniform distribution over the vocabulary. Source: Witten and Bell, "The zero-frequency problem",
    IEEE Transactions on Information Theory 37(4), 1991, method C; Chen and Goodman, 1999, for the interpolated form.

    Args:
        train: token ids of the train part, (n,), n >= order.
        held_out: token ids of the text that follows it, (m,).
        size: the number of tokens in the vocabulary.
        order: of the longest context.
    """
    ids = np.concatenate([train, held_out]).astype(np.int64)
    end = len(train)
    probability = np.full(held_out.size, 1 / size)
    context = np.zeros(ids.size, dtype=np.int64)  # the run of k characters that begins at each place, as a number
    for k in range(order + 1):
        runs = context[: ids.size - k] * size + ids[k:]
        gram = np.unique(runs, return_inverse=True)[1]  # small again, so that no number overflows
        seen, before = gram[: end - k], context[: end - k]
        n_gram, n_context = np.bincount(seen, minlength=int(gram.max()) + 1), np.bincount(before)
        first = np.unique(seen, return_index=True)[1]
        follow = np.bincount(before[first], minlength=len(n_context))
        asked, asked_before = gram[end - k :], context[end - k : ids.size - k]
        known = asked_before < len(n_context)
        known[known] = n_context[asked_before[known]] > 0
        n, t = n_context[asked_before[known]], follow[asked_before[known]]
        probability[known] = (n_gram[asked[known]] + t * probability[known]) / (n + t)
        context = gram
    return float(np.log2(1 / probability).mean())
