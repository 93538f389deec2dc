"""What runs in the order of time on the way back, for sequences that are split between the threads."""

from typing import Any

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, call, part
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.passes.backward_places import Places, below_at, first_row
from elman.kernels.numba_cpu.passes.seal import Seal
from elman.kernels.numba_cpu.passes.sequences import (
    c0_at,
    chunk_of,
    distance,
    h0_at,
    length_of,
    number_of,
    place_of,
    row_of,
    row_of_gradient,
    starts_again,
    step_of,
    turned_row,
)
from elman.kernels.numba_cpu.plan.addresses import (
    clear,
    d_drive_at,
    d_leak_at,
    input_at,
    inputs_of,
    kept_at,
    leak_at,
    mask_at,
    output_at,
    packed_hh_at,
    packed_hr_at,
    table_at,
)

# A thread's tables of addresses: dz of the step after, the gradient from above, dh, dz, the rows of output, dm
_AFTER, _ABOVE, _DH, _DZ, _Q, _DM, _ZEROS = range(7)


def make_recurrence(dtype: type, cell: Room, rows: Rows, places: Places, seal: Seal) -> Any:
    """recur, for float32 or float64."""
    size, slots, h_gates, before_h = np.dtype(dtype).itemsize, cell.slots, len(cell.of_h), cell.before_h
    in_output, has_c, carries, step_back = cell.in_output, cell.has_c, cell.carries, cell.step_back
    keeps_h = has_c and not in_output  # with zoneout, h of the step before is reached past c, too
    z_at, c_at, kept_z_at, dh_at, dz_bytes_of, h_bytes_of, begin_carried = places
    begin_seal, seal_row, end_seal = seal

    @part
    def m_at(p, layer, d, q):
        return kept_at(p, p.m, layer, d, p.hidden_size, size) + size * p.hidden_size * q

    @part
    def through_w_hh(p, direction, first, count, w_hh, after_table, above_table, dh_table, thread):
        """dh = above + dz W_hh, that times the recurrent dropout of each sequence, for sequences from the first on."""
        k_size, p_size = h_gates * p.hidden_size, p.output_size
        if p.recurrent == 0:
            call(p.product, count, after_table, k_size, w_hh, p_size, above_table, dh_table, p.asks)
            return
        above, dh, zeros_table = addresses(above_table), addresses(dh_table), table_at(p, thread, _ZEROS)
        zeros = addresses(zeros_table)
        for k in range(count):
            zeros[k] = p.memory + p.zeros
        call(p.product, count, after_table, k_size, w_hh, p_size, zeros_table, dh_table, p.asks)
        for k in range(count):
            rows.scale(dh[k], mask_at(p, direction, place_of(p, first + k), size), above[k], p_size)

    @part
    def recur(p, layer, d, chunk, thread, s0, s1):
        """dz of one chunk of sequences in one direction, from the step read last to the first; at step 0 also the
        gradients at the initial states."""
        first, count = chunk_of(p, chunk)
        h_size, p_size = p.hidden_size, p.output_size
        width, dz_bytes, h_bytes = size * p_size * p.directions, dz_bytes_of(p), h_bytes_of(p)
        of_direction = layer * p.directions + d
        states = of_direction * p.sequences  # before this direction's, in the states
        zeros, w_hh = p.memory + p.zeros, packed_hh_at(p, layer, d)
        output = output_at(p, layer, size) + size * p_size * d
        x, x_bytes = input_at(p, layer, size), size * inputs_of(p, layer)
        d_output = p.d_output if layer == p.layers - 1 else below_at(p, layer)
        after_table, above_table, dz_table = (
            table_at(p, thread, _AFTER),
            table_at(p, thread, _ABOVE),
            table_at(p, thread, _DZ),
        )
        dh_table = dz_table if in_output else table_at(p, thread, _DH)
        after, above, dh, dz = addresses(after_table), addresses(above_table), addresses(dh_table), addresses(dz_table)
        q, dm = addresses(table_at(p, thread, _Q)), addresses(table_at(p, thread, _DM))
        a_step, a_row = (p.d_output_step, p.d_output_row) if layer == p.layers - 1 else (width * p.sequences, width)
        x_turned = layer == 0 and p.x_turned != 0
        row, a_sequence = first_row(p, d, thread, s0), distance(p, s0, s1)
        x_rows, h_rows = addresses(p.memory + p.x_rows + 8 * row), addresses(p.memory + p.h_rows + 8 * row)
        m_rows, mask_rows = addresses(p.memory + p.m_rows + 8 * row), addresses(p.memory + p.mask_rows + 8 * row)
        of_d, gap = d * p.sequences, p.apart * (d * p.chunks + chunk)
        own = p.memory + gap
        at_start, after_span = own + p.at_start + h_bytes * of_d, own + p.after_span + h_bytes * of_d
        carried = own + p.carried + size * h_size * of_d
        to_start = own + p.carried_to_start + size * h_size * of_d
        h_carried = own + p.h_carried + size * p_size * of_d
        h_to_start = own + p.h_to_start + size * p_size * of_d
        h_kept = keeps_h and p.leak != 0
        projected = has_c and p.projected != 0
        sealed = p.seal != 0 and layer == p.layers - 1
        if sealed:
            begin_seal(p, thread)
        active = 0
        for k in range(count):
            i = first + k
            if s1 == p.steps:
                clear(at_start + h_bytes * i, h_bytes)
                if carries:
                    clear(to_start + size * h_size * i, size * h_size)
                if h_kept:
                    clear(h_to_start + size * p_size * i, size * p_size)
            if length_of(p, i) > s1:
                after[k] = after_span + h_bytes * i
                active += 1
        padded, resets = p.ragged != 2, p.reset != 0
        z_first, kept_first, leak_first = z_at(p, layer, d, 0), kept_z_at(p, layer, d, 0), leak_at(p, layer, d, 0)
        z_bytes = z_at(p, layer, d, 1) - z_first  # from a row to the next one
        kept_bytes, leak_bytes = kept_z_at(p, layer, d, 1) - kept_first, leak_at(p, layer, d, 1) - leak_first
        earlier = p.sequences * (1 if d else -1)  # from a row to that of the step read before
        for s in range(s1 - 1, s0 - 1, -1):
            running = active
            while active < count and length_of(p, first + active) > s:
                active += 1
            r0 = row + number_of(p, chunk, s, s0, s1)
            for k in range(active):
                i = first + k
                if padded and k < running and s < s1 - 1:
                    q[k] += earlier
                else:
                    q[k] = row_of(p, step_of(p, d, s, i), i)
                r = r0 + a_sequence * k
                dz[k] = p.memory + p.dz + dz_bytes * r
                if not in_output:
                    dh[k] = dh_at(p, d, r, i, gap)
                above[k] = zeros
                if d_output:
                    above[k] = d_output + row_of_gradient(p, d, s, i, q[k], a_step, a_row) + size * p_size * d
            for k in range(running, active):  # the last step read: nothing comes after it but the last states
                i = first + k
                rows.copy(dh[k], above[k], p_size)
                if p.d_h_n:
                    rows.add(dh[k], p.d_h_n + size * p_size * (states + place_of(p, i)), p_size)
                if carries:
                    begin_carried(p, states + place_of(p, i), carried + size * h_size * i, 0, h_size)
            through_w_hh(p, of_direction, first, running, w_hh, after_table, above_table, dh_table, thread)
            if h_kept:
                for k in range(active):
                    h_carried_i = h_carried + size * p_size * (first + k)
                    if k < running:
                        rows.add(dh[k], h_carried_i, p_size)
                    rows.part_of(dh[k], leak_at(p, layer, d, q[k]), h_carried_i, p_size)
            if projected:
                pass_projection(p, layer, d, first, active, gap, thread)
            for k in range(active):
                i, r = first + k, r0 - row + a_sequence * k
                again = s == 0 or (resets and starts_again(p, d, step_of(p, d, s, i), i))
                if again:
                    q_before = 0
                    h_before = h0_at(p, of_direction, i, size)
                else:
                    q_before = q[k] + earlier if padded else row_of(p, step_of(p, d, s - 1, i), i)
                    h_before = output + width * q_before
                h_rows[r] = h_before
                if p.recurrent:
                    mask_rows[r] = mask_at(p, of_direction, place_of(p, i), size)
                c, c_before, carried_i = 0, 0, 0
                if has_c:
                    c = c_at(p, layer, d, q[k])
                    c_before = c0_at(p, of_direction, i, size) if again else c_at(p, layer, d, q_before)
                if carries:
                    carried_i = carried + size * h_size * i
                dh_k = dm[k] if projected else dh[k]
                z, kept, leak = z_first + z_bytes * q[k], kept_first + kept_bytes * q[k], leak_first + leak_bytes * q[k]
                d_leak = d_leak_at(p, layer, d, q[k], place_of(p, i), size) if leak_first else 0
                if p.far and padded and s > s0:  # for what the step before reads, while another product is computed
                    if not in_output:
                        rows.prefetch(z + z_bytes * earlier, slots * h_size)
                    if has_c and s > s0 + 1:  # this step reads c of the next one already
                        rows.prefetch(c_at(p, layer, d, q[k] + 2 * earlier), h_size)
                    rows.prefetch(output + width * (q[k] + earlier), p_size)
                    if d_output:
                        rows.prefetch(above[k] + (a_step if d else -a_step), p_size)
                step_back(p, h_size, dh_k, carried_i, z, h_before, c_before, c, dz[k], leak, d_leak, kept)
                if p.d_drive:
                    rows.copy(d_drive_at(p, layer, d, q[k], size), dz[k], h_size)
                after[k] = dz[k] + size * h_size * before_h
                x_rows[r] = x + x_bytes * (turned_row(p, d, s, i) if x_turned else q[k])
                if projected:
                    m_rows[r] = m_at(p, layer, d, q[k])
                if again:
                    rows.add(at_start + h_bytes * i, after[k], h_gates * h_size)
                    after[k] = zeros
                    if carries:
                        rows.add(to_start + size * h_size * i, carried_i, h_size)
                        clear(carried_i, size * h_size)
                    if h_kept:
                        rows.add(h_to_start + size * p_size * i, h_carried + size * p_size * i, p_size)
                        clear(h_carried + size * p_size * i, size * p_size)
            for k in range(active if sealed else 0):
                seal_row(p, output + width * q[k], p_size, 0, q[k] * p.directions + d, thread)
        if sealed:
            end_seal(p, thread)
        if s0 > 0:
            for k in range(active):
                rows.copy(after_span + h_bytes * (first + k), after[k], h_gates * h_size)
            return
        if p.d_h0:
            for k in range(count):
                i = first + k
                place = size * p_size * (states + place_of(p, i))
                after[k] = at_start + h_bytes * i
                dh[k] = p.d_h0 + place
                above[k] = to_start + size * h_size * i if carries and not has_c else zeros
                if h_kept:
                    above[k] = h_to_start + size * p_size * i
                if length_of(p, i) == 0 and p.d_h_n != 0:  # then h_n is h_0
                    above[k] = p.d_h_n + place
            through_w_hh(p, of_direction, first, count, w_hh, after_table, above_table, dh_table, thread)
        if has_c and p.d_c0:
            for k in range(count):
                i = first + k
                place = size * h_size * (states + place_of(p, i))
                unread = length_of(p, i) == 0 and p.d_c_n != 0
                rows.copy(p.d_c0 + place, p.d_c_n + place if unread else to_start + size * h_size * i, h_size)

    @part
    def pass_projection(p, layer, d, first, count, gap, thread):
        """dm = dh W_hr."""
        dm, zeros = addresses(table_at(p, thread, _DM)), addresses(table_at(p, thread, _ZEROS))
        for k in range(count):
            dm[k] = p.memory + p.projecting + size * p.hidden_size * (d * p.sequences + first + k) + gap
            zeros[k] = p.memory + p.zeros
        dh_table, dm_table, zeros_table = (
            table_at(p, thread, _DH),
            table_at(p, thread, _DM),
            table_at(p, thread, _ZEROS),
        )
        w_hr = packed_hr_at(p, layer, d)
        call(p.product, count, dh_table, p.output_size, w_hr, p.hidden_size, zeros_table, dm_table, p.asks)

    return recur
