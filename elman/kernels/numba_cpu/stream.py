"""One step after the other with the weights packed once: what a stream runs."""

import ctypes
import struct
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from elman.kernels.numba_cpu.allocation import scratch_memory
from elman.kernels.numba_cpu.inside_torch import inside_torch
from elman.kernels.numba_cpu.launch import end_of_forward
from elman.kernels.numba_cpu.memory import check_room, no_address, plain
from elman.kernels.numba_cpu.native_functions import Moment, NativeStep, Step, Turns
from elman.kernels.numba_cpu.obstacle import PLAIN
from elman.kernels.numba_cpu.plan.prepared import prepare
from elman.kernels.numba_cpu.plan.record import FIELDS, FORWARD, HEADER_BYTES, OF_FORWARD, Arrays
from elman.kernels.numba_cpu.rooms import room
from elman.kernels.numba_cpu.terms import NO_TERMS, read_terms, rows_of_terms
from elman.kernels.problem import Problem
from elman.kernels.reference.cells import FUNCTIONS

if TYPE_CHECKING:
    from elman.call.over_time import OfSteps

_write_terms = struct.Struct(f"{len(NO_TERMS)}q").pack_into
_PREPARED, _X, _OUTPUT, _LEAK = map(FIELDS.index, ("prepared", "x", "output", "leak"))


class _Turn(NamedTuple):
    """A step that reads these states, and writes those of the next turn."""

    states: tuple[Tensor, ...]
    plan: Any
    """The numbers of its plan, of which x, output and terms are written at each step."""
    at: int
    """Where they are."""


class StreamOfSteps:
    """The steps of one batch, with weights as they are when this is made."""

    def __init__(
        self,
        problem: Problem,
        batched: bool = True,
        looks_like: Callable[[Any], Any] = lambda _: None,
        beside: "OfSteps | None" = None,
    ) -> None:
        """For inputs like problem.x[0], where problem.x is one step (1, N, I), from problem.states, which are then
        written to. Not `batched`: N is 1, and inputs and outputs have no axis for it. `looks_like` stands in
        autograd/private.py, `beside`, where steps read more than x, in call/over_time.py."""
        problem = problem if beside is None else beside.like
        self._beside, self._terms_are_read = beside, False
        self._terms: Sequence[Tensor] = ()
        # of a cell that carries f(v) beside v, the states are v alone
        self._f = FUNCTIONS[problem.cell.nonlinearity or ""].of if problem.cell.layer == "potential" else None
        self.begun = False  # whether a step was taken since this was made or began again
        self.looks: Callable[[Any], bool] = lambda _: False
        """Whether an input looks like one that was read as it lies, and under the same modes."""
        self.at_once: Step | None = None
        """`step` as one function, which returns None where that has to be asked."""
        self._native: NativeStep | None = None
        self._looks_like = looks_like
        self._batched = batched
        states, like = problem.states, problem.x
        spare = tuple(torch.empty_like(state) for state in states)  # a step reads these or those, and writes the others
        self.shape, self._dtype = like.shape[1 if batched else 2 :], like.dtype
        # aliases, which keep the memory even if a parameter gets other data: so no other weight comes to its address
        aliases = [w.detach() for w in problem.weights]
        weights = [*map(plain, aliases)]
        self._in_place = all(w is alias for w, alias in zip(weights, aliases, strict=True))
        prepared = prepare(problem, False, False, 0, False)
        memory, inner = scratch_memory(prepared.scratch), torch.empty_like(states[0])
        self._start = prepared.start
        self._kept = (memory, inner, weights)  # what the plan has the addresses of
        self._x_bytes, self._itemsize = like.nbytes, like.itemsize
        self._y_shape = states[0].shape[1 if batched else 2 :]
        self._new_y = room(self._y_shape, like.dtype)
        at_weights = [w.data_ptr() or no_address(w) for w in weights]
        end, nothing = end_of_forward(prepared, at_weights), Arrays(*[0] * len(Arrays._fields))

        def turn(before: tuple[Tensor, ...], after: tuple[Tensor, ...]) -> _Turn:
            (h, c), (h_n, c_n) = (([s.data_ptr() for s in some] + [0])[:2] for some in (before, after))
            arrays = nothing._replace(memory=memory.data_ptr(), inner=inner.data_ptr(), h0=h, c0=c, h_n=h_n, c_n=c_n)
            numbers = prepared.head + FORWARD.pack(*arrays[:OF_FORWARD]) + end
            plan = (ctypes.c_int64 * (len(numbers) // 8)).from_buffer_copy(numbers)
            return _Turn(before, plan, ctypes.addressof(plan))

        self._turns, self._next = (turn(states, spare), turn(spare, states)), ctypes.c_int64(0)
        self._before_counters = HEADER_BYTES + 8 * 2 * len(weights)
        self._counters = ctypes.sizeof(self._turn.plan) - self._before_counters  # bytes

    @property
    def _turn(self) -> _Turn:
        return self._turns[self._next.value]

    @property
    def states(self) -> tuple[Tensor, ...]:
        """h (L, N, P), and c (L, N, H) where there is one, without N where inputs have none: the states themselves
        after the last step, to read and to write to."""
        states: tuple[Tensor, ...] = self._turn.states if self._f is None else self._turn.states[1:]
        return states if self._batched else tuple(state.squeeze(1) for state in states)

    def can_begin(self, states: tuple[Tensor, ...], weights: Sequence[Tensor]) -> bool:
        """Whether states fit, or are none, and weights of the same shapes are read where and as they lie."""
        fits = all(
            type(new) in PLAIN and new.shape == own.shape and new.dtype is own.dtype and new.is_cpu
            for new, own in zip(states, self.states, strict=False)
        )
        return fits and self._in_place and all(w.is_contiguous() and not w.is_neg() for w in weights)

    def begin(self, states: tuple[Tensor, ...]) -> None:
        """Goes on from states that fit, from zeros if there are none, with the weights as they are now."""
        with torch.inference_mode():  # the own states may have been made in it
            for k, own in enumerate(self.states):
                own.copy_(states[k]) if states else own.zero_()
            self.was_written_to()
        self._terms_are_read = False
        self._has_begun(False)

    def _has_begun(self, begun: bool) -> None:
        """Whether a step was taken, and so whether the packed weights are there."""
        self.begun = begun
        for turn in self._turns:
            turn.plan[_PREPARED] = begun

    def was_written_to(self) -> None:
        """The states were: what follows from them is made anew."""
        if self._f is not None:
            h, v = self._turn.states
            h.copy_(self._f(v))

    def _read_terms(self, beside: "OfSteps", given: dict[str, Any] | None) -> None:
        if given or not self._terms_are_read:
            self.at_once = None
            problem = beside.terms(given or {})
            self._terms, at = read_terms(rows_of_terms(problem, problem.x), problem.terms)
            for turn in self._turns:
                _write_terms(turn.plan, 8 * _LEAK, *at)
        self._terms_are_read = not (given or beside.changes)

    def fits(self, x: Tensor) -> bool:
        """Whether a step can be taken from x."""
        return x.shape == self.shape and x.dtype is self._dtype and x.is_cpu

    def as_read(self, x: Tensor) -> Tensor:
        """An input that fits, as steps read it; then its look is known."""
        read = plain(x)
        if read is x and not x.requires_grad:
            self.looks = self._looks_like([x]) or self.looks
        return read

    def step(self, x: Tensor, terms: dict[str, Any] | None = None) -> Tensor:
        """The last layer's h, (N, P) or (P,), after one more step from its input x, (N, I) or (I,), as it is read, with
        the terms that its call was given."""
        if x.untyped_storage().nbytes() < self._x_bytes + x.storage_offset() * self._itemsize:
            check_room((x,))
        if self._beside is not None:
            self._read_terms(self._beside, terms)
        y = self._new_y()
        _, plan, at = self._turns[self._next.value]
        plan[_X], plan[_OUTPUT] = x.data_ptr(), y.data_ptr()
        if self._counters:
            ctypes.memset(at + self._before_counters, 0, self._counters)
        self._start(at)
        if not self.begun:
            self._has_begun(True)
        self._next.value ^= 1
        return y

    @property
    def can_go_at_once(self) -> bool:
        """Whether machine code takes such steps: after the first one, which packs the weights, those whose terms, if
        there are any, are read already."""
        return self.begun and (self._beside is None or self._terms_are_read) and inside_torch() is not None

    def go_at_once(self, lock: Any, layer: Any, asked: ContextVar[Any], moment: Moment) -> None:
        """From now on `at_once` takes steps of inputs that look as those before, at moments that are as this one."""
        if self._native is None:
            turns = Turns(
                (self._turns, self._kept),
                self._start,
                (self._turns[0].at, self._turns[1].at),
                self._next,
                self._x_bytes,
                self._y_shape,
                self._dtype,
                self._before_counters,
                self._counters,
            )
            self._native = NativeStep(turns, lock, layer, asked)
        self.at_once = None
        self._native.tell(moment, self.looks, self._terms)
        self.at_once = self._native.take
