"""A step of the way back for a share of the units, where all threads share each step."""

from typing import Any

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, call, part
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.passes.backward_places import Places, below_at, first_row
from elman.kernels.numba_cpu.passes.seal import Seal
from elman.kernels.numba_cpu.passes.sequences import c0_at, h0_at, row_of, row_of_gradient, starts_again, turned_row
from elman.kernels.numba_cpu.passes.together import step_done, wait_for_steps
from elman.kernels.numba_cpu.plan.addresses import (
    apart_at,
    clear,
    d_drive_at,
    d_leak_at,
    input_at,
    inputs_of,
    leak_at,
    mask_at,
    output_at,
    packed_hh_at,
    table_at,
    units_of,
)

# A thread's tables of addresses: dz of the step after, the gradient from above, dh, dz
_AFTER, _ABOVE, _DH, _DZ = range(4)
_ZEROS = 6


def make_step(dtype: type, cell: Room, rows: Rows, places: Places, seal: Seal) -> Any:
    """What `make_together` is given, for float32 or float64."""
    size = np.dtype(dtype).itemsize
    h_gates, before_h = len(cell.of_h), cell.before_h
    in_output, has_c, carries, step_back = cell.in_output, cell.has_c, cell.carries, cell.step_back
    keeps_h = has_c and not in_output  # with zoneout, h of the step before is reached past c, too
    z_at, c_at, kept_z_at, dh_at, dz_bytes_of, h_bytes_of, begin_carried = places
    seal_row = seal.add_row

    @part
    def step_together(p, plan, layer, d, share, before, k, s0, s1, thread):
        """dz of the k-th step before s1 of all sequences; last of all, as the step before step 0, the gradients at the
        initial states."""
        s = s1 - 1 - k
        j0, j1 = units_of(p, share, size)
        n, h_size = j1 - j0, p.hidden_size
        width, dz_bytes, h_bytes = size * h_size * p.directions, dz_bytes_of(p), h_bytes_of(p)
        of_direction = layer * p.directions + d
        states = of_direction * p.sequences  # before this direction's, in the states
        zeros, w_hh = p.memory + p.zeros, packed_hh_at(p, layer, d) + size * j0 * h_gates * h_size
        output = output_at(p, layer, size) + size * h_size * d
        x, x_bytes = input_at(p, layer, size), size * inputs_of(p, layer)
        d_output = p.d_output if layer == p.layers - 1 else below_at(p, layer)
        after_table, above_table, dz_table = (
            table_at(p, thread, _AFTER),
            table_at(p, thread, _ABOVE),
            table_at(p, thread, _DZ),
        )
        dh_table = dz_table if in_output else table_at(p, thread, _DH)
        after, above, dh, dz = addresses(after_table), addresses(above_table), addresses(dh_table), addresses(dz_table)
        row = first_row(p, d, thread, s0)
        x_rows, h_rows = addresses(p.memory + p.x_rows + 8 * row), addresses(p.memory + p.h_rows + 8 * row)
        mask_rows = addresses(p.memory + p.mask_rows + 8 * row)
        of_d = d * p.sequences
        at_start, after_span = p.memory + p.at_start + h_bytes * of_d, p.memory + p.after_span + h_bytes * of_d
        gap = share * apart_at(p, size * p.directions * p.sequences * h_size)
        own = p.memory + gap + size * (h_size * of_d + j0)
        carried, to_start = own + p.carried, own + p.carried_to_start
        h_carried, h_to_start = own + p.h_carried, own + p.h_to_start
        h_kept = keeps_h and p.leak != 0
        t = p.steps - 1 - s if d else s
        a_step, a_row = (p.d_output_step, p.d_output_row) if layer == p.layers - 1 else (width * p.sequences, width)
        x_turned = layer == 0 and p.x_turned != 0
        for i in range(p.sequences):
            if s < 0:
                after[i], above[i] = at_start + h_bytes * i, zeros
                dh[i] = p.d_h0 + size * (h_size * (states + i) + j0)
                if carries and not has_c:
                    above[i] = to_start + size * h_size * i
                if h_kept:
                    above[i] = h_to_start + size * h_size * i
                continue
            r = row + (s - s0) * p.sequences + i
            dz[i] = p.memory + p.dz + dz_bytes * r + size * j0
            if not in_output:
                dh[i] = dh_at(p, d, r, i, gap) + size * j0
            above[i] = zeros
            if d_output:
                above[i] = d_output + row_of_gradient(p, d, s, i, 0, a_step, a_row) + size * (h_size * d + j0)
            if s == s1 - 1:
                after[i] = after_span + h_bytes * i
            elif starts_again(p, d, t - 1 if d else t + 1, i):
                after[i] = zeros
            else:
                after[i] = p.memory + p.dz + dz_bytes * (r + p.sequences) + size * h_size * before_h
        if k > 0:
            wait_for_steps(p, plan, d, before + k)
            for i in range(p.sequences):  # what the others wrote is asked for at once, not as the product comes to it
                rows.prefetch(after[i], h_gates * h_size)
        if s < p.steps - 1 and (s >= 0 or p.d_h0):
            if p.recurrent:
                zeros_table = table_at(p, thread, _ZEROS)
                zero_rows = addresses(zeros_table)
                for i in range(p.sequences):
                    zero_rows[i] = zeros
                call(p.product, p.sequences, after_table, h_gates * h_size, w_hh, n, zeros_table, dh_table, p.asks)
                for i in range(p.sequences):
                    rows.scale(dh[i], mask_at(p, of_direction, i, size) + size * j0, above[i], n)
            else:
                call(p.product, p.sequences, after_table, h_gates * h_size, w_hh, n, above_table, dh_table, p.asks)
        if s < 0:
            if has_c and p.d_c0:
                for i in range(p.sequences):
                    rows.copy(p.d_c0 + size * (h_size * (states + i) + j0), to_start + size * h_size * i, n)
            step_done(p, plan, d, share, before + k)
            return
        for i in range(p.sequences):
            carried_i = carried + size * h_size * i if carries else 0
            if s == p.steps - 1:
                rows.copy(dh[i], above[i], n)
                if p.d_h_n:
                    rows.add(dh[i], p.d_h_n + size * (h_size * (states + i) + j0), n)
                for gate in range(h_gates):
                    clear(at_start + h_bytes * i + size * (h_size * gate + j0), size * n)
                if carries:
                    begin_carried(p, states + i, carried_i, j0, j1)
                    clear(to_start + size * h_size * i, size * n)
                if h_kept:
                    clear(h_to_start + size * h_size * i, size * n)
            q = row_of(p, t, i)
            again = s == 0 or starts_again(p, d, t, i)
            q_before = 0 if again else row_of(p, t + 1 if d else t - 1, i)
            h_before = h0_at(p, of_direction, i, size) if again else output + width * q_before
            c, c_before = 0, 0
            if has_c:
                c = c_at(p, layer, d, q) + size * j0
                c_before = (c0_at(p, of_direction, i, size) if again else c_at(p, layer, d, q_before)) + size * j0
            leak, kept = leak_at(p, layer, d, q), kept_z_at(p, layer, d, q) + size * j0
            leak = leak + size * j0 if leak else 0
            d_leak = d_leak_at(p, layer, d, q, i, size)
            d_leak = d_leak + size * j0 if d_leak else 0
            if h_kept:
                if s < p.steps - 1:
                    rows.add(dh[i], h_carried + size * h_size * i, n)
                rows.part_of(dh[i], leak, h_carried + size * h_size * i, n)
            z, h_own = z_at(p, layer, d, q) + size * j0, h_before + size * j0
            step_back(p, n, dh[i], carried_i, z, h_own, c_before, c, dz[i], leak, d_leak, kept)
            for gate in range(h_gates):
                of_gate = size * (h_size * gate + j0)
                dz_gate = dz[i] + size * h_size * (before_h + gate)
                if again:
                    rows.add(at_start + h_bytes * i + of_gate, dz_gate, n)
                if s == s0 and s0 > 0:
                    rows.copy(after_span + h_bytes * i + of_gate, zeros if again else dz_gate, n)
            if carries and again:
                rows.add(to_start + size * h_size * i, carried_i, n)
                clear(carried_i, size * n)
            if h_kept and again:
                rows.add(h_to_start + size * h_size * i, h_carried + size * h_size * i, n)
                clear(h_carried + size * h_size * i, size * n)
        step_done(p, plan, d, share, before + k)
        sealed = p.seal != 0 and layer == p.layers - 1
        for i in range(p.sequences):
            q = row_of(p, t, i)
            if p.d_drive:
                rows.copy(d_drive_at(p, layer, d, q, size) + size * j0, dz[i], n)
            if sealed:
                seal_row(p, output + width * q + size * j0, n, j0, q * p.directions + d, thread)
            if j0 == 0:
                again = s == 0 or starts_again(p, d, t, i)
                h_before = (
                    h0_at(p, of_direction, i, size) if again else output + width * row_of(p, t + 1 if d else t - 1, i)
                )
                r = (s - s0) * p.sequences + i
                x_rows[r] = x + x_bytes * (turned_row(p, d, s, i) if x_turned else q)
                h_rows[r] = h_before
                if p.recurrent:
                    mask_rows[r] = mask_at(p, of_direction, i, size)

    return step_together
