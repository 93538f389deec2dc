"""The input's part of the pre-activations, x_t W_ih^T + b, which needs no state: products over many steps at once."""

from typing import Any, NamedTuple

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, call, part
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.passes.places import Places
from elman.kernels.numba_cpu.passes.sequences import length_of, row_of, rows_from, rows_in, step_of, turned
from elman.kernels.numba_cpu.plan.addresses import (
    biases_at,
    drive_at,
    input_at,
    inputs_of,
    layer_bytes,
    packed_ih_at,
    table_at,
    units_of,
)

_X, _X_Z, _X_BIAS = range(7, 10)  # a thread's tables of addresses, beside those of the recurrence


class Reading(NamedTuple):
    """What the forward pass does with weights and input."""

    product: Any
    """product(p, count, a_table, k, packed, gates, j0, j1, in_table, out_table): rows of out = in + a @ packed, for
    units j0 to j1 of so many gates; the tables are those of unit j0."""
    block: Any
    """block(p, layer, task, thread): one block of steps, for all units, in both directions."""
    span: Any
    """span(p, layer, d, s0, first, count, scratch, j0, j1, thread): some sequences' steps from s0 on."""
    begin_slots: Any
    """begin_slots(p, layer, d, z, j0, j1): the bias where the input writes nothing, for a row z of unit j0."""


def make_reading(dtype: type, cell: Room, rows: Rows, places: Places) -> Reading:
    """For float32 or float64."""
    size, slots, x_gates = np.dtype(dtype).itemsize, cell.slots, len(cell.of_x)
    z_at = places.z_at

    @part
    def product(p, count, a_table, k, packed, gates, j0, j1, in_table, out_table):
        if p.shares == 0:
            call(p.product, count, a_table, k, packed, gates * p.hidden_size, in_table, out_table, p.asks)
            return
        c_in, c = addresses(in_table), addresses(out_table)
        for gate in range(gates):
            if gate > 0:
                for r in range(count):
                    c[r] += size * p.hidden_size
                    if in_table != out_table:
                        c_in[r] += size * p.hidden_size
            panels = packed + size * k * (gate * p.padded + j0)
            call(p.product, count, a_table, k, panels, j1 - j0, in_table, out_table, p.asks)

    @part
    def read(p, layer, d, count, j0, j1, thread):
        """x W_ih^T + b for the rows in the tables of reading input."""
        inputs = inputs_of(p, layer)
        x_table, z_table, bias_table = table_at(p, thread, _X), table_at(p, thread, _X_Z), table_at(p, thread, _X_BIAS)
        bias = addresses(bias_table)
        for r in range(count):
            bias[r] = biases_at(p, layer, d) + size * j0
        in_table = z_table if p.drive else bias_table  # the drive stands in z, with the bias
        product(p, count, x_table, inputs, packed_ih_at(p, layer, d), x_gates, j0, j1, in_table, z_table)

    @part
    def begin_with_drive(p, layer, d, q, z, j0, j1):
        """The bias and the drive of a step, in z of unit j0."""
        rows.copy(z, biases_at(p, layer, d) + size * j0, j1 - j0)
        rows.add(z, drive_at(p, layer, d, q) + size * j0, j1 - j0)

    @part
    def x_at(p, layer, q):
        """The row of a layer's input of which row q is the output."""
        return input_at(p, layer, size) + size * inputs_of(p, layer) * (
            turned(p, q) if layer == 0 and p.x_turned else q
        )

    @part
    def drop(p, layer, q):
        """Row q of the layer's input: the output below times its dropout mask."""
        width = p.directions * p.output_size
        offset = layer_bytes(p, size) * (layer - 1) + size * width * q
        rows.multiply(p.dropped + offset, p.inner + offset, p.masks + offset, width)

    @part
    def read_block(p, layer, task, thread):
        """The input's part of one block of steps, for all units, in both directions."""
        first = task * p.block
        count = min(p.block, rows_in(p, 0, p.steps) - first)
        x, z = addresses(table_at(p, thread, _X)), addresses(table_at(p, thread, _X_Z))
        shares = max(1, p.shares)
        for number in range(p.directions * shares):
            d, share = number // shares, number % shares
            j0, j1 = units_of(p, share, size)
            rows_from(p, first, count, z)
            for r in range(count):
                q = z[r]
                if layer > 0 and number == 0 and p.masks:
                    drop(p, layer, q)
                x[r] = x_at(p, layer, q)
                z[r] = z_at(p, layer, d, q, 0) + size * j0
                if p.drive:
                    begin_with_drive(p, layer, d, q, z[r], j0, j1)
            read(p, layer, d, count, j0, j1, thread)

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
                q = row_of(p, step_of(p, d, s, i), i)
                x[filled] = x_at(p, layer, q)
                z[filled] = z_at(p, layer, d, q, scratch + (s - s0) * count + k) + size * j0
                if p.drive:
                    begin_with_drive(p, layer, d, q, z[filled], j0, j1)
                filled += 1
                if filled == p.block:
                    read(p, layer, d, filled, j0, j1, thread)
                    filled = 0
        if filled:
            read(p, layer, d, filled, j0, j1, thread)

    @part
    def begin_slots(p, layer, d, z, j0, j1):
        for slot in range(x_gates, slots):
            offset = size * slot * p.hidden_size
            rows.copy(z + offset, biases_at(p, layer, d) + offset + size * j0, j1 - j0)

    return Reading(product, read_block, read_span, begin_slots)
