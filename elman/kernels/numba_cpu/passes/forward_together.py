"""A step of the forward pass for a share of the units, where all threads share each step."""

from typing import Any

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, part
from elman.kernels.numba_cpu.compile.processor import panel_columns
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.passes.places import Places
from elman.kernels.numba_cpu.passes.reading import Reading
from elman.kernels.numba_cpu.passes.seal import Seal
from elman.kernels.numba_cpu.passes.sequences import c0_at, h0_at, row_of, starts_again
from elman.kernels.numba_cpu.plan.addresses import leak_at, mask_at, output_at, packed_hh_at, table_at, units_of

_BEFORE, _Z = range(2)  # a thread's tables of addresses: the states before a step, its rows z
_MASKED = 10  # and with recurrent dropout those of the states before times their masks


def make_step(dtype: type, cell: Room, rows: Rows, places: Places, reading: Reading, seal: Seal) -> Any:
    """What `make_together` is given, for float32 or float64."""
    size, panel = np.dtype(dtype).itemsize, panel_columns(dtype)
    h_gates, fresh, before_h, has_c, step = len(cell.of_h), cell.fresh, cell.before_h, cell.has_c, cell.step
    z_at, c_at, _, kept_z_at = places
    product, read_span, begin_slots = reading.product, reading.span, reading.begin_slots
    seal_row = seal.add_row

    @part
    def step_together(p, layer, d, share, s, s0, s1, thread):
        """Step s of all sequences, of which all steps before are done."""
        j0, j1 = units_of(p, share, panel)
        before_table, z_table = table_at(p, thread, _BEFORE), table_at(p, thread, _Z)
        h_before, z = addresses(before_table), addresses(z_table)
        h_size = p.hidden_size
        of_direction = layer * p.directions + d
        output = output_at(p, layer, size) + size * h_size * d
        row_bytes = size * h_size * p.directions
        t = p.steps - 1 - s if d else s
        earlier = t + 1 if d else t - 1
        scratch = d * p.span * p.sequences  # the first row z of this direction
        if p.fused and s % p.span == 0:
            read_span(p, layer, d, s, 0, p.sequences, scratch, j0, j1, thread)
        for i in range(p.sequences):
            at = z_at(p, layer, d, row_of(p, t, i), scratch + s % p.span * p.sequences + i)
            z[i] = at + size * (h_size * before_h + j0)
            if fresh:
                begin_slots(p, layer, d, at + size * j0, j0, j1)
            if s == 0 or starts_again(p, d, t, i):
                h_before[i] = h0_at(p, of_direction, i, size)
            else:
                h_before[i] = output + row_bytes * row_of(p, earlier, i)
        read_table = before_table
        if p.recurrent:
            read_table = table_at(p, thread, _MASKED)
            masked = addresses(read_table)
            for i in range(p.sequences):
                masked[i] = p.memory + p.masked + size * h_size * (thread * p.most + i)
                rows.multiply(masked[i], h_before[i], mask_at(p, of_direction, i, size), h_size)
        product(p, p.sequences, read_table, h_size, packed_hh_at(p, layer, d), h_gates, j0, j1, z_table, z_table)
        sealed = p.seal != 0 and layer == p.layers - 1
        for i in range(p.sequences):
            q = row_of(p, t, i)
            at = z_at(p, layer, d, q, scratch + s % p.span * p.sequences + i) + size * j0
            h = output + row_bytes * q + size * j0
            c, c_before = 0, 0
            if has_c:
                c = c_at(p, layer, d, q, i) + size * j0
                if s == 0 or starts_again(p, d, t, i):
                    c_before = c0_at(p, of_direction, i, size) + size * j0
                else:
                    c_before = c_at(p, layer, d, row_of(p, earlier, i), i) + size * j0
            leak, kept = leak_at(p, layer, d, q), kept_z_at(p, layer, d, q)
            leak, kept = leak + size * j0 if leak else 0, kept + size * j0 if kept else 0
            step(p, j1 - j0, at, h_before[i] + size * j0, c_before, c, h, leak, kept)
            if sealed:
                seal_row(p, h, j1 - j0, q * p.directions + d, thread)
            if s == p.steps - 1:
                place = size * (h_size * (of_direction * p.sequences + i) + j0)
                rows.copy(p.h_n + place, h, j1 - j0)
                if has_c and c != p.c_n + place:
                    rows.copy(p.c_n + place, c, j1 - j0)

    return step_together
