"""One step after the other with the weights packed once: what a stream runs."""

import ctypes
import struct
from collections.abc import Sequence

import torch
from torch import Tensor

from elman.kernels.numba_cpu.obstacle import PLAIN
from elman.kernels.numba_cpu.launch import no_address, plain, scratch_memory
from elman.kernels.numba_cpu.plan import FIELDS, HEADER_BYTES, Arrays
from elman.kernels.numba_cpu.prepared import prepare
from elman.kernels._old_problem import Problem

_empty_like = torch.empty_like
_write = struct.Struct("5q").pack_into  # what stands side by side in the plan: prepared, x, h0, h_n, output
_PREPARED = 8 * FIELDS.index("prepared")


class Steps:
    """The steps of one batch, with weights as they are when this is made."""

    def __init__(self, problem: Problem, shape: Sequence[int], state: Tensor, weights: Sequence[Tensor]) -> None:
        """For inputs of `shape`, (N, I) or (I,), from a state (L, N, H) or (L, H), which is then written to."""
        self.begun = False  # whether a step was taken since this was made or began again
        self.shape, self._dtype = torch.Size(shape), state.dtype
        spare = torch.empty_like(state)  # a step reads one and writes the other
        at, at_spare = state.data_ptr(), spare.data_ptr()
        self._turn, self._next = (state, at, at_spare), (spare, at_spare, at)
        # aliases, which keep the memory even if a parameter gets other data: so no other weight comes to its address
        aliases = [w.detach() for w in weights]
        weights = [*map(plain, aliases)]
        self._in_place = all(w is alias for w, alias in zip(weights, aliases, strict=True))
        sequence = state.new_empty(1, *shape) if len(shape) == 2 else state.new_empty(1, 1, *shape)
        prepared = prepare(problem, sequence, weights, backward=False)
        memory, inner = scratch_memory(prepared.scratch), torch.empty_like(state)
        self._start = prepared.start
        self._kept = (memory, inner, weights)  # what the plan has the addresses of
        self._like_y = torch.empty_like(state[0])
        at_weights = [w.data_ptr() or no_address(w) for w in weights]
        nothing = Arrays(*[0] * len(Arrays._fields))
        arrays = nothing._replace(memory=memory.data_ptr(), layer_bytes=state[0].nbytes, inner=inner.data_ptr())
        plan = prepared.head + prepared.rest.pack(*arrays, *at_weights, *at_weights)
        self._plan = (ctypes.c_int64 * (len(plan) // 8)).from_buffer_copy(plan)
        self._at, before = ctypes.addressof(self._plan), HEADER_BYTES + 8 * 2 * len(weights)
        self._counters = (self._at + before, 0, len(plan) - before) if len(plan) > before else None

    @property
    def state(self) -> Tensor:
        """(L, N, H) or (L, H): the state itself after the last step, to read and to write to."""
        return self._turn[0]

    def can_begin(self, state: Tensor | None, weights: Sequence[Tensor]) -> bool:
        """Whether a state fits, and weights of the same shapes are read where they are, as they lie there."""
        own = self.state
        fits = state is None or (
            type(state) in PLAIN and state.shape == own.shape and state.dtype is own.dtype and state.is_cpu
        )
        return fits and self._in_place and all(w.is_contiguous() and not w.is_neg() for w in weights)

    def begin(self, state: Tensor | None) -> None:
        """Goes on from a state that fits, by default zeros, with the weights as they are now."""
        with torch.inference_mode():  # the own state may have been made in it
            self.state.zero_() if state is None else self.state.copy_(state)
        self.begun = False

    def fits(self, x: Tensor) -> bool:
        """Whether a step can be taken from x."""
        return x.shape == self.shape and x.dtype is self._dtype and x.is_cpu

    def __call__(self, x: Tensor) -> Tensor:
        """The last layer's state, (N, H) or (H,), after one more step from its input x, which fits."""
        x = plain(x)
        y = _empty_like(self._like_y)
        _, before, after = turn = self._turn
        _write(self._plan, _PREPARED, self.begun, x.data_ptr() or no_address(x), before, after, y.data_ptr())
        if self._counters:
            ctypes.memset(*self._counters)
        self._start(self._at)
        self.begun = True
        self._turn, self._next = self._next, turn
        return y
