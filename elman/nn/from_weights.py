"""A layer from matrices written on paper, in either convention."""

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from elman.nn.rnn import RNN

Layer = TypeVar("Layer", bound="RNN")
CONVENTIONS = ("x W", "W x")
_OTHER = {"x W": "W x", "W x": "x W"}


def from_weights(
    cls: type[Layer],
    W_x: Any,
    W_h: Any,
    b: Any = None,
    b_h: Any = None,
    *,
    convention: str = "x W",
    nonlinearity: str = "tanh",
    batch_first: bool = False,
    dtype: torch.dtype | None = None,
) -> Layer:
    """`RNN.from_weights`, which see."""
    if convention not in CONVENTIONS:
        raise ValueError(f"Unknown convention {convention!r}. Select from 'x W' (rows) or 'W x' (columns).")
    given = {"W_x": W_x, "W_h": W_h, "b": b, "b_h": b_h}
    arrays = {name: _array(name, value) for name, value in given.items() if value is not None}
    for name in ("W_x", "W_h"):
        if name not in arrays:
            raise TypeError(f"{name} is None: from_weights needs both matrices.")
    _check_products(arrays["W_x"], arrays["W_h"], convention)
    w_ih, w_hh = (arrays[name] if convention == "W x" else arrays[name].T for name in ("W_x", "W_h"))
    hidden_size, input_size = w_ih.shape
    for name in ("b", "b_h"):
        if name in arrays:
            arrays[name] = _bias(name, arrays[name], hidden_size)
    if dtype is None:
        dtype = _dtype([given[name] for name in arrays], arrays.values())
    bias = "b" in arrays or "b_h" in arrays
    rnn = cls(
        input_size,
        hidden_size,
        nonlinearity=nonlinearity,
        bias=bias,
        batch_first=batch_first,
        dtype=dtype,
        device="cpu",
    )
    zeros = torch.zeros(hidden_size)
    values = [w_ih, w_hh, arrays.get("b", zeros), arrays.get("b_h", zeros)]
    with torch.no_grad():
        for parameter, value in zip(rnn.parameters(), values, strict=False):
            parameter.copy_(value)
    return rnn


def _array(name: str, value: Any) -> Tensor:
    """The value as a tensor; a list in float64, as Python has it."""
    try:
        array = torch.as_tensor(value) if hasattr(value, "dtype") else torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is no array of real numbers: {error}.") from error
    if array.is_complex():
        raise ValueError(f"{name} is complex: from_weights takes real numbers.")
    return array.detach()


def _dtype(given: Iterable[Any], arrays: Iterable[Tensor]) -> torch.dtype:
    """The widest floating dtype of the tensors and arrays given; lists and whole numbers have none of their own."""
    own = [
        array.dtype
        for value, array in zip(given, arrays, strict=True)
        if hasattr(value, "dtype") and array.is_floating_point()
    ]
    return functools.reduce(torch.promote_types, own) if own else torch.get_default_dtype()


def _check_products(W_x: Tensor, W_h: Tensor, convention: str) -> None:
    """Raises for matrices whose two products cannot be added, and says which product fails and what would fit."""
    for name, matrix in (("W_x", W_x), ("W_h", W_h)):
        if matrix.dim() != 2 or 0 in matrix.shape:
            raise ValueError(f"{name} should be a matrix of at least one row and column, got {_shape(matrix)}.")
    rows = convention == "x W"
    product = "h W_h" if rows else "W_h h"
    if W_h.shape[0] != W_h.shape[1]:
        first, last = W_h.shape if rows else W_h.shape[::-1]
        raise ValueError(
            f"{product} fails: W_h is {_shape(W_h)}, so it takes {_numbers(first)} and gives {_numbers(last)}, but the "
            f"next step feeds what it gave back in as h. W_h must be square, hidden_size by hidden_size; its "
            f"transpose fails likewise."
        )
    hidden = W_h.shape[0]
    inputs, outputs = W_x.shape if rows else W_x.shape[::-1]
    if outputs == hidden:
        return
    product = "x W_x" if rows else "W_x x"
    said = (
        f"{product} fails: in the convention {convention!r} W_x {_shape(W_x)} takes {_numbers(inputs)} and gives "
        f"{outputs}, but W_h {_shape(W_h)} has a state of {hidden}, and the two are added."
    )
    if inputs == hidden:
        other = _OTHER[convention]
        said += (
            f" The transpose would fit: pass W_x.T for {_numbers(outputs)} of input, or, if both matrices were written "
            f"that way, convention={other!r}."
        )
    else:
        said += f" The transpose would not fit either: one side of W_x must be {hidden}."
    raise ValueError(said)


def _bias(name: str, b: Tensor, hidden_size: int) -> Tensor:
    """The bias as (H,); a row (1, H) or a column (H, 1) is taken too."""
    flat = b.flatten() if b.dim() == 2 and 1 in b.shape else b
    if flat.shape != (hidden_size,):
        raise ValueError(
            f"{name} should have one number a hidden unit, ({hidden_size},), got {_shape(b)}: it is added to a state "
            f"of {hidden_size}."
        )
    return flat


def _numbers(count: int) -> str:
    return f"{count} number{'s' if count != 1 else ''}"


def _shape(array: Tensor) -> str:
    return str(tuple(array.shape))
