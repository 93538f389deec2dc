"""Whether a framework computed the same numbers as torch's layer."""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.problem import Values

# Where two float32 sums of many terms differ by their order alone, float64 says whose error is larger.
TIMES_TORCH = 4.0


def disagreement(actual: Values, expected: Values, truth: Callable[[], Values]) -> str | None:
    """None where every number agrees, else a sentence that names the first that does not.

    A number agrees if it is within `torch.testing.assert_close`'s defaults of torch's in float32, or else if its
    largest error from torch's in float64 is at most 4 times that of torch's own float32.
    """
    if actual.keys() != expected.keys():
        return f"has {', '.join(actual)} where torch has {', '.join(expected)}"
    for name, value in expected.items():
        if actual[name].shape != value.shape:
            return f"{name} is {actual[name].shape} where torch's is {value.shape}"
        try:
            torch.testing.assert_close(torch.from_numpy(actual[name].copy()), torch.from_numpy(value))
        except AssertionError:
            error, of_torch = (np.abs(given - truth()[name]).max(initial=0) for given in (actual[name], value))
            if not error <= TIMES_TORCH * of_torch:
                return f"{name} is off by {error:.1e} from float64, where torch's is off by {of_torch:.1e}"
    return None
