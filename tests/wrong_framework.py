"""A framework for `python -m benchmarks` that computes one gradient a little wrongly."""

import numpy as np
from torch import Tensor

from benchmarks.frameworks import Call, torch_rnn
from benchmarks.problem import Problem, Values

MODES = ("train",)
start = torch_rnn.start


def calls(mode: str, problem: Problem) -> dict[str, Call]:
    """torch.nn.RNN, but the gradient of W_hh is a thousandth too large."""
    call = torch_rnn.calls(mode, problem)["RNN"]

    def read(result: tuple[Tensor, ...]) -> Values:
        values = call.read(result)
        return values | {"dweight_hh_l0": values["dweight_hh_l0"] * np.float32(1.001)}

    return {"RNN": Call(call.run, read)}
