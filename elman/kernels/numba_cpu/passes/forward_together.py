"""A step of the forward pass for a share of the units, where all threads share each step."""

from typing import Any

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, part
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.passes.places import Places
from elman.kernels.numba_cpu.passes.reading import Reading
from elman.kernels.numba_cpu.passes.seal import Seal
from elman.kernels.numba_cpu.passes.sequences import c0_at, h0_at, row_of, starts_again
from elman.kernels.numba_cpu.passes.together import step_done, wait_for_steps
from elman.kernels.numba_cpu.plan.addresses import (
    apart_at,
    leak_at,
    mask_at,
    output_at,
    own_at,
    packed_hh_at,
    table_at,
    units_of,
)

# A thread's tables of addresses: the states before a step, its rows z from the slots of W_hh and from the first on, h
_BEFORE, _Z, _FIRST, _H = range(4)
_MASKED = 10  # and with recurrent dropout those of the states before times their masks


def make_step(dtype: type, cell: Room, rows: Rows, places: Places, reading: Reading, seal: Seal) -> Any:
    """What `make_together` is given, for float32 or float64."""
    size = np.dtype(dtype).itemsize
    h_gates, fresh, before_h, has_c, step = len(cell.of_h), cell.fresh, cell.before_h, cell.has_c, cell.step
    z_at, c_at, _, kept_z_at, kept_c_at, _ = places
    in_output = cell.in_output
    product, read_span, begin_slots = reading.product, reading.span, reading.begin_slots
    seal_row = seal.add_row

    @part
    def step_together(p, plan, layer, d, share, before, s, s0, s1, thread):
        """Step s of all sequences."""
        j0, j1 = units_of(p, share, size)
        before_table, z_table = table_at(p, thread, _BEFORE), table_at(p, thread, _Z)
        h_before, z = addresses(before_table), addresses(z_table)
        h_table = table_at(p, thread, _H)
        first, h = addresses(table_at(p, thread, _FIRST)), addresses(h_table)
        h_size = p.hidden_size
        of_direction = layer * p.directions + d
        output = output_at(p, layer, size) + size * h_size * d
        row_bytes = size * h_size * p.directions
        t = p.steps - 1 - s if d else s
        earlier = t + 1 if d else t - 1
        scratch = (d * p.shares + share) * p.z_rows  # the first row z of this share
        gap = share * apart_at(p, size * p.directions * p.sequences * h_size)
        in_span = scratch + s % p.span * p.sequences
        if p.fused and in_span == scratch:
            read_span(p, layer, d, s, 0, p.sequences, scratch, j0, j1, thread)
        for i in range(p.sequences):
            q = row_of(p, t, i)
            first[i] = z_at(p, layer, d, q, in_span + i) + size * j0
            z[i] = first[i] + size * h_size * before_h
            h[i] = output + row_bytes * q + size * j0
            if fresh:
                begin_slots(p, layer, d, first[i], j0, j1)
            if s == 0 or starts_again(p, d, t, i):
                h_before[i] = h0_at(p, of_direction, i, size)
            else:
                h_before[i] = output + row_bytes * row_of(p, earlier, i)
        if s > 0:
            wait_for_steps(p, plan, d, before + s)
            for i in range(p.sequences):  # what the others wrote is asked for at once, not as the product comes to it
                rows.prefetch(h_before[i], h_size)
        read_table = before_table
        if p.recurrent:
            read_table = table_at(p, thread, _MASKED)
            masked, at_masked = addresses(read_table), own_at(p, p.masked, size * h_size * p.most, thread)
            for i in range(p.sequences):
                masked[i] = at_masked + size * h_size * i
                rows.multiply(masked[i], h_before[i], mask_at(p, of_direction, i, size), h_size)
        w_hh, out_table = packed_hh_at(p, layer, d), h_table if in_output else z_table
        product(p, p.sequences, read_table, h_size, w_hh, h_gates, j0, j1, z_table, out_table)
        for i in range(p.sequences):
            q = row_of(p, t, i)
            c, c_before = 0, 0
            if has_c:
                c = c_at(p, layer, d, q, i, gap) + size * j0
                if s == 0 or starts_again(p, d, t, i):
                    c_before = c0_at(p, of_direction, i, size) + size * j0
                else:
                    c_before = c_at(p, layer, d, row_of(p, earlier, i), i, gap) + size * j0
            leak, kept = leak_at(p, layer, d, q), kept_z_at(p, layer, d, q)
            leak, kept = leak + size * j0 if leak else 0, kept + size * j0 if kept else 0 if in_output else first[i]
            step(p, j1 - j0, first[i], h_before[i] + size * j0, c_before, c, h[i], leak, kept)
            if has_c and p.c:
                rows.copy(kept_c_at(p, layer, d, q) + size * j0, c, j1 - j0)
            if s == p.steps - 1:
                place = size * (h_size * (of_direction * p.sequences + i) + j0)
                rows.copy(p.h_n + place, h[i], j1 - j0)
                if has_c and c != p.c_n + place:
                    rows.copy(p.c_n + place, c, j1 - j0)
        step_done(p, plan, d, share, before + s)
        if p.seal and layer == p.layers - 1:
            for i in range(p.sequences):
                seal_row(p, h[i], j1 - j0, j0, row_of(p, t, i) * p.directions + d, thread)

    return step_together
