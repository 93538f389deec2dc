"""Random numbers from a key: the definition of what machine code draws.

Word after word, a counter-based generator gives the same for a key whoever asks, in any order and on any number of
threads: Philox4x32-10 of J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011. A counter gives
four words of 32 bits. Sixteen counters are a block, in which the numbers of all first words stand first: so processors
with vectors of any width write the same.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

COUNTERS, ROUNDS = 16, 10
FACTORS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
_WORD = (1 << 32) - 1


def philox(counter: Sequence[Tensor], key: Sequence[Tensor]) -> list[Tensor]:
    """The four words of a counter of four words under a key of two, all as int64 from 0 to 2^32 - 1."""
    c, k = list(counter), list(key)
    for _ in range(ROUNDS):
        (high_0, low_0), (high_1, low_1) = (
            ((product >> 32) & _WORD, product & _WORD) for product in (c[0] * FACTORS[0], c[2] * FACTORS[1])
        )
        c = [high_1 ^ c[1] ^ k[0], low_1, high_0 ^ c[3] ^ k[1], low_0]
        k = [(half + step) & _WORD for half, step in zip(k, WEYL, strict=True)]
    return c


def words(keys: Tensor, blocks: int) -> Tensor:
    """Those of so many blocks under each of some int64 keys: (keys, blocks, 4, 16) int64 from 0 to 2^32 - 1."""
    counter = torch.arange(blocks * COUNTERS, device=keys.device).view(blocks, COUNTERS)
    nothing = torch.zeros_like(counter)
    found = [
        philox((counter & _WORD, counter >> 32, nothing, nothing), (key & _WORD, (key >> 32) & _WORD))
        for key in keys.unbind()
    ]
    return torch.stack([torch.stack(of_key, 1) for of_key in found]) if found else counter.new_empty(0, blocks, 4, 16)


def normal(keys: Tensor, count: int, factor: float, dtype: torch.dtype) -> Tensor:
    """So many normal numbers times a factor under each key: (keys, count), float32 or float64.

    By Box and Muller: the radius from one word, the angle within a quarter turn and the quarter from another. A float64
    takes two words in the place of one.
    """
    single = dtype == torch.float32
    drawn = words(keys, -(-count // (COUNTERS * (4 if single else 2))))
    if not single:
        drawn = drawn[:, :, ::2] | (drawn[:, :, 1::2] << 32)
    of_radius, of_angle = drawn[:, :, ::2], drawn[:, :, 1::2]
    if single:
        u = (of_radius.to(dtype) + 0.5) * 2.0**-32
        signed = torch.where(of_angle >> 31 == 1, of_angle - (1 << 32), of_angle)
        turn = ((signed >> 2).to(dtype) + 0.5) * (math.pi / 4 * 2.0**-29)
    else:
        u = (((of_radius >> 11) & ((1 << 53) - 1)).to(dtype) + 0.5) * 2.0**-53
        turn = ((of_angle >> 11).to(dtype) + 0.5) * (math.pi / 4 * 2.0**-52)
    radius, cos, sin = u.log().neg().sqrt(), turn.cos(), turn.sin()
    parts = [
        torch.where((of_angle >> k) & 1 == 1, -radius * part, radius * part)
        for k, part in enumerate((cos - sin, cos + sin))
    ]
    numbers = torch.stack(parts, 3)  # (keys, blocks, pairs, 2, 16)
    return numbers.flatten(1)[:, :count] * factor


def moves(keys: Tensor, count: int, factor: float, threshold: int, dtype: torch.dtype) -> Tensor:
    """The factor where a word is at least the threshold, from 0 to 2^32, else 0, so many under each key: (keys,
    count)."""
    reached = words(keys, -(-count // (COUNTERS * 4))).flatten(1)[:, :count] >= threshold
    return reached.to(dtype) * factor
