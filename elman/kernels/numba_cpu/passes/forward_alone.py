"""The forward pass in the order of time, for sequences that are split between the threads: nobody waits."""

from typing import Any

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, call, part
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.passes.places import Places
from elman.kernels.numba_cpu.passes.reading import Reading
from elman.kernels.numba_cpu.passes.seal import Seal
from elman.kernels.numba_cpu.passes.sequences import (
    c0_at,
    chunk_of,
    h0_at,
    length_of,
    place_of,
    row_of,
    starts_again,
    step_of,
)
from elman.kernels.numba_cpu.plan.addresses import (
    leak_at,
    mask_at,
    output_at,
    own_at,
    packed_hh_at,
    packed_hr_at,
    table_at,
)

# A thread's tables of addresses: the states before a step, its rows h and z and their numbers, what it projects
_BEFORE, _H, _Z, _C_BEFORE, _Q, _M, _ZEROS = range(7)
# and with recurrent dropout those of the states before times their masks; where h stands in the output
_MASKED, _OUTPUT = 10, 11
_AHEAD = 2  # sequences whose step is computed between asking for a row and writing it


def make_recurrence(dtype: type, cell: Room, rows: Rows, places: Places, reading: Reading, seal: Seal) -> Any:
    """recur, for float32 or float64."""
    size, slots, h_gates, fresh = np.dtype(dtype).itemsize, cell.slots, len(cell.of_h), cell.fresh
    before_h, in_output, has_c, step = cell.before_h, cell.in_output, cell.has_c, cell.step
    z_at, c_at, m_at, kept_z_at, kept_c_at, kept_m_at = places
    read_span, begin_slots = reading.span, reading.begin_slots
    begin_seal, seal_row, end_seal = seal

    @part
    def ask(p, layer, d, q, out):
        """For the rows that the step whose output is row q will write."""
        if p.z:
            rows.prefetch_to_write(kept_z_at(p, layer, d, q), slots * p.hidden_size)
        if has_c and p.c:
            rows.prefetch_to_write(kept_c_at(p, layer, d, q), p.hidden_size)
        rows.prefetch_to_write(out, p.output_size)

    @part
    def recur(p, layer, d, chunk, thread):
        """All steps of one chunk of sequences in one direction.

        Where a thread has memory of its own for a step, it writes to what others write to beside it, but does not read
        it: a processor reads ahead, and would take from another what that is about to write.
        """
        first, count = chunk_of(p, chunk)
        before_table, h_table, m_table = table_at(p, thread, _BEFORE), table_at(p, thread, _H), table_at(p, thread, _M)
        z_table, read_table = table_at(p, thread, _Z), before_table
        h_before, h, z, m = addresses(before_table), addresses(h_table), addresses(z_table), addresses(m_table)
        out = addresses(table_at(p, thread, _OUTPUT))
        c_before, q = addresses(table_at(p, thread, _C_BEFORE)), addresses(table_at(p, thread, _Q))
        zeros, masked_table = addresses(table_at(p, thread, _ZEROS)), table_at(p, thread, _MASKED)
        masked = addresses(masked_table)
        h_size, p_size = p.hidden_size, p.output_size
        of_direction = layer * p.directions + d
        output, w_hh = output_at(p, layer, size) + size * p_size * d, packed_hh_at(p, layer, d)
        row_bytes = size * p_size * p.directions
        packed, resets = p.ragged == 2, p.reset != 0
        later = -p.sequences if d else p.sequences  # from a row to that of the next step read
        scratch = thread * p.z_rows  # the first row z of this thread
        gap, at_masked = p.apart * (d * p.chunks + chunk), own_at(p, p.masked, size * p_size * p.most, thread)
        own_h = own_at(p, p.h_own, 2 * size * p.h_step * p.most, thread)
        for k in range(count):
            i = first + k
            h_before[k] = h0_at(p, of_direction, i, size)
            if has_c:
                c_before[k] = c0_at(p, of_direction, i, size)
            q[k] = row_of(p, step_of(p, d, 0, i), i)
            if has_c and p.projected:
                zeros[k] = p.memory + p.zeros
            if p.recurrent:
                masked[k] = at_masked + size * p_size * k
        sealed = p.seal != 0 and layer == p.layers - 1
        if sealed:
            begin_seal(p, thread)
        active, of_span = count, 0
        for s in range(p.steps):
            while active > 0 and length_of(p, first + active - 1) <= s:
                active -= 1
            if packed:
                for k in range(active):
                    i = first + k
                    q[k] = row_of(p, step_of(p, d, s, i), i)
            elif s > 0:
                for k in range(active):
                    q[k] += later
            if p.fused and s % p.span == 0:
                read_span(p, layer, d, s, first, active, scratch, 0, h_size, thread)
                of_span = active
            if resets and s > 0:
                for k in range(active):
                    i = first + k
                    if starts_again(p, d, step_of(p, d, s, i), i):
                        h_before[k] = h0_at(p, of_direction, i, size)
                        if has_c:
                            c_before[k] = c0_at(p, of_direction, i, size)
            for k in range(active):
                out[k] = output + row_bytes * q[k]
                h[k] = own_h + size * p.h_step * (s % 2 * p.most + k) if p.own else out[k]
                at = z_at(p, layer, d, q[k], scratch + (s % p.span * of_span if p.fused else 0) + k)
                if fresh:
                    begin_slots(p, layer, d, at, 0, h_size)
                z[k] = at + size * h_size * before_h
            columns = h_gates * h_size if s % 2 else -h_gates * h_size
            if p.recurrent:
                for k in range(active):
                    mask = mask_at(p, of_direction, place_of(p, first + k), size)
                    rows.multiply(masked[k], h_before[k], mask, p_size)
                read_table = masked_table
            to_table = h_table if in_output else z_table
            call(p.product, active, read_table, p_size, w_hh, columns, z_table, to_table, p.asks)
            for k in range(active):
                if p.far and k + _AHEAD < active:
                    ask(p, layer, d, q[k + _AHEAD], out[k + _AHEAD])
                i = first + k
                at = z[k] - size * h_size * before_h
                c = c_at(p, layer, d, q[k], i, gap) if has_c else 0
                leak, kept = leak_at(p, layer, d, q[k]), kept_z_at(p, layer, d, q[k])
                if not in_output and kept == 0:
                    kept = at
                if has_c and p.projected:
                    m[k] = m_at(p, layer, d, q[k], i, gap)
                    step(p, h_size, at, h_before[k], c_before[k], c, m[k], leak, kept)
                    if p.own and p.m:
                        rows.copy(kept_m_at(p, layer, d, q[k]), m[k], h_size)
                else:
                    step(p, h_size, at, h_before[k], c_before[k] if has_c else 0, c, h[k], leak, kept)
                    h_before[k] = h[k]
                if has_c:
                    c_before[k] = c
                    if p.own and p.c:
                        rows.copy(kept_c_at(p, layer, d, q[k]), c, h_size)
            if has_c and p.projected:
                w_hr, zeros_table = packed_hr_at(p, layer, d), table_at(p, thread, _ZEROS)
                call(p.product, active, m_table, h_size, w_hr, p_size, zeros_table, h_table, p.asks)
                for k in range(active):
                    if p.leak:
                        rows.blend(h[k], leak_at(p, layer, d, q[k]), h_before[k], p_size)
                    h_before[k] = h[k]
            for k in range(active if p.own else 0):
                rows.copy(out[k], h[k], p_size)
            if sealed:
                for k in range(active):
                    seal_row(p, h[k], p_size, 0, q[k] * p.directions + d, thread)
        if sealed:
            end_seal(p, thread)
        for k in range(count):
            place = of_direction * p.sequences + place_of(p, first + k)
            rows.copy(p.h_n + size * p_size * place, h_before[k], p_size)
            if has_c and c_before[k] != p.c_n + size * h_size * place:
                rows.copy(p.c_n + size * h_size * place, c_before[k], h_size)

    return recur
