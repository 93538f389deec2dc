"""The sequences of a run: which rows of input and output are whose steps, where each begins, ends and starts again.

A chunk is what one task runs: neighbours, which `sort` puts in order where their lengths differ.
"""

from numba import types

from elman.kernels.numba_cpu.compile.parts import addresses, part, pointer_to
from elman.kernels.numba_cpu.plan.addresses import clear

_flags = pointer_to(types.uint8)


@part
def sort(p):
    """Fills the tables of sequences of different lengths: those of Shapes from `ordered` to `offsets`.

    A chunk is a range of places with its share of all steps, the longest sequence first: neighbours in memory, so that
    no two threads write to the same cache line.
    """
    if p.ragged == 0:
        return
    given, ordered = addresses(p.lengths), addresses(p.memory + p.ordered)
    firsts, offsets = addresses(p.memory + p.firsts), addresses(p.memory + p.offsets)
    if p.ragged == 2:
        offsets[0], before = 0, p.sequences
        for t in range(p.steps):
            # whoever gave other batch sizes than these gets wrong numbers, but of this memory
            size = max(0, min(given[t], min(before, p.rows - offsets[t])))
            offsets[t + 1] = offsets[t] + size
            for i in range(size, before):
                ordered[i] = t
            before = size
        for i in range(before):
            ordered[i] = p.steps
        given = ordered  # it is in order, and stays so
    total, so_far, chunk = 0, 0, 0
    for i in range(p.sequences):
        total += _length(p, given, i)
    firsts[0] = 0
    for i in range(p.sequences):
        so_far += _length(p, given, i)
        while chunk < p.chunks - 1 and so_far * p.chunks >= total * (chunk + 1):
            chunk += 1
            firsts[chunk] = i + 1
    while chunk < p.chunks:
        chunk += 1
        firsts[chunk] = p.sequences
    for chunk in range(p.chunks):
        _sort_chunk(p, chunk, given)


@part
def _length(p, given, i):
    """A length as it is given; one that is none leads to no memory but this."""
    return max(0, min(given[i], p.steps))


@part
def _sort_chunk(p, chunk, given):
    """The longest first: places of the same length keep their order."""
    ordered, order = addresses(p.memory + p.ordered), addresses(p.memory + p.order)
    starts = addresses(p.memory + p.starts + 8 * chunk * (p.steps + 1))
    first, count = chunk_of(p, chunk)
    for t in range(p.steps + 1):
        starts[t] = 0
    for i in range(first, first + count):
        starts[_length(p, given, i)] += 1
    longer = first
    for t in range(p.steps, -1, -1):  # starts[t]: first and how many are longer than t
        longer, starts[t] = longer + starts[t], longer
    for i in range(first, first + count):
        length = _length(p, given, i)
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
def groups_of(p, chunk):
    """(first, count) of the groups of sequences in a chunk, where their weight gradients are apart."""
    first = chunk * p.groups // p.chunks
    return first, (chunk + 1) * p.groups // p.chunks - first


@part
def chunk_of(p, chunk):
    """(first, count) of the sequences in a chunk."""
    if p.groups:
        first_group, groups = groups_of(p, chunk)
        a_group = p.sequences // p.groups
        return first_group * a_group, groups * a_group
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
def step_of(p, d, s, i):
    """The step in time of the i-th sequence that direction d reads as its s-th."""
    return length_of(p, i) - 1 - s if d else s


@part
def row_of(p, t, i):
    """Where step t of the i-th sequence lies in input and output."""
    return addresses(p.memory + p.offsets)[t] + i if p.ragged == 2 else t * p.sequences + place_of(p, i)


@part
def turned_row(p, d, s, i):
    """Where the s-th step that direction d reads of the i-th sequence lies in memory that is (N, T, .)."""
    return place_of(p, i) * p.steps + step_of(p, d, s, i)


@part
def row_of_gradient(p, d, s, i, q, a_step, a_row):
    """The bytes from the first row of a gradient at the output to that of row q, which is the s-th step that direction
    d reads of the i-th sequence."""
    if p.ragged == 2:
        return a_row * q
    return a_step * step_of(p, d, s, i) + a_row * place_of(p, i)


@part
def turned(p, q):
    """Where row q of memory (T, N, .) lies in memory that is (N, T, .)."""
    return q % p.sequences * p.steps + q // p.sequences


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
def rows_of_chunk(p, chunk, s0, s1):
    """The number of a chunk's real steps from s0 to before s1."""
    if p.ragged == 0:
        return (s1 - s0) * chunk_of(p, chunk)[1]
    return _before(p, chunk, s1) - _before(p, chunk, s0)


@part
def distance(p, s0, s1):
    """From the number of a step to that of the next sequence's same step: where they are apart, each has its own."""
    return s1 - s0 if p.groups else 1


@part
def number_of(p, chunk, s, s0, s1):
    """The number that step s of a chunk's first sequence has among the real steps from s0 to before s1: of all
    sequences, or of the chunk's where it sums by itself."""
    if p.groups:
        return s - s0
    if p.pieces:
        return rows_of_chunk(p, chunk, s0, s)
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
    return _flags(p.reset + q)[0] != 0


@part
def h0_at(p, direction, i, size):
    """The address of h_0 of the i-th sequence, in one direction of all layers'."""
    if p.h0 == 0:
        return p.memory + p.zeros
    return p.h0 + size * p.output_size * (direction * p.sequences + place_of(p, i))


@part
def c0_at(p, direction, i, size):
    """The same of c_0."""
    if p.c0 == 0:
        return p.memory + p.zeros
    return p.c0 + size * p.hidden_size * (direction * p.sequences + place_of(p, i))
