"""The forward pass of any cell, for every layer and direction, in one call.

The input's part of the pre-activations, x_t W_ih^T + b, needs no state: it is a product over many steps at once. What
runs in the order of time adds h_{t-1} W_hh^T and computes the cell.
"""

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, call, part
from elman.kernels.numba_cpu.compile.processor import panel_columns
from elman.kernels.numba_cpu.matmul.rows import make_rows
from elman.kernels.numba_cpu.passes.packing import make_packing
from elman.kernels.numba_cpu.passes.phases import Pass
from elman.kernels.numba_cpu.passes.seal import make_seal
from elman.kernels.numba_cpu.passes.sequences import (
    c0_at,
    chunk_of,
    clear_padding,
    h0_at,
    length_of,
    place_of,
    row_of,
    rows_from,
    rows_in,
    starts_again,
    tasks_of_padding,
    turned,
)
from elman.kernels.numba_cpu.plan.addresses import (
    biases_at,
    input_at,
    inputs_of,
    kept_at,
    layer_bytes,
    output_at,
    packed_hh_at,
    packed_hr_at,
    packed_ih_at,
    table_at,
    units_of,
)
from elman.kernels.numba_cpu.threads.tasks import wait

# A thread's tables of addresses: the states before a step, its rows h and z and their numbers, what it projects
_BEFORE, _H, _Z, _C_BEFORE, _Q, _M, _ZEROS = range(7)
_X, _X_Z, _X_BIAS = range(7, 10)  # and those of reading input


def make_forward(dtype: type, cell: Room) -> Pass:
    """The forward pass for float32 or float64."""
    size, panel = np.dtype(dtype).itemsize, panel_columns(dtype)
    rows = make_rows(dtype)
    panels, pack = make_packing(dtype, cell, rows)
    begin_seal, seal_row, end_seal = make_seal(dtype)
    slots, x_gates, h_gates, fresh, before_h = cell.slots, len(cell.of_x), len(cell.of_h), cell.fresh, cell.before_h
    in_output, has_c, step = cell.in_output, cell.has_c, cell.step

    @part
    def z_at(p, layer, d, q, scratch_row):
        """The row z of a step whose output is row q: kept, or in scratch memory."""
        if in_output:
            return output_at(p, layer, size) + size * p.output_size * (q * p.directions + d)
        if p.keeps:
            return (
                kept_at(p, p.z, layer, d, slots * p.hidden_size, size) + size * slots * p.hidden_size * p.directions * q
            )
        row = scratch_row if p.fused else q * p.directions + d
        return p.memory + p.z_scratch + size * slots * p.hidden_size * row

    @part
    def product(p, count, a_table, k, packed, gates, j0, j1, in_table, out_table):
        """Rows of out = in + a @ packed, for units j0 to j1 of so many gates; the tables are those of unit j0."""
        if p.shares == 0:
            call(p.product, count, a_table, k, packed, gates * p.hidden_size, in_table, out_table)
            return
        c_in, c = addresses(in_table), addresses(out_table)
        for gate in range(gates):
            if gate > 0:
                for r in range(count):
                    c[r] += size * p.hidden_size
                    if in_table != out_table:
                        c_in[r] += size * p.hidden_size
            call(p.product, count, a_table, k, packed + size * k * (gate * p.padded + j0), j1 - j0, in_table, out_table)

    @part
    def read(p, layer, d, count, j0, j1, thread):
        """x W_ih^T + b for the rows in the tables of reading input."""
        inputs = inputs_of(p, layer)
        x_table, z_table, bias_table = table_at(p, thread, _X), table_at(p, thread, _X_Z), table_at(p, thread, _X_BIAS)
        bias = addresses(bias_table)
        for r in range(count):
            bias[r] = biases_at(p, layer, d) + size * j0
        product(p, count, x_table, inputs, packed_ih_at(p, layer, d), x_gates, j0, j1, bias_table, z_table)

    @part
    def x_at(p, layer, q):
        """The row of a layer's input of which row q is the output."""
        return input_at(p, layer, size) + size * inputs_of(p, layer) * (
            turned(p, q) if layer == 0 and p.x_turned else q
        )

    @part
    def read_block(p, layer, task, thread):
        """The input's part of one block of steps, for all units, in both directions."""
        first = task * p.block
        count = min(p.block, rows_in(p, 0, p.steps) - first)
        x, z = addresses(table_at(p, thread, _X)), addresses(table_at(p, thread, _X_Z))
        for d in range(p.directions):
            rows_from(p, first, count, z)
            for r in range(count):
                q = z[r]
                if layer > 0 and d == 0 and p.masks:
                    drop(p, layer, q)
                x[r] = x_at(p, layer, q)
                z[r] = z_at(p, layer, d, q, 0)
            read(p, layer, d, count, 0, p.hidden_size, thread)

    @part
    def read_span(p, layer, d, s0, first, count, scratch, j0, j1, thread):
        """The input's part of some sequences' steps from s0 on."""
        x, z = addresses(table_at(p, thread, _X)), addresses(table_at(p, thread, _X_Z))
        filled, active = 0, count
        for s in range(s0, min(p.steps, s0 + p.span)):
            while active > 0 and length_of(p, first + active - 1) <= s:
                active -= 1
            for k in range(active):
                i = first + k
                q = row_of(p, length_of(p, i) - 1 - s if d else s, i)
                x[filled] = x_at(p, layer, q)
                z[filled] = z_at(p, layer, d, q, scratch + (s - s0) * count + k) + size * j0
                filled += 1
                if filled == p.block:
                    read(p, layer, d, filled, j0, j1, thread)
                    filled = 0
        if filled:
            read(p, layer, d, filled, j0, j1, thread)

    @part
    def drop(p, layer, q):
        """Row q of the layer's input: the output below times its dropout mask."""
        width = p.directions * p.output_size
        offset = layer_bytes(p, size) * (layer - 1) + size * width * q
        rows.multiply(p.dropped + offset, p.inner + offset, p.masks + offset, width)

    @part
    def begin_slots(p, layer, d, z, j0, j1):
        """The bias where the input writes nothing, for a row z of unit j0."""
        for slot in range(x_gates, slots):
            offset = size * slot * p.hidden_size
            rows.copy(z + offset, biases_at(p, layer, d) + offset + size * j0, j1 - j0)

    @part
    def c_at(p, layer, d, q, i):
        """Where c of a step comes to stand: it is kept, or written over that of the step before."""
        h_size = p.hidden_size
        if p.c:
            return kept_at(p, p.c, layer, d, h_size, size) + size * h_size * p.directions * q
        return p.c_n + size * h_size * ((layer * p.directions + d) * p.sequences + place_of(p, i))

    @part
    def m_at(p, layer, d, q, i):
        """Where what is projected stands."""
        h_size = p.hidden_size
        if p.m:
            return kept_at(p, p.m, layer, d, h_size, size) + size * h_size * p.directions * q
        return p.memory + p.projecting + size * h_size * (d * p.sequences + i)

    @part
    def recur(p, layer, d, chunk, thread):
        """All steps of one chunk of sequences in one direction."""
        first, count = chunk_of(p, chunk)
        before_table, h_table, m_table = table_at(p, thread, _BEFORE), table_at(p, thread, _H), table_at(p, thread, _M)
        z_table = h_table if in_output else table_at(p, thread, _Z)
        h_before, h, z, m = addresses(before_table), addresses(h_table), addresses(z_table), addresses(m_table)
        c_before, q = addresses(table_at(p, thread, _C_BEFORE)), addresses(table_at(p, thread, _Q))
        zeros = addresses(table_at(p, thread, _ZEROS))
        h_size, p_size = p.hidden_size, p.output_size
        of_direction = layer * p.directions + d
        output, w_hh = output_at(p, layer, size) + size * p_size * d, packed_hh_at(p, layer, d)
        row_bytes = size * p_size * p.directions
        packed, resets = p.ragged == 2, p.reset != 0
        later = -p.sequences if d else p.sequences  # from a row to that of the next step read
        scratch = thread * p.span * p.most  # the first row z of this thread
        for k in range(count):
            i = first + k
            h_before[k] = h0_at(p, of_direction, i, size)
            if has_c:
                c_before[k] = c0_at(p, of_direction, i, size)
            q[k] = row_of(p, length_of(p, i) - 1 if d else 0, i)
            zeros[k] = p.memory + p.zeros
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
                    q[k] = row_of(p, length_of(p, i) - 1 - s if d else s, i)
            elif s > 0:
                for k in range(active):
                    q[k] += later
            if p.fused and s % p.span == 0:
                read_span(p, layer, d, s, first, active, scratch, 0, h_size, thread)
                of_span = active
            if resets and s > 0:
                for k in range(active):
                    i = first + k
                    if starts_again(p, d, length_of(p, i) - 1 - s if d else s, i):
                        h_before[k] = h0_at(p, of_direction, i, size)
                        if has_c:
                            c_before[k] = c0_at(p, of_direction, i, size)
            for k in range(active):
                h[k] = output + row_bytes * q[k]
                if not in_output:
                    at = z_at(p, layer, d, q[k], scratch + (s % p.span * of_span if p.fused else 0) + k)
                    if fresh:
                        begin_slots(p, layer, d, at, 0, h_size)
                    z[k] = at + size * h_size * before_h
            product(p, active, before_table, p_size, w_hh, h_gates, 0, h_size, z_table, z_table)
            for k in range(active):
                i = first + k
                at = z[k] - size * h_size * before_h
                c = c_at(p, layer, d, q[k], i) if has_c else 0
                if has_c and p.projected:
                    m[k] = m_at(p, layer, d, q[k], i)
                    step(p, h_size, at, h_before[k], c_before[k], c, m[k])
                else:
                    step(p, h_size, at, h_before[k], c_before[k] if has_c else 0, c, h[k])
                h_before[k] = h[k]
                if has_c:
                    c_before[k] = c
            if has_c and p.projected:
                w_hr = packed_hr_at(p, layer, d)
                call(p.product, active, m_table, h_size, w_hr, p_size, table_at(p, thread, _ZEROS), h_table)
            if sealed:
                for k in range(active):
                    seal_row(p, h[k], p_size, q[k] * p.directions + d, thread)
        if sealed:
            end_seal(p, thread)
        for k in range(count):
            place = of_direction * p.sequences + place_of(p, first + k)
            rows.copy(p.h_n + size * p_size * place, h_before[k], p_size)
            if has_c and c_before[k] != p.c_n + size * h_size * place:
                rows.copy(p.c_n + size * h_size * place, c_before[k], h_size)

    @part
    def recur_together(p, plan, phase, layer, task, thread):
        """One step of all sequences in one direction, for one share of the units, once the step before is done."""
        a_step = p.directions * p.shares
        s, d = task // a_step, task % a_step // p.shares
        j0, j1 = units_of(p, task % p.shares, panel)
        before_table, z_table = table_at(p, thread, _BEFORE), table_at(p, thread, _Z)
        h_before, z = addresses(before_table), addresses(z_table)
        h_size = p.hidden_size
        of_direction = layer * p.directions + d
        output = output_at(p, layer, size) + size * h_size * d
        row_bytes = size * h_size * p.directions
        t = p.steps - 1 - s if d else s
        earlier = t + 1 if d else t - 1
        scratch = d * p.span * p.sequences  # the first row z of this direction
        for i in range(p.sequences):
            at = z_at(p, layer, d, row_of(p, t, i), scratch + s % p.span * p.sequences + i)
            z[i] = at + size * (h_size * before_h + j0)
            if s == 0 or starts_again(p, d, t, i):
                h_before[i] = h0_at(p, of_direction, i, size)
            else:
                h_before[i] = output + row_bytes * row_of(p, earlier, i)
        wait(plan, phase, s * a_step)
        if p.fused and s % p.span == 0:
            read_span(p, layer, d, s, 0, p.sequences, scratch, j0, j1, thread)
        if fresh:
            for i in range(p.sequences):
                begin_slots(p, layer, d, z[i] - size * h_size * before_h, j0, j1)
        product(p, p.sequences, before_table, h_size, packed_hh_at(p, layer, d), h_gates, j0, j1, z_table, z_table)
        sealed = p.seal != 0 and layer == p.layers - 1
        if sealed:
            begin_seal(p, thread)
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
            step(p, j1 - j0, at, h_before[i] + size * j0, c_before, c, h)
            if sealed:
                seal_row(p, h, j1 - j0, q * p.directions + d, thread)
            if s == p.steps - 1:
                place = size * (h_size * (of_direction * p.sequences + i) + j0)
                rows.copy(p.h_n + place, h, j1 - j0)
                if has_c and c != p.c_n + place:
                    rows.copy(p.c_n + place, c, j1 - j0)

        if sealed:
            end_seal(p, thread)

    @part
    def phases(p):
        """After the first, each layer reads its input and recurs."""
        return 1 + 2 * p.layers

    @part
    def padding_in(p, phase):
        """Tasks that clear the padding of the output, while the last layer reads its input."""
        return tasks_of_padding(p) if phase == 2 * p.layers - 1 else 0

    @part
    def tasks(p, plan, phase):
        if phase % 2 == 0:
            return (p.steps * p.shares if p.shares else p.chunks) * p.directions
        blocks = 0 if p.fused else (rows_in(p, 0, p.steps) + p.block - 1) // p.block
        return padding_in(p, phase) + blocks

    @part
    def do(p, plan, phase, task, thread):
        layer = (phase - 1) // 2
        if phase % 2 == 0 and p.shares:
            recur_together(p, plan, phase, layer, task, thread)
        elif phase % 2 == 0:
            recur(p, layer, task % p.directions, task // p.directions, thread)
        elif task < padding_in(p, phase):
            clear_padding(p, p.output, size * p.directions * p.output_size, task)
        else:
            read_block(p, layer, task - padding_in(p, phase), thread)

    return Pass(panels, pack, phases, tasks, do)
