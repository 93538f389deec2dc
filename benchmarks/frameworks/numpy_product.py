"""numpy's matrix product, for the rate that is possible."""

import numpy as np

from benchmarks.frameworks import Call
from benchmarks.problem import Problem

MODES = ("rate",)


def start(threads: int) -> None:
    """Nothing to do: its library reads OPENBLAS_NUM_THREADS or MKL_NUM_THREADS when it is loaded."""


def calls(mode: str, problem: Problem) -> dict[str, Call]:
    """A plain product of (N, H) by (H, G * H), as many as there are steps, into memory that is already there."""
    h, w_hh = problem.cotangents[1][0], np.ascontiguousarray(problem.weights["weight_hh_l0"].T)
    y = np.empty((len(h), w_hh.shape[1]), np.float32)

    def run() -> np.ndarray:
        for _ in range(problem.size.T):
            np.matmul(h, w_hh, out=y)
        return y

    return {"product": Call(run, lambda y: {"product": y.copy()})}
