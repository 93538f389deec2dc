"""The usual call, told from all others in a microsecond or two: plain tensors on the CPU, and everything fits."""

import functools
import operator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Parameter

if TYPE_CHECKING:
    from elman._rnn import RNN

PLAIN = {Tensor, Parameter}
KERNEL_DTYPES = {torch.float32, torch.float64}
_dtype_of, _is_cpu = operator.attrgetter("dtype"), operator.attrgetter("is_cpu")
_is_compiling: Any = torch.compiler.is_compiling


def is_usual(rnn: "RNN", input: Any, hx: Any, weights: list[Tensor]) -> bool:
    """Whether elman's kernels can take a call's tensors; if not, it is for the checks and the backends to say why."""
    if _is_compiling() or type(input) not in PLAIN:
        return False
    shape, dtype = input.shape, input.dtype
    batched = len(shape) == 3
    if not (batched or len(shape) == 2) or shape[-1] != rnn.input_size or dtype not in KERNEL_DTYPES:
        return False
    if hx is not None:
        states = rnn.num_layers * (2 if rnn.bidirectional else 1)
        if type(hx) not in PLAIN or hx.dtype is not dtype or not hx.is_cpu:
            return False
        if hx.shape != (
            (states, shape[0 if rnn.batch_first else 1], rnn.hidden_size) if batched else (states, rnn.hidden_size)
        ):
            return False
    return input.is_cpu and weights[0].dtype is dtype and weights_are_usual(rnn, weights)


def weights_are_usual(rnn: "RNN", weights: list[Tensor]) -> bool:
    """Whether all are plain tensors on the CPU, of one dtype and of the layer's shapes."""
    if not {*map(type, weights)} <= PLAIN:  # others may answer to fewer questions
        return False
    shapes = _shapes(rnn.input_size, rnn.hidden_size, rnn.num_layers, 2 if rnn.bidirectional else 1, rnn.bias)
    # by map, because this is a tenth of the time of a small layer's run
    fit = [*map(Tensor.size, weights)] == shapes
    return fit and len({*map(_dtype_of, weights)}) == 1 and all(map(_is_cpu, weights))


def weight_shapes(input_size: int, hidden_size: int, layers: int, directions: int, bias: bool) -> list[tuple[int, ...]]:
    """The shapes of a layer's weights, in the order in which backends take them."""
    shapes: list[tuple[int, ...]] = []
    for layer in range(layers):
        inputs = input_size if layer == 0 else directions * hidden_size
        cell = [(hidden_size, inputs), (hidden_size, hidden_size), *([(hidden_size,)] * 2 if bias else [])]
        shapes += cell * directions
    return shapes


_shapes = functools.lru_cache(maxsize=256)(weight_shapes)
