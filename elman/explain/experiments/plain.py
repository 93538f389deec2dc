"""Arguments that are no tensors: lists, tuples and arrays of numbers or texts."""

from numbers import Number
from typing import Any

import numpy


def are_plain(value: Any) -> bool:
    """Whether it is a list, a tuple or an array of numbers or texts."""
    if isinstance(value, numpy.ndarray):
        return value.ndim > 0
    return type(value) in (list, tuple) and bool(value) and all(isinstance(one, Number | str) for one in value)


def alike(plain: Any, values: list[Any]) -> Any:
    """These values in another list, tuple or array of the same kind."""
    return numpy.stack(values) if isinstance(plain, numpy.ndarray) else type(plain)(values)
