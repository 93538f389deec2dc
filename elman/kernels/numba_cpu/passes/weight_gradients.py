"""The gradients at the weights: sums over the rows of dz in a span."""

from typing import Any

import numpy as np
from numba import types

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, call, part, pointer_to
from elman.kernels.numba_cpu.compile.processor import INNER, VECTOR_BYTES, few_inputs
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.plan.addresses import clear, gradient_at, inputs_of, table_at


def make_weight_gradients(dtype: type, cell: Room, rows: Rows) -> tuple[Any, Any, Any]:
    """begin, which writes 0 into them, and add, for some hidden units of one slot and one group of sequences; and what
    adds to dW_hh with recurrent dropout, for all slots."""
    size = np.dtype(dtype).itemsize
    numbers, width = pointer_to(types.float32 if dtype is np.float32 else types.float64), VECTOR_BYTES // size
    few = few_inputs(dtype)
    slots, of_x, of_h, before_h, has_c = cell.slots, cell.of_x, cell.of_h, cell.before_h, cell.has_c
    x_gates, h_gates = len(of_x), len(of_h)

    @part
    def x_unit(p, group, slot, first):
        """The row of dW_ih and db_ih, all groups' one after the other."""
        return (group * x_gates + of_x[slot]) * p.hidden_size + first

    @part
    def h_unit(p, group, slot, first):
        """The row of dW_hh and db_hh."""
        return (group * h_gates + of_h[slot - before_h]) * p.hidden_size + first

    @part
    def projecting(p, slot, first, count):
        """(first, count) of the rows of dW_hr that come with some units of a slot: all that are there with slot 0."""
        if slot > 0:
            return 0, 0
        return min(first, p.output_size), max(0, min(count, p.output_size - first))

    @part
    def narrow_at(p, thread):
        """A thread's transposed sums, (inputs, units), where there are few inputs."""
        return p.memory + p.narrow + size * few * (p.hidden_size + INNER) * thread

    @part
    def block_at(p, thread):
        """And its block of x, (INNER, inputs)."""
        return narrow_at(p, thread) + size * few * p.hidden_size

    @part
    def begin(p, plan, layer, d, group, slot, first, count):
        inputs, p_size = inputs_of(p, layer), p.output_size
        if slot < x_gates:
            unit = x_unit(p, group, slot, first)
            clear(gradient_at(plan, layer, d, 0) + size * unit * inputs, size * (count * inputs))
            if p.bias:
                clear(gradient_at(plan, layer, d, 2) + size * unit, size * count)
        if slot >= before_h:
            unit = h_unit(p, group, slot, first)
            clear(gradient_at(plan, layer, d, 1) + size * unit * p_size, size * (count * p_size))
            if p.bias:
                clear(gradient_at(plan, layer, d, 3) + size * unit, size * count)
        if has_c and p.projected:
            first, count = projecting(p, slot, first, count)
            row = gradient_at(plan, layer, d, p.weights_a_direction - 1) + size * p.hidden_size * (
                group * p_size + first
            )
            clear(row, size * count * p.hidden_size)

    @part
    def add_bias(p, target, dz, count, row_count, thread):
        of_block = p.memory + p.sums + size * p.hidden_size * thread
        for r0 in range(0, row_count, INNER):  # in blocks, as product_t does
            clear(of_block, size * count)
            for r in range(r0, min(r0 + INNER, row_count)):
                rows.add(of_block, dz + size * slots * p.hidden_size * r, count)
            rows.add(target, of_block, count)

    @part
    def is_narrow(inputs, count):
        """Whether vectors of units are so much better filled than vectors of inputs that it pays to transpose."""
        return inputs <= few and 4 * inputs * ((count + width - 1) // width) <= count

    @part
    def add_narrow(p, target, count, inputs, dz, row_count, x_rows, thread):
        """dW_ih (count, inputs) by its transpose, x^T dz: the same sums in the same order."""
        at_sums, at_block = narrow_at(p, thread), block_at(p, thread)
        table = table_at(p, thread, 0)
        d_w, sums, block, dz_rows = numbers(target), numbers(at_sums), numbers(at_block), addresses(table)
        for i in range(inputs):
            for j in range(count):
                sums[i * count + j] = d_w[j * inputs + i]
        for r0 in range(0, row_count, INNER):
            depth = min(INNER, row_count - r0)
            for r in range(depth):
                x = numbers(x_rows[r0 + r])
                for i in range(inputs):
                    block[r * inputs + i] = x[i]
                dz_rows[r] = dz + size * slots * p.hidden_size * (r0 + r)
            call(p.product_t, depth, at_block, inputs, inputs, table, count, at_sums)
        for i in range(inputs):
            for j in range(count):
                d_w[j * inputs + i] = sums[i * count + j]

    @part
    def add(p, plan, layer, d, group, slot, first, count, row, row_count, thread):
        """Adds so many rows of dz, from a `row` on; where W_hh reads masked states, not to dW_hh."""
        inputs, h_size, p_size = inputs_of(p, layer), p.hidden_size, p.output_size
        dz_step, row_address = slots * h_size, p.memory + 8 * row
        dz = p.memory + p.dz + size * (dz_step * row + slot * h_size + first)
        if slot < x_gates:
            unit = x_unit(p, group, slot, first)
            d_w = gradient_at(plan, layer, d, 0) + size * unit * inputs
            if is_narrow(inputs, count):
                add_narrow(p, d_w, count, inputs, dz, row_count, addresses(row_address + p.x_rows), thread)
            else:
                call(p.product_t, row_count, dz, dz_step, count, row_address + p.x_rows, inputs, d_w)
            if p.bias:
                add_bias(p, gradient_at(plan, layer, d, 2) + size * unit, dz, count, row_count, thread)
        if slot >= before_h:
            unit = h_unit(p, group, slot, first)
            if p.recurrent == 0:
                d_w = gradient_at(plan, layer, d, 1) + size * unit * p_size
                call(p.product_t, row_count, dz, dz_step, count, row_address + p.h_rows, p_size, d_w)
            if p.bias and slot < x_gates:  # the same numbers
                of_x_bias = gradient_at(plan, layer, d, 2) + size * x_unit(p, group, slot, first)
                rows.copy(gradient_at(plan, layer, d, 3) + size * unit, of_x_bias, count)
            elif p.bias:
                add_bias(p, gradient_at(plan, layer, d, 3) + size * unit, dz, count, row_count, thread)
        if has_c and p.projected:
            first, count = projecting(p, slot, first, count)
            dh = p.memory + p.dh + size * (p_size * row + first)
            d_w = gradient_at(plan, layer, d, p.weights_a_direction - 1) + size * h_size * (group * p_size + first)
            call(p.product_t, row_count, dh, p_size, count, row_address + p.m_rows, h_size, d_w)

    @part
    def add_masked(p, plan, layer, d, group, first, count, row, row_count, thread):
        """The same to dW_hh, for all its slots: states times their masks, a block of rows at a time.

        They are multiplied here anew: a thread reads what another has just written more slowly than it multiplies.
        """
        p_size, dz_step, table = p.output_size, slots * p.hidden_size, table_at(p, thread, 0)
        h_rows, mask_rows = addresses(p.memory + p.h_rows + 8 * row), addresses(p.memory + p.mask_rows + 8 * row)
        masked = addresses(table)
        for r0 in range(0, row_count, INNER):
            depth = min(INNER, row_count - r0)
            for r in range(depth):
                masked[r] = p.memory + p.masked + size * p_size * (thread * INNER + r)
                rows.multiply(masked[r], h_rows[r0 + r], mask_rows[r0 + r], p_size)
            for slot in range(before_h, slots):
                dz = p.memory + p.dz + size * (dz_step * (row + r0) + slot * p.hidden_size + first)
                d_w = gradient_at(plan, layer, d, 1) + size * h_unit(p, group, slot, first) * p_size
                call(p.product_t, depth, dz, dz_step, count, table, p_size, d_w)

    return begin, add, add_masked
