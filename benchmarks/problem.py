"""The numbers that every framework gets: weights, input and gradients of the results, from one seed."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from benchmarks.sizes import Size

Array = NDArray[np.float32]
Values = dict[str, Array]


class Problem:
    """One layer's weights by torch's names, an input, lengths, and the gradients that arrive at its results.

    The results are output, h_n and, of an LSTM, c_n.

    The gradients are divided by the root of the number of terms in a sum over them, so weight gradients are of the
    order of one at any size.
    """

    def __init__(self, size: Size) -> None:
        T, N, I, H, L, D = size.T, size.N, size.I, size.H, size.L, size.D
        rows = size.gates * H
        rng = np.random.default_rng(0)

        def normal(*shape: int) -> Array:
            return rng.standard_normal(shape, np.float32)

        self.size = size
        self.weights: Values = {}
        for layer in range(L):
            for direction in ("", "_reverse")[:D]:
                columns = I if layer == 0 else D * H
                for kind, shape in (
                    ("weight_ih", (rows, columns)),
                    ("weight_hh", (rows, H)),
                    ("bias_ih", (rows,)),
                    ("bias_hh", (rows,)),
                ):
                    bound = 1 / H**0.5
                    self.weights[f"{kind}_l{layer}{direction}"] = rng.uniform(-bound, bound, shape).astype(np.float32)
        self.x = normal(T, N, I)
        doutput = normal(T, N, D * H) / np.float32((T * N) ** 0.5)
        dh_n = normal(L * D, N, H) / np.float32(N**0.5)
        self.lengths = lengths(T, N, rng)
        others = [normal(L * D, N, H) / np.float32(N**0.5) for _ in size.states[1:]]
        self.cotangents = (doutput, dh_n, *others)
        self.results = ("output", *(f"{state}_n" for state in size.states))

    def named(self, results: Iterable[Array]) -> Values:
        """The results by name: output, h_n and, of an LSTM, c_n."""
        return dict(zip(self.results, results, strict=True))

    def directions(self) -> list[list[tuple[Array, Array, Array, Array]]]:
        """w_ih, w_hh, b_ih, b_hh of each direction of each layer, their gates' rows in torch's order."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        directions = ("", "_reverse")[: self.size.D]
        return [
            [tuple(self.weights[f"{name}_l{layer}{direction}"] for name in names) for direction in directions]
            for layer in range(self.size.L)
        ]


def lengths(T: int, N: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """N random lengths from 1 to T, unsorted, the longest T, whose sum is a multiple of N where T > 1."""
    drawn = rng.integers(1, T + 1, N)
    drawn[rng.integers(N)] = T
    while drawn.sum() % N:
        shorter = rng.permutation(np.flatnonzero(drawn < T))[: -drawn.sum() % N]
        drawn[shorter] += 1
    return drawn
