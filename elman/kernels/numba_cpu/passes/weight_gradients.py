"""The gradients at the weights: sums over the rows of dz in a span."""

from typing import Any

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import call, part
from elman.kernels.numba_cpu.compile.processor import INNER
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.plan.addresses import clear, gradient_at, inputs_of


def make_weight_gradients(dtype: type, cell: Room, rows: Rows) -> tuple[Any, Any]:
    """begin, which writes 0 into them, and add, for some hidden units of one slot and one group of sequences."""
    size = np.dtype(dtype).itemsize
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
    def add(p, plan, layer, d, group, slot, first, count, row, row_count, thread):
        """Adds so many rows of dz, from a `row` on."""
        inputs, h_size, p_size = inputs_of(p, layer), p.hidden_size, p.output_size
        width, row_address = slots * h_size, p.memory + 8 * row
        dz = p.memory + p.dz + size * (width * row + slot * h_size + first)
        if slot < x_gates:
            unit = x_unit(p, group, slot, first)
            d_w = gradient_at(plan, layer, d, 0) + size * unit * inputs
            call(p.product_t, row_count, dz, width, count, row_address + p.x_rows, inputs, d_w)
            if p.bias:
                add_bias(p, gradient_at(plan, layer, d, 2) + size * unit, dz, count, row_count, thread)
        if slot >= before_h:
            unit = h_unit(p, group, slot, first)
            d_w = gradient_at(plan, layer, d, 1) + size * unit * p_size
            call(p.product_t, row_count, dz, width, count, row_address + p.h_rows, p_size, d_w)
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

    return begin, add
