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


def order2_bits(train: Ids, held_out: Ids, size: int) -> float:
    """Bits per held-out character of a count model that looks two characters back.

    Interpolated Witten-Bell smoothing: with n the times a context was seen in the train part and t the number of
    different characters that followed it there,

        p(c | context) = (n(context c) + t(context) p(c | shorter context)) / (n(context) + t(context)),

    down to the uniform distribution over the vocabulary. Source: Witten and Bell, "The zero-frequency problem",
    IEEE Transactions on Information Theory 37(4), 1991, method C; Chen and Goodman, 1999, for the interpolated form.

    Args:
        train: token ids of the train part, (n,), n >= 2.
        held_out: token ids of the text that follows it, (m,).
        size: the number of tokens in the vocabulary.
    """
    history = np.concatenate([train[-2:], held_out])
    probability = np.full(held_out.size, 1 / size)
    for order in range(3):
        seen = _grams(train, order + 1, size)
        asked = _grams(history[2 - order :], order + 1, size)
        grams, counts = np.unique(seen, return_counts=True)
        contexts, first, follow = np.unique(grams // size, return_index=True, return_counts=True)
        n_context = np.add.reduceat(counts, first)
        n_gram = _look_up(grams, counts, asked)
        n = _look_up(contexts, n_context, asked // size)
        t = _look_up(contexts, follow, asked // size)
        known = n > 0
        probability[known] = (n_gram + t * probability)[known] / (n + t)[known]
    return float(-np.log2(probability).mean())


def _grams(ids: Ids, length: int, size: int) -> npt.NDArray[np.int64]:
    """Each run of `length` ids as one number in base `size`."""
    count = ids.size - length + 1
    grams = np.zeros(count, dtype=np.int64)
    for i in range(length):
        grams = grams * size + ids[i : i + count]
    return grams


def _look_up(
    keys: npt.NDArray[np.int64], values: npt.NDArray[np.int64], asked: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The value of each key asked for, 0 where there is none; `keys` ascend."""
    place = np.searchsorted(keys, asked).clip(max=keys.size - 1)
    return np.where(keys[place] == asked, values[place], 0)
