"""The numba backend's two functions: memory and a plan for one run of the kernel."""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.kernels.numba_cpu.prepared import Prepared, prepare
from elman.kernels._old_problem import Problem

_SMALL = 1 << 16  # bytes of scratch memory that every thread keeps
_address_of: Any = Tensor.data_ptr
_is_contiguous: Any = Tensor.is_contiguous
_is_neg: Any = Tensor.is_neg


def rnn_forward(
    problem: Problem,
    x: Tensor,  # (T, N, I), or packed (R, I)
    h0: Tensor | None,  # (L * D, N, H)
    weights: Sequence[Tensor],
) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
    """output (T, N, D * H) or (R, D * H), h_n (L * D, N, H), and what rnn_backward needs."""
    (x, x_turned), weights, at_weights = _as_it_lies(x), *_addressed(weights)
    prepared = prepare(problem, x, weights, False, x_turned=x_turned)
    # sizes one by one: given as a tuple they cost torch twice the time
    output, h_n = x.new_empty(*prepared.output), x.new_empty(*prepared.h_n)
    inner = x.new_empty(problem.num_layers - 1, *prepared.output) if problem.num_layers > 1 else None
    dropped = None if inner is None or problem.masks is None else torch.empty_like(inner)
    _run(prepared, problem, x, h0, h_n, output, inner, dropped, (0, 0, 0, 0), at_weights, at_weights)
    return output, h_n, (output, inner, dropped)


def rnn_backward(
    problem: Problem,
    x: Tensor,
    h0: Tensor | None,
    weights: Sequence[Tensor],
    saved: Sequence[Tensor | None],
    d_output: Tensor | None,  # as output
    d_h_n: Tensor | None,  # (L * D, N, H)
    needs: tuple[bool, ...],  # for x, h0 and each weight, whether its gradient is asked for
    groups: int | None = None,  # of the batch, each of which gets weight gradients apart: (groups, ...)
) -> list[Tensor | None]:
    """The gradients at x, h0 and the weights. Those at the weights come all together, or none if none is needed."""
    (x, x_turned), weights, at_weights = _as_it_lies(x, not needs[0]), *_addressed(weights)
    d_x = x.new_empty(*x.shape) if needs[0] else None
    d_h0 = x.new_empty(*h0.shape) if h0 is not None and needs[1] else None
    d_weights: list[Tensor | None] = [None] * len(weights)
    apart = 0
    if True in needs[2:]:
        apart = groups or 0
        d_weights = [w.new_empty(apart, *w.shape) for w in weights] if apart else [*map(torch.empty_like, weights)]
    output, inner, dropped, d_h_n = (None if a is None else plain(a) for a in (*saved, d_h_n))
    d_output, d_output_turned = (None, False) if d_output is None else _as_it_lies(d_output)
    assert output is not None
    prepared = prepare(problem, x, weights, True, apart, x_turned, d_output_turned)
    at_gradients = [0 if g is None else g.data_ptr() for g in (d_output, d_h_n, d_x, d_h0)]
    at_d_weights = [0 if g is None else g.data_ptr() for g in d_weights]
    _run(prepared, problem, x, h0, None, output, inner, dropped, at_gradients, at_weights, at_d_weights)
    return [d_x, d_h0, *d_weights]


def _run(
    prepared: Prepared,
    problem: Problem,
    x: Tensor,
    h0: Tensor | None,
    h_n: Tensor | None,
    output: Tensor,
    inner: Tensor | None,
    dropped: Tensor | None,
    at_gradients: Sequence[int],  # of d_output, d_h_n, d_x, d_h0
    at_weights: Sequence[int],
    at_d_weights: Sequence[int],  # forward any, as many
) -> None:
    """Runs the kernel, forward or backward, on contiguous memory."""
    _, _, _, _, lengths, reset, masks, batch_sizes = problem
    # what is made contiguous here is kept until the kernel is back
    lengths = lengths if batch_sizes is None else batch_sizes
    h0, masks = h0 if h0 is None else plain(h0), masks if masks is None else plain(masks)
    reset, lengths = reset if reset is None else plain(reset), lengths if lengths is None else plain(lengths)
    scratch = _memory.tensor if prepared.scratch <= _SMALL else scratch_memory(prepared.scratch)
    words = (
        scratch.data_ptr(),
        output.nbytes,
        False,
        x.data_ptr() or no_address(x),
        0 if h0 is None else h0.data_ptr() or no_address(h0),
        0 if h_n is None else h_n.data_ptr(),
        output.data_ptr() or no_address(output),
        0 if inner is None else inner.data_ptr(),
        0 if masks is None else masks.data_ptr(),
        0 if dropped is None else dropped.data_ptr(),
        0 if reset is None else reset.data_ptr(),
        0 if lengths is None else lengths.data_ptr(),
        *at_gradients,
        *at_weights,
        *at_d_weights,
    )
    prepared.start(prepared.head + prepared.rest.pack(*words))


def scratch_memory(count: int) -> Tensor:
    """So many bytes of the CPU's memory, whatever torch's default device is."""
    return torch.empty(count, dtype=torch.uint8, device="cpu")


class _Memory(threading.local):
    """Scratch memory that a thread keeps for runs that need little: to ask for it each time costs a microsecond."""

    def __init__(self) -> None:
        self.tensor = scratch_memory(_SMALL)


_memory = _Memory()


def plain(tensor: Tensor) -> Tensor:
    """The tensor as rows one after the other in memory, which zeros of automatic differentiation have none of."""
    if tensor._is_zerotensor():
        return tensor.clone()
    if tensor.is_contiguous() and not tensor.is_neg():
        return tensor
    return tensor.resolve_neg().contiguous()


def _as_it_lies(tensor: Tensor, fine: bool = True) -> tuple[Tensor, bool]:
    """The tensor (T, N, .) as `plain` makes it, or if that is `fine` as it is in memory (N, T, .), and which."""
    if tensor.is_contiguous() or not fine or tensor.dim() != 3 or tensor.is_neg() or tensor._is_zerotensor():
        return plain(tensor), False
    turned = tensor.transpose(0, 1).is_contiguous()
    return (tensor, True) if turned else (plain(tensor), False)


def _addressed(weights: Sequence[Tensor]) -> tuple[Sequence[Tensor], list[int]]:
    """The weights as `plain` makes them, and their addresses."""
    at = [*map(_address_of, weights)]
    if 0 in at or not all(map(_is_contiguous, weights)) or any(map(_is_neg, weights)):
        weights = [plain(w) for w in weights]
        at = [w.data_ptr() or no_address(w) for w in weights]
    return weights, at


def no_address(tensor: Tensor) -> int:
    """0, the address of a tensor without numbers. Raises for one whose memory was freed."""
    if tensor.numel() > 0:
        raise RuntimeError(
            "The tensor has a non-zero number of elements, but its data is not allocated yet. Its shape is "
            f"{tuple(tensor.shape)}, and its storage was resized to 0 bytes, as sharding does with weights not in use."
        )
    return 0
