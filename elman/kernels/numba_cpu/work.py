"""How threads share a run: phases, each a number of tasks that are taken one by one.

Every thread runs the whole kernel. In each phase it takes tasks while there are any, then waits until those taken by
others are done. How many threads come, and when, changes nothing but the time: one alone finishes every phase.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic

from elman.kernels.numba_cpu.plan import COUNTER_BYTES, FIELDS, HEADER_BYTES
from elman.kernels.numba_cpu.sizes import VECTOR_BYTES, YIELD
from elman.kernels.numba_cpu.tile import part, pointer_to

_WORD, _INT = ir.IntType(64), ir.IntType(32)
_SPINS = 2000  # looks at a counter, some 10 us, after which whoever is awaited may need this processor
_HEADER = from_dtype(np.dtype([(name, np.int64) for name in FIELDS]))
addresses = pointer_to(types.int64)
flags = pointer_to(types.uint8)


@intrinsic
def _fetch_add_one(_: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _WORD.as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(_WORD, 1), "seq_cst")

    return types.int64(types.intp), codegen


@intrinsic
def _load_acquire(_: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(arguments[0], _WORD.as_pointer()), "acquire", 8)

    return types.int64(types.intp), codegen


@intrinsic
def _yield_processor(_: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_INT, []), YIELD)
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _clear(_: Any, address: Any, count: Any) -> Any:
    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        cgutils.memset(builder, pointer, arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


clear: Any = _clear
"""Writes 0 into so many bytes from an address on."""


@intrinsic
def _read_header(_: Any, plan: Any) -> Any:

    def codegen(context: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(_HEADER))

    return _HEADER(types.intp), codegen


read_header: Any = _read_header
"""The sizes and addresses at the head of the plan, as a record."""


@part
def weight_at(plan, layer, d, which):
    """The address of W_ih, W_hh, b_ih or b_hh (0 to 3) of one cell, a direction of a layer."""
    p = read_header(plan)
    return addresses(plan + HEADER_BYTES)[(layer * p.directions + d) * p.weights_a_cell + which]


@part
def gradient_at(plan, layer, d, which):
    """The same for the gradients; 0 where none is asked for."""
    p = read_header(plan)
    cell = (p.layers + layer) * p.directions + d
    return addresses(plan + HEADER_BYTES)[cell * p.weights_a_cell + which]


@part
def inputs_of(p, layer):
    """K, the size of a layer's input."""
    return p.directions * p.hidden_size if layer else p.input_size


@part
def input_at(p, layer):
    """The input (T, N, K) of a layer, after dropout."""
    if layer == 0:
        return p.x
    return (p.dropped if p.masks else p.inner) + p.layer_bytes * (layer - 1)


@part
def output_at(p, layer):
    """The output (T, N, D * H) of a layer."""
    return p.output if layer == p.layers - 1 else p.inner + p.layer_bytes * layer


@part
def packed_ih_at(p, layer, d):
    cell = p.memory + p.packed + d * (p.hh + p.bias)
    if layer == 0:
        return cell + d * p.ih_first
    before = p.ih_first + (layer - 1) * p.ih_next + layer * (p.hh + p.bias)
    return cell + p.directions * before + d * p.ih_next


@part
def packed_hh_at(p, layer, d):
    return packed_ih_at(p, layer, d) + (p.ih_next if layer else p.ih_first)


@part
def bias_at(p, layer, d):
    return packed_hh_at(p, layer, d) + p.hh


@part
def _counter(plan, phase):
    p = read_header(plan)
    weights = 2 * p.layers * p.directions * p.weights_a_cell
    return plan + HEADER_BYTES + 8 * weights + COUNTER_BYTES * (1 + 2 * phase)


@part
def _enter(plan):
    """The number of the calling thread, counted from 0 in the order of coming."""
    return _fetch_add_one(_counter(plan, 0) - COUNTER_BYTES)


@part
def table_at(p, thread, which):
    """The address of one of the calling thread's four tables of addresses."""
    return p.memory + p.tables + 8 * p.table * (4 * thread + which)


@part
def _take(plan, phase):
    """The next task of the phase, counted from 0; at or past the number of tasks: none is left."""
    return _fetch_add_one(_counter(plan, phase))


@part
def _done(plan, phase):
    """Says that one taken task is finished."""
    _fetch_add_one(_counter(plan, phase) + COUNTER_BYTES)


@part
def wait(plan, phase, tasks):
    """Returns when all tasks of the phase are finished."""
    address = _counter(plan, phase) + COUNTER_BYTES
    spins = 0
    while _load_acquire(address) < tasks:
        spins += 1
        if spins > _SPINS:
            _yield_processor()


@part
def tail_at(p, thread):
    """The address of one vector for the calling thread."""
    return p.memory + p.tails + VECTOR_BYTES * thread


def make_phases(phases: Any, tasks_of: Any, work_on: Any) -> Any:
    """Runs the phases of forward.py or backward.py one after the other, each by whoever is there."""

    @part
    def run(plan):
        p = read_header(plan)
        alone = p.threads == 1  # then nobody counts, and the counters are not there
        thread = 0 if alone else _enter(plan)
        if thread >= p.threads:
            return
        for phase in range(phases(p)):
            tasks = tasks_of(p, plan, phase)
            task = 0 if alone else _take(plan, phase)
            while task < tasks:
                work_on(p, plan, phase, task, thread)
                if alone:
                    task += 1
                else:
                    _done(plan, phase)
                    task = _take(plan, phase)
            if not alone:
                wait(plan, phase, tasks)

    return run


@part
def sort(p):
    """Fills the tables of sequences of different lengths: those of Sizes from `ordered` to `offsets`.

    A chunk is a range of places with its share of all steps, the longest sequence first: neighbours in memory, so that
    no two threads write to the same cache line.
    """
    if p.ragged == 0:
        return
    given, ordered = addresses(p.lengths), addresses(p.memory + p.ordered)
    firsts, offsets = addresses(p.memory + p.firsts), addresses(p.memory + p.offsets)
    if p.ragged == 2:
        offsets[0] = 0
        for t in range(p.steps):
            offsets[t + 1] = offsets[t] + given[t]
            for i in range(given[t + 1] if t + 1 < p.steps else 0, given[t]):
                ordered[i] = t + 1
        given = ordered  # it is in order, and stays so
    total, so_far, chunk = 0, 0, 0
    for i in range(p.sequences):
        total += given[i]
    firsts[0] = 0
    for i in range(p.sequences):
        so_far += given[i]
        while chunk < p.chunks - 1 and so_far * p.chunks >= total * (chunk + 1):
            chunk += 1
            firsts[chunk] = i + 1
    while chunk < p.chunks:
        chunk += 1
        firsts[chunk] = p.sequences
    for chunk in range(p.chunks):
        _sort_chunk(p, chunk, given)


@part
def _sort_chunk(p, chunk, given):
    """The longest first: places of the same length keep their order."""
    ordered, order = addresses(p.memory + p.ordered), addresses(p.memory + p.order)
    starts = addresses(p.memory + p.starts + 8 * chunk * (p.steps + 1))
    first, count = chunk_of(p, chunk)
    for t in range(p.steps + 1):
        starts[t] = 0
    for i in range(first, first + count):
        starts[given[i]] += 1
    longer = first
    for t in range(p.steps, -1, -1):  # starts[t]: first and how many are longer than t
        longer, starts[t] = longer + starts[t], longer
    for i in range(first, first + count):
        length = given[i]
        order[starts[length]] = i
        starts[length] += 1
    for t in range(p.steps + 1):
        starts[t] -= first
    for t in range(p.steps, 0, -1):  # starts[t]: how many have a step t - 1
        for k in range(starts[t + 1] if t < p.steps else 0, starts[t]):
            ordered[first + k] = t
    for k in range(starts[1] if p.steps else 0, count):
        ordered[first + k] = 0
    starts[0] = 0
    for t in range(p.steps):
        starts[t + 1] += starts[t]


@part
def chunk_of(p, chunk):
    """(first, count) of the sequences in a chunk."""
    if p.ragged:
        firsts = addresses(p.memory + p.firsts)
        return firsts[chunk], firsts[chunk + 1] - firsts[chunk]
    first = chunk * p.sequences // p.chunks
    return first, (chunk + 1) * p.sequences // p.chunks - first


@part
def length_of(p, i):
    """Steps of the i-th sequence."""
    return addresses(p.memory + p.ordered)[i] if p.ragged else p.steps


@part
def place_of(p, i):
    """Where the i-th sequence stands in h_0 and h_n."""
    return addresses(p.memory + p.order)[i] if p.ragged else i


@part
def row_of(p, t, i):
    """Where step t of the i-th sequence lies in input and output."""
    return addresses(p.memory + p.offsets)[t] + i if p.ragged == 2 else t * p.sequences + place_of(p, i)


@part
def _before(p, chunk, t):
    """The number of real steps in a chunk before t; as many steps are the first t of all its sequences."""
    return addresses(p.memory + p.starts)[chunk * (p.steps + 1) + t]


@part
def rows_in(p, s0, s1):
    """The number of real steps from s0 to before s1."""
    if p.ragged == 0:
        return (s1 - s0) * p.sequences
    rows = 0
    for chunk in range(p.chunks):
        rows += _before(p, chunk, s1) - _before(p, chunk, s0)
    return rows


@part
def number_of(p, chunk, s, s0, s1):
    """The number that step s of a chunk's first sequence has among the real steps from s0 to before s1."""
    if p.ragged == 0:
        return (s - s0) * p.sequences + chunk_of(p, chunk)[0]
    rows = _before(p, chunk, s) - _before(p, chunk, s0)
    for other in range(chunk):
        rows += _before(p, other, s1) - _before(p, other, s0)
    return rows


@part
def rows_from(p, first, count, rows):
    """Where `count` real steps lie in input and output, from the `first` on in the order of number_of."""
    if p.ragged != 1:
        for k in range(count):
            rows[k] = first + k
        return
    chunk = 0
    while first >= _before(p, chunk, p.steps):
        first -= _before(p, chunk, p.steps)
        chunk += 1
    t, after = 0, p.steps  # _before(t) <= first < _before(after)
    while after - t > 1:
        middle = (t + after) // 2
        if _before(p, chunk, middle) <= first:
            t = middle
        else:
            after = middle
    i = first - _before(p, chunk, t)
    of_step = _before(p, chunk, t + 1) - _before(p, chunk, t)
    for k in range(count):
        if i == of_step:
            t, i = t + 1, 0
            while t == p.steps or _before(p, chunk, t + 1) == _before(p, chunk, t):
                chunk, t = (chunk + 1, 0) if t == p.steps else (chunk, t + 1)
            of_step = _before(p, chunk, t + 1) - _before(p, chunk, t)
        rows[k] = row_of(p, t, chunk_of(p, chunk)[0] + i)
        i += 1


@part
def tasks_of_padding(p):
    """Into how many tasks clear_padding is split; 0 where all rows are real steps."""
    return 4 * p.threads if p.ragged == 1 else 0  # most of the padding stands at the end


@part
def clear_padding(p, target, row_bytes, task):
    """Writes 0 into the rows that are no real steps, in one share of the steps."""
    given, tasks = addresses(p.lengths), tasks_of_padding(p)
    for t in range(task * p.steps // tasks, (task + 1) * p.steps // tasks):
        for i in range(p.sequences):
            if given[i] <= t:
                clear(target + row_bytes * (t * p.sequences + i), row_bytes)


@part
def starts_again(p, d, t, i):
    """Whether the state is h_0 again before direction d reads step t of sequence i, which is not the first it reads."""
    if p.reset == 0:
        return False
    q = (t + d) * p.sequences + place_of(p, i)  # backwards, the piece that starts at t + 1 ends before t
    return flags(p.reset + q)[0] != 0


@part
def columns_of(p, group, panel):
    """(first, after the last) of the columns of a group, in whole panels."""
    panels = (p.hidden_size + panel - 1) // panel
    return group * panels // p.groups * panel, min(p.hidden_size, (group + 1) * panels // p.groups * panel)


@part
def h0_at(p, cell, i, size):
    """The address of h_0 of the i-th sequence."""
    if p.h0 == 0:
        return p.memory + p.zeros
    return p.h0 + size * p.hidden_size * (cell * p.sequences + place_of(p, i))
