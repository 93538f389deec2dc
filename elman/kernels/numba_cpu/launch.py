"""One run of a kernel on memory that was asked for already: makes what the run gives, and writes its plan."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from elman.kernels.numba_cpu.memory import scratch_for
from elman.kernels.numba_cpu.plan.prepared import Prepared
from elman.kernels.problem import Run

Saved = tuple[Tensor | None, ...]  # inner, dropped, and of a cell that keeps them z, c and m of plan/record.py
NO_STATES, NO_TABLES, NOTHING_SAVED, _NO_GRADIENTS = ((0,) * count for count in (2, 3, 5, 6))
_empty_like = torch.empty_like


class OutputChanged(RuntimeError):
    """The output is no longer what `forward` wrote, so the gradients would be others."""


def forward(
    prepared: Prepared,
    x: Tensor,
    at_states: Sequence[int],
    at_weights: Sequence[int],
    at_tables: Sequence[int],
    sealed: bool,
) -> tuple[Run, int]:
    """The run and, if asked for, the seal of its output.

    Args:
        prepared: for this run.
        x: contiguous, as (T, N, I) or if prepared for that as (N, T, I), or packed.
        at_states: the addresses of h_0 and c_0; 0 of none.
        at_weights: of the weights.
        at_tables: of masks, reset and lengths; 0 of none.
        sealed: whether the seal is asked for.
    """
    new = x.new_empty
    output = new(*prepared.output)  # sizes one by one: given as a tuple they cost torch twice the time
    last = tuple([new(*shape) for shape in prepared.states])
    saved: Saved = ()
    if prepared.saves:
        saved = tuple([new(*shape) if shape else None for shape in prepared.saved])
    seal = ctypes.c_int64()
    scratch = scratch_for(prepared.scratch)
    plan = prepared.rest.pack(
        scratch.data_ptr(),
        False,
        x.data_ptr(),
        *at_states,
        last[0].data_ptr(),
        last[1].data_ptr() if len(last) > 1 else 0,
        output.data_ptr(),
        *(addresses_of(saved) if saved else NOTHING_SAVED),
        *at_tables,
        ctypes.addressof(seal) if sealed else 0,
        *_NO_GRADIENTS,
        *at_weights,
        *at_weights,  # which stand where backward has those of their gradients
    )
    prepared.start(prepared.head + plan)
    return Run(output, last, saved), seal.value & prepared.seal_bits


def backward(
    prepared: Prepared,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    at_states: Sequence[int],
    at_weights: Sequence[int],
    at_tables: Sequence[int],
    output: Tensor,
    at_saved: Sequence[int],
    d_output: Tensor | None,
    at_d_last: Sequence[int],
    needs: Sequence[bool],
    groups: int,
    seal: int | None,
) -> list[Tensor | None]:
    """The gradients at x, states and weights, which tell their shapes; the rest as `forward` and `api.backward` say.

    Raises:
        OutputChanged: the output has not the run's seal.
    """
    first = 1 + len(states)
    d_x = _empty_like(x) if needs[0] else None
    d_states: list[Tensor | None] = []
    if states:
        d_states = [x.new_empty(*s.shape) if need else None for s, need in zip(states, needs[1:first], strict=True)]
    d_weights: Sequence[Tensor | None] = [None] * len(weights)
    at_d_weights = [0] * len(weights)
    if True in needs[first:]:
        d_weights = new = [x.new_empty(groups, *w.shape) for w in weights] if groups else [*map(_empty_like, weights)]
        at_d_weights = [*map(Tensor.data_ptr, new)]
    found = ctypes.c_int64()
    scratch = scratch_for(prepared.scratch)
    plan = prepared.rest.pack(
        scratch.data_ptr(),
        False,
        x.data_ptr(),
        *at_states,
        *NO_STATES,
        output.data_ptr(),
        *at_saved,
        *at_tables,
        0 if seal is None else ctypes.addressof(found),
        0 if d_output is None else d_output.data_ptr(),
        *at_d_last,
        0 if d_x is None else d_x.data_ptr(),
        *(two(d_states) if d_states else NO_STATES),
        *at_weights,
        *at_d_weights,
    )
    prepared.start(prepared.head + plan)
    if seal is not None and found.value & prepared.seal_bits != seal:
        raise OutputChanged("The output was written to after the forward pass.")
    return [d_x, *d_states, *d_weights]


def two(states: Sequence[Tensor | None]) -> tuple[int, int]:
    """The addresses of h and c, or what there is of them."""
    h, c = states if len(states) == 2 else (*states, None)
    return 0 if h is None else h.data_ptr(), 0 if c is None else c.data_ptr()


def addresses_of(saved: Saved) -> list[int]:
    """Of all five that a cell may have."""
    return [0 if a is None else a.data_ptr() for a in saved] + [0] * (5 - len(saved))
