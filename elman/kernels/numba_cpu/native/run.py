"""A layer's run, forward or back: whether the memory of what is given is there, room for what is made, plan, kernel."""

from typing import Any

from elman.kernels.numba_cpu.compile.parts import addresses, part
from elman.kernels.numba_cpu.native.calls import (
    ask,
    content,
    copy,
    drop,
    fails,
    has_address,
    has_room,
    launch,
    make,
    or_none,
    reader,
)
from elman.kernels.numba_cpu.native.record import ANSWERS, OF_RUN
from elman.kernels.numba_cpu.plan.addresses import clear
from elman.kernels.numba_cpu.plan.record import FIELDS, LINE

_MEMORY = FIELDS.index("memory")
_record = reader(OF_RUN)


def make_run() -> Any:
    """run(own, given, count), which is given tensors; before them, if the record says so, the weights' addresses in an
    object `bytes`, and back the seal that the output should have. It returns a tuple of what it made, or None where the
    run is for Python, or the seal is another."""

    @part
    def to_line(address):
        return (address + LINE - 1) // LINE * LINE

    @part
    def hold(r, k, tensor, held, answers):
        """Holds a tensor's memory by another one, since a thread may give this one other data meanwhile. Whether the
        tensor is all of its memory; then it is known where that begins."""
        form, found = r.at_given + 16 * k, addresses(answers)
        if fails(ask(r.reinterpret, tensor, 1, form + 8, r.one, 0, answers)):
            return False
        other, size = found[0], addresses(form)[0]
        addresses(held)[k - (r.given - r.held)] = other
        error = ask(r.storage_size, tensor, answers) | ask(r.storage_offset, tensor, answers + 8)
        return not fails(error) and found[0] == size and found[1] == 0 and has_address(r, other, answers)

    @part
    def are_there(r, given, held, begins, answers):
        """Whether all tensors' memory is. Then it is known where they begin."""
        forms, there = addresses(r.at_given), True
        for k in range(r.given):
            tensor = addresses(given)[k] + r.tensor
            if k < r.given - r.held:
                there = there and has_room(r, tensor, forms[2 * k], answers)
            else:
                there = there and hold(r, k, tensor, held, answers)
            addresses(begins)[k] = addresses(answers)[0]
        return there

    @part
    def make_all(r, made, begins, answers):
        """Whether there is memory for all. Then it is known where they begin."""
        forms, found = addresses(r.at_made), addresses(answers)
        for k in range(r.made):
            new = make(r, forms[3 * k], forms[3 * k + 1], forms[3 * k + 2], answers)
            if new == 0:
                return False
            addresses(made)[k] = new
            addresses(begins)[r.given + k] = found[0]
        return True

    @part
    def row_of(r, made, seal):
        """What Python gets, which takes what was made; 0: there is no memory."""
        slots, row = addresses(r.at_slots), ask(r.PyTuple_New, r.slots)
        if row == 0:
            return 0
        for slot in range(r.slots):
            which = slots[slot]
            if which < 0:
                thing = ask(r.PyLong_FromSsize_t, seal)
            elif which == 0:
                thing = r.none
                ask(r.Py_IncRef, thing)
            else:
                thing = addresses(made)[which - 1]
                addresses(made)[which - 1] = 0
            if thing == 0:
                drop(r, row)
                return 0
            ask(r.PyTuple_SetItem, row, slot, thing)
        return row

    @part
    def launch_with(r, plan, weights, begins, seal):
        """Whether nothing was raised. Then the seal is known."""
        copy(plan, r.plan, r.plan_bytes)
        words, places = addresses(plan), addresses(r.at_places)
        words[_MEMORY] = to_line(plan + r.plan_bytes)
        for k in range(r.places):
            words[places[3 * k]] = addresses(begins)[places[3 * k + 1]] + places[3 * k + 2]
        if r.weights != 0:
            copy(plan + 8 * r.at_weights, weights, 8 * r.weights)
        addresses(seal)[0] = 0
        if r.seal != 0:
            words[r.seal] = seal
        return launch(r, plan)

    @part
    def run(own, given, count):
        r = _record(own)
        found, by_address, first = 0, r.weights != 0, (1 if r.weights != 0 else 0) + r.compared
        words = ANSWERS + r.made + r.held + r.given + r.made
        memory = ask(r.PyMem_RawMalloc, 8 * words + r.plan_bytes + r.scratch_bytes + 2 * LINE)
        if memory != 0:
            clear(memory, 8 * words)
            answers, made = memory, memory + 8 * ANSWERS
            held, begins, plan = made + 8 * r.made, made + 8 * (r.made + r.held), to_line(memory + 8 * words)
            if count == first + r.given and are_there(r, given + 8 * first, held, begins, answers):
                weights = content(addresses(given)[0]) if by_address else 0
                expected = ask(r.PyLong_AsSsize_t, addresses(given)[1]) if r.compared else 0
                if make_all(r, made, begins, answers) and launch_with(r, plan, weights, begins, answers):
                    seal = addresses(answers)[0] & r.seal_bits
                    if not r.compared or seal == expected:
                        found = row_of(r, made, seal)
            for k in range(r.made):
                drop(r, addresses(made)[k])  # what did not go to Python
            for k in range(r.held):
                if addresses(held)[k] != 0:
                    ask(r.delete, addresses(held)[k])
            ask(r.PyMem_RawFree, memory)
        return or_none(r, found)

    return run
