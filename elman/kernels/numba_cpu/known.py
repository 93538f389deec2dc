"""Runs of a form that was checked before: what is asked of their tensors is only what may have changed since.

torch says whether tensors look as others did (`looks_like` of autograd/private.py). Here it is asked whether their
memory is there, and on the way back whether it is that which forward read.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from elman import _fork
from elman.kernels.numba_cpu.api import (
    NO_STATES,
    NO_TABLES,
    NOTHING_SAVED,
    OutputChanged,
    Saved,
    addresses_of_tables,
    launch_backward,
    launch_forward,
    two,
)
from elman.kernels.numba_cpu.memory import as_it_lies, check_bytes, check_own_room, check_room, fits, plain
from elman.kernels.numba_cpu.plan.prepared import Prepared, prepare
from elman.kernels.numba_cpu.terms import NO_TERMS, gradients_of_terms, read_terms, room_for_gradients, rows_of_terms
from elman.kernels.problem import Problem, Tables

_storage_of: Any = Tensor.untyped_storage
_offset_of = Tensor.storage_offset
_bytes_of: Any = torch.UntypedStorage.nbytes
_address_of: Any = torch.UntypedStorage.data_ptr

Look = Callable[..., bool]
Held = tuple[list[torch.UntypedStorage], list[int]]
"""The memory of the weights and where it is. Who has it keeps it, whatever the weights' `.data` become."""


class Known:
    """Runs on tensors that look like those of one problem, which is not packed."""

    def __init__(self, problem: Problem, looks_like: Callable[[Sequence[Tensor]], Look | None]) -> None:
        x, turned = as_it_lies(problem.x)
        tables = [table for table in problem.tables if table is not None]
        as_they_lie = x is problem.x and all(plain(t) is t for t in (*problem.states, *problem.weights, *tables))
        self.usable = as_they_lie and {*map(type, problem.weights)} == {Parameter}
        """Whether all is read where it lies, and the weights are Parameters, which autograd saves as they are. Terms
        are read as rows, wherever they lie."""
        self.asks = any(t.requires_grad for t in problem.inputs)
        """Whether gradients are asked for."""
        self.count = 1 + len(problem.states)
        """Of what stands before the weights among a problem's inputs."""
        self.end = self.count + len(problem.weights)
        """Where the terms begin among them."""
        self.place_of_output = self.count + len(problem.terms)
        """Among what is kept for the way back."""
        self._problem = problem.without_inputs()._replace(lengths=None, reset=None, masks=None, recurrent_masks=None)
        self._turned, self._looks_like = turned, looks_like
        self._x_shape, self._weight_bytes = x.shape, [w.nbytes for w in problem.weights]
        self._weights = [_without_memory(w) for w in problem.weights]
        self._keeps_terms = any(term.requires_grad for term in problem.terms)
        self._of_terms, self._term_shapes = rows_of_terms(problem, x), [term.shape for term in problem.terms]
        self._ahead: dict[bool, Prepared] = {}  # without and with what is saved
        self._back: dict[tuple[object, ...], Prepared] = {}
        self._looks: list[Look] = []  # of what is kept for the way back

    def problem(self, inputs: Sequence[Tensor], tables: Tables) -> Problem:
        """A run of this form."""
        masks, recurrent, reset, lengths = tables or (None,) * 4
        of_tables = {"masks": masks, "recurrent_masks": recurrent, "reset": reset, "lengths": lengths}
        return self._problem._replace(**of_tables).with_inputs(inputs)  # type: ignore[arg-type]

    def hold(self, weights: Sequence[Tensor]) -> Held | None:
        """The weights' memory; None where that is not theirs alone."""
        storages = [*map(_storage_of, weights)]
        if [*map(_bytes_of, storages)] != self._weight_bytes or any(map(_offset_of, weights)):
            return None
        return storages, [*map(_address_of, storages)]

    def forward(
        self, x: Tensor, states: Sequence[Tensor], held: Held, terms: Sequence[Tensor], tables: Tables, save: bool
    ) -> tuple[Tensor, tuple[Tensor, ...], Saved, int]:
        """Output, last states, what is saved and then a seal of the output."""
        check_own_room(x)
        at_states: Sequence[int] = NO_STATES
        if states:
            check_room(states)
            at_states = two(states)
        at_tables = addresses_of_tables(tables) if tables else NO_TABLES
        read, at_terms = read_terms(self._of_terms, terms) if terms else ((), NO_TERMS)
        prepared = self._ahead.get(save)
        if prepared is None:
            problem = self.problem([x, *states, *self._weights, *terms], tables)
            keeps_terms = save and self._keeps_terms
            prepared = self._ahead[save] = prepare(problem, False, save, 0, self._turned, False, keeps_terms)
        found = launch_forward(prepared, x, at_states, held[1], at_tables, save, at_terms)
        del read  # what was made rows was kept until the kernel was back
        return found

    def backward(
        self,
        kept: Sequence[Tensor],  # x, the states, the terms, output, and what is saved besides
        held: Held,
        tables: Tables,
        seal: int,
        d_output: Tensor | None,
        d_last: tuple[Tensor | None, ...],
        needs: Sequence[bool],
    ) -> list[Tensor | None] | None:
        """The gradients; None where something is not as forward left it."""
        storages, at_weights = held
        if [*map(_address_of, storages)] != at_weights or [*map(_bytes_of, storages)] != self._weight_bytes:
            return None
        ahead = self._ahead[True]
        for look in self._looks:
            if look(*kept):
                break
        else:
            if not self._fits(kept):
                return None
        place = self.place_of_output
        x, states, terms = kept[0], kept[1 : self.count], kept[self.count : place]
        output, saved = kept[place], kept[place + 1 :]
        check_own_room(x)
        check_own_room(output)
        at_saved: Sequence[int] = NOTHING_SAVED
        if saved:
            at_saved = [0] * len(NOTHING_SAVED)
            for place, array in zip(ahead.places, saved, strict=True):
                check_own_room(array)
                at_saved[place] = array.data_ptr()
        at_states: Sequence[int] = NO_STATES
        if states:
            check_room(states)
            at_states = two(states)
        at_tables = addresses_of_tables(tables) if tables else NO_TABLES
        at_terms: Sequence[int] = NO_TERMS
        if terms:
            of_terms, needs, needs_terms = self._of_terms, needs[: self.end], needs[self.end :]
            read, at_terms = read_terms(of_terms[:1], terms[:1])  # on the way back nothing reads the drive
            d_terms, at_terms = room_for_gradients(of_terms, needs_terms, x, at_terms)
        x_turned, d_output_turned = self._turned, False
        if x_turned and needs[0]:  # whose gradient lies as itself
            x, x_turned = plain(x), False
        if d_output is not None:
            fits("d_output", d_output, ahead.output, x)
            given = d_output
            d_output, d_output_turned = as_it_lies(given)
            if d_output is given:
                check_own_room(given)
        at_d_last: Sequence[int] = NO_STATES
        if any(d is not None for d in d_last):
            d_last = tuple([d if d is None else plain(d) for d in d_last])
            for d, shape in zip(d_last, ahead.states, strict=True):
                if d is not None:
                    fits("the gradient at a last state", d, shape, x)
                    check_own_room(d)
            at_d_last = two(d_last)
        form = x_turned, d_output_turned, torch.get_num_threads(), _fork.forked
        prepared = self._back.get(form)
        if prepared is None:
            problem = self.problem([x, *states, *self._weights, *terms], tables)
            turned = x_turned, d_output_turned
            prepared = self._back[form] = prepare(problem, True, True, 0, *turned, self._keeps_terms)
        try:
            found = launch_backward(
                prepared,
                x,
                states,
                self._weights,
                at_states,
                at_weights,
                at_tables,
                output,
                at_saved,
                d_output,
                at_d_last,
                needs,
                0,
                seal,
                at_terms,
            )
        except OutputChanged:
            return None
        if terms:
            del read  # kept until the kernel was back
            found += gradients_of_terms(terms, d_terms)
        return found

    def all_saved(self, there: Sequence[Tensor]) -> Saved:
        """What `launch_forward` saved, of what of it is there."""
        ahead = self._ahead[True]
        found = dict(zip(ahead.places, there, strict=True))
        return tuple([found.get(place) for place in range(len(ahead.saved))])

    def _fits(self, kept: Sequence[Tensor]) -> bool:
        """Whether what was kept has its shapes, dtype, place and order still; then that look is known."""
        ahead, (x, turned) = self._ahead[True], as_it_lies(kept[0])
        saved = [shape for shape in ahead.saved if shape]
        shapes = [self._x_shape, *ahead.states[: self.count - 1], *self._term_shapes, ahead.output, *saved]
        if [*map(Tensor.size, kept)] != shapes or {t.dtype for t in kept} != {self._weights[0].dtype}:
            return False
        others = [*kept[1 : self.count], *kept[self.place_of_output :]]
        if x is not kept[0] or turned is not self._turned or not all(plain(t) is t for t in others):
            return False
        if not all(t.is_cpu for t in kept):
            return False
        if (look := self._looks_like(kept)) is not None:
            self._looks = [look, *self._looks[:7]]
        return True

    def read_by(self, held: Held) -> list[Tensor]:
        """The weights as forward read them."""
        read = []
        for storage, form in zip(held[0], self._weights, strict=True):
            check_bytes(form, storage, form.nbytes)
            read.append(form.new_empty(0).set_(storage, 0, form.shape, form.stride()))
        return read


def _without_memory(tensor: Tensor) -> Tensor:
    """A tensor of the same form, for `torch.empty_like`."""
    form = torch.empty_like(tensor, requires_grad=False)
    form.untyped_storage().resize_(0)
    return form
