"""Runs of a form that was checked before: what is asked of their tensors is only what may have changed since.

torch says whether tensors look as others did (`looks_like` of autograd/private.py). Here it is asked whether their
memory is there, and on the way back whether it is that which forward read.
"""

import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from elman import _fork
from elman.kernels.numba_cpu import at_once
from elman.kernels.numba_cpu.launch import (
    NO_STATES,
    NO_TABLES,
    NOTHING_SAVED,
    OutputChanged,
    Saved,
    addresses_of_tables,
    end_of_forward,
    launch_backward,
    launch_forward,
    two,
)
from elman.kernels.numba_cpu.memory import (
    addresses,
    as_it_lies,
    check_bytes,
    check_own_room,
    check_room,
    fits,
    has_numbers,
    plain,
    plain_of,
    rows_as_they_lie,
    span_of,
)
from elman.kernels.numba_cpu.native_functions import Run
from elman.kernels.numba_cpu.plan.prepared import Prepared, prepare
from elman.kernels.numba_cpu.terms import NO_TERMS, gradients_of_terms, read_terms, room_for_gradients, rows_of_terms
from elman.kernels.problem import Problem, Tables

_storage_of: Any = Tensor.untyped_storage
_offset_of = Tensor.storage_offset
_bytes_of: Any = torch.UntypedStorage.nbytes
_address_of: Any = torch.UntypedStorage.data_ptr

_NO_END: tuple[list[int], bytes] = [], b""
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
        self._pack = struct.Struct(f"{len(problem.weights)}q").pack
        self._keeps_terms = any(term.requires_grad for term in problem.terms)
        self._of_terms, self._term_shapes = rows_of_terms(problem, x), [term.shape for term in problem.terms]
        self._ahead: dict[bool, Prepared] = {}  # without and with what is saved
        self._ends: dict[bool, tuple[list[int], bytes]] = {}  # of their plans, for weights at these addresses
        self._back: dict[tuple[object, ...], list[_WayBack]] = {}
        self.at_once: dict[bool, Run | None] = {}
        """`forward` as one function, as at_once.py says, without and with what is saved: of runs whose steps read
        nothing beside x, from the second on."""

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
    ) -> tuple[Tensor, tuple[Tensor, ...], Sequence[Tensor], int]:
        """Output, last states, the buffers of what is saved and then a seal of the output."""
        run = self.at_once.get(True) if save else None
        if run is not None and (found := run(self._pack(*held[1]), x, *states)) is not None:
            count = 1 + len(self._ahead[True].states)
            return found[0], found[1:count], found[count:-1], found[-1]
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
            prepared = prepare(problem, False, save, 0, self._turned, keeps_terms)
            if not terms and not tables:
                sizes = [t.nbytes for t in (x, *states)]
                self.at_once[save] = at_once.forward(prepared, x.dtype, sizes, self._weight_bytes, save)
            self._ahead[save] = prepared
        at_weights, end = self._ends.get(save, _NO_END)
        if terms or at_weights != held[1]:
            end = end_of_forward(prepared, held[1], at_terms)
            if not terms:
                self._ends[save] = held[1], end
        buffers = prepared.rooms.buffers
        saved: Any = ()
        at_saved: Sequence[int] = NOTHING_SAVED
        if buffers.rooms:
            saved = [room() for room in buffers.rooms]
            at_saved = buffers.addresses(saved)
        output, last, seal = launch_forward(prepared, x.data_ptr(), at_states, at_saved, at_tables, save, end)
        del read  # what was made rows was kept until the kernel was back
        return output, last, saved, seal

    def backward(
        self,
        kept: Sequence[Tensor],  # x, the states, the terms, output, and what is saved besides
        held: Held,
        tables: Tables,
        seal: int,
        d_output: Tensor | None,
        d_last: tuple[Tensor | None, ...],
        needs: Sequence[bool],
    ) -> Sequence[Tensor | None] | None:
        """The gradients; None where something is not as forward left it, or a gradient is no plain tensor."""
        storages, at_weights = held
        if [*map(_address_of, storages)] != at_weights or [*map(_bytes_of, storages)] != self._weight_bytes:
            return None
        given = d_output, *d_last
        gradients = [d for d in given if d is not None]
        form = *map(type, given), needs, torch.get_num_threads(), _fork.forked
        for way in self._back.get(form, ()):
            if way.looks(*kept, *gradients):
                break
        else:
            if (new := self._way_back(kept, given, tables, needs)) is None:
                return None
            way = new
            if (look := self._looks_like([*kept, *gradients])) is not None:
                way.looks, self._back[form] = look, [way, *self._back.get(form, ())[:7]]
        place = self.place_of_output
        tensors, terms = [*kept[: self.count], *kept[place:], *gradients], kept[self.count : place]
        for k, copy in way.copied:
            tensors[k] = copy(tensors[k])
        if way.at_once is not None:
            found = way.at_once(self._pack(*at_weights), seal, *tensors)
            if found is not None:
                return found
        at = way.order((0, *addresses(tensors, way.sizes)))
        at_tables = addresses_of_tables(tables) if tables else NO_TABLES
        at_terms: Sequence[int] = NO_TERMS
        if terms:
            of_terms, needs, needs_terms = self._of_terms, needs[: self.end], needs[self.end :]
            read, at_terms = read_terms(of_terms[:1], terms[:1])  # on the way back nothing reads the drive
            d_terms, at_terms = room_for_gradients(of_terms, needs_terms, kept[0], at_terms)
        try:
            made = launch_backward(
                way.prepared,
                at[0],
                at[1:3],
                at_weights,
                at_tables,
                at[3],
                self._ahead[True].rooms.buffers.begin_at(at[4:9]),
                (at[9], *way.steps_of_rows),
                at[10:],
                needs,
                seal,
                at_terms,
            )
        except OutputChanged:
            return None
        del tensors  # which were kept until the kernel was back
        if terms:
            del read  # likewise
            made += gradients_of_terms(terms, d_terms)
        return made

    def _way_back(
        self, kept: Sequence[Tensor], given: Sequence[Tensor | None], tables: Tables, needs: Sequence[bool]
    ) -> "_WayBack | None":
        """That of gradients at output and last states which look like these; None where it is not for machine code.

        Raises:
            RuntimeError: a gradient does not fit.
        """
        if not self._fits(kept) or not all(map(has_numbers, given)):
            return None
        ahead, x, place = self._ahead[True], kept[0], self.place_of_output
        tensors = [*kept[: self.count], *kept[place:]]
        # of a buffer, where it begins stands for each array in it
        of_saved = ahead.rooms.buffers.places
        places = [[k] for k in (*range(self.count), 3)]
        for buffer in range(1, 1 + max(of_saved)):
            places.append([4 + k for k, its in enumerate(of_saved) if its == buffer])
        x_copied = self._turned and needs[0]  # its gradient lies as itself, not turned
        copied: list[tuple[int, Callable[[Tensor], Tensor]]] = [(0, plain)] if x_copied else []
        sizes, steps_of_rows = [t.nbytes for t in tensors], (0, 0)

        def take(at: int, d: Tensor, read: Tensor, copy: Callable[[Tensor], Tensor]) -> None:
            if read is not d:
                copied.append((len(sizes), copy))
            sizes.append(span_of(read))
            places.append([at])

        d_output, *d_last = given
        if d_output is not None:
            fits("d_output", d_output, ahead.output, x)
            read, steps_of_rows, copy = rows_as_they_lie(d_output)
            take(9, d_output, read, copy)
        for k, (d, shape) in enumerate(zip(d_last, ahead.states, strict=True)):
            if d is not None:
                fits("the gradient at a last state", d, shape, x)
                take(10 + k, d, plain(d), plain_of(d))
        problem = self.problem([*kept[: self.count], *self._weights, *kept[self.count : place]], tables)
        x_turned = self._turned and not x_copied
        prepared = prepare(problem, True, True, 0, x_turned, self._keeps_terms)
        way = _WayBack(prepared, sizes, steps_of_rows, places, copied)
        if not tables and place == self.count:
            given_to_it = [*zip(sizes, places, strict=True)]
            offsets = ahead.rooms.buffers.offsets
            way.at_once = at_once.back(prepared, x.dtype, given_to_it, offsets, steps_of_rows, needs, x.shape)
        return way

    def all_saved(self, buffers: Sequence[Tensor]) -> Saved:
        """What a run saved besides the output, of the buffers that it is in."""
        ahead = self._ahead[True]
        return ahead.rooms.buffers.arrays(buffers, ahead.saved)

    def _fits(self, kept: Sequence[Tensor]) -> bool:
        """Whether what was kept has its shapes, dtype, place and order still."""
        ahead, (x, turned) = self._ahead[True], as_it_lies(kept[0])
        shapes = [self._x_shape, *ahead.states[: self.count - 1], *self._term_shapes, ahead.output]
        shapes += ahead.rooms.buffers.shapes
        if [*map(Tensor.size, kept)] != shapes or {t.dtype for t in kept} != {self._weights[0].dtype}:
            return False
        others = [*kept[1 : self.count], *kept[self.place_of_output :]]
        if x is not kept[0] or turned is not self._turned or not all(plain(t) is t for t in others):
            return False
        return all(t.is_cpu for t in kept)

    def read_by(self, held: Held) -> list[Tensor]:
        """The weights as forward read them."""
        read = []
        for storage, form in zip(held[0], self._weights, strict=True):
            check_bytes(form, storage, form.nbytes)
            read.append(form.new_empty(0).set_(storage, 0, form.shape, form.stride()))
        return read


class _WayBack:
    """A way back of tensors that look alike."""

    __slots__ = ("at_once", "copied", "looks", "order", "prepared", "sizes", "steps_of_rows")
    looks: Look
    at_once: Run | None
    """The same as one function, as at_once.py says."""

    def __init__(
        self,
        prepared: Prepared,
        sizes: list[int],
        steps_of_rows: tuple[int, int],
        places: list[list[int]],
        copied: list[tuple[int, Callable[[Tensor], Tensor]]],
    ) -> None:
        """Of x, the states, output, what is saved besides and the gradients, as they are read: their bytes, how rows of
        the gradient at the output lie, the places of all among the addresses that a kernel is told, and which of them
        it reads from a copy, with what makes that."""
        self.prepared, self.sizes, self.steps_of_rows, self.copied = prepared, sizes, steps_of_rows, copied
        self.at_once = None
        order = [0] * len(at_once.BACK)
        for k, of_tensor in enumerate(places):
            for place in of_tensor:
                order[place] = k + 1
        self.order = operator.itemgetter(*order)
        """The addresses in their places, of a 0 for what is not there and then the tensors'."""


def _without_memory(tensor: Tensor) -> Tensor:
    """A tensor of the same form, for `torch.empty_like`."""
    form = torch.empty_like(tensor, requires_grad=False)
    form.untyped_storage().resize_(0)
    return form
