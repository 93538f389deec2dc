"""The gradients at the weights: sums over the rows of dz in a span."""

import itertools
from typing import Any, NamedTuple

import numpy as np
from numba import types

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, call, part, pointer_to
from elman.kernels.numba_cpu.compile.processor import INNER, VECTOR_BYTES, few_inputs
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.plan.addresses import clear, gradient_at, inputs_of, own_at, table_at


class WeightGradients(NamedTuple):
    """For some hidden units of one slot. A piece is a group of sequences whose gradients are apart, or a chunk, whose
    sums are a piece of the gradients; 0 where there is one sum."""

    begin: Any
    """begin(p, plan, layer, d, piece, slot, first, count): writes 0."""
    add: Any
    """add(p, plan, layer, d, piece, slot, many, first, count, row, row_count, thread): so many rows of dz, from a row
    on. For all units many may be the slots of a run, and not 1."""
    add_masked: Any
    """add_masked(p, plan, layer, d, piece, first, count, row, row_count, thread): with recurrent dropout the same to
    dW_hh, for all slots."""
    join: Any
    """join(p, plan, layer, d, slot, first, count): the sum of the chunks' pieces."""
    runs: tuple[tuple[int, ...], tuple[int, ...]]
    """Slots in runs, whose rows of the gradients are neighbours as they are: the first of each, and how many."""


def _runs(cell: Room) -> tuple[tuple[int, ...], tuple[int, ...]]:
    def gates(slot: int) -> tuple[int | None, int | None]:
        """Whose rows of W_ih and W_hh a slot takes."""
        x, h = len(cell.of_x), slot - cell.before_h
        return cell.of_x[slot] if slot < x else None, cell.of_h[h] if h >= 0 else None

    def follows(slot: int) -> bool:
        return slot > 0 and gates(slot) == tuple(None if gate is None else gate + 1 for gate in gates(slot - 1))

    firsts = tuple(slot for slot in range(cell.slots) if not follows(slot))
    return firsts, tuple(after - first for first, after in itertools.pairwise((*firsts, cell.slots)))


def make_weight_gradients(dtype: type, cell: Room, rows: Rows) -> WeightGradients:
    """For float32 or float64."""
    size = np.dtype(dtype).itemsize
    numbers, width = pointer_to(types.float32 if dtype is np.float32 else types.float64), VECTOR_BYTES // size
    few = few_inputs(dtype)
    slots, of_x, of_h, before_h, has_c = cell.slots, cell.of_x, cell.of_h, cell.before_h, cell.has_c
    x_gates, h_gates = len(of_x), len(of_h)

    @part
    def x_unit(p, slot, first):
        """The row of dW_ih and db_ih."""
        return of_x[slot] * p.hidden_size + first

    @part
    def h_unit(p, slot, first):
        """The row of dW_hh and db_hh."""
        return of_h[slot - before_h] * p.hidden_size + first

    @part
    def projecting(p, slot, first, count):
        """(first, count) of the rows of dW_hr that come with some units of a slot: all that are there with slot 0."""
        if slot > 0:
            return 0, 0
        return min(first, p.output_size), max(0, min(count, p.output_size - first))

    @part
    def narrow_at(p, thread):
        """A thread's transposed sums, (inputs, units), where there are few inputs."""
        return own_at(p, p.narrow, size * few * (slots * p.hidden_size + INNER), thread)

    @part
    def block_at(p, thread):
        """And its block of x, (INNER, inputs)."""
        return narrow_at(p, thread) + size * few * slots * p.hidden_size

    @part
    def numbers_in(p, layer, which):
        """Of the gradient at one weight of a direction."""
        h = p.hidden_size
        if p.projected and which == p.weights_a_direction - 1:
            return p.output_size * h
        gates, columns = h_gates if which % 2 else x_gates, 1
        if which < 2:
            columns = p.output_size if which else inputs_of(p, layer)
        return gates * h * columns

    @part
    def piece_at(p, layer, d, piece, which):
        """A chunk's piece of the gradient at one weight, in scratch memory."""
        before = d * p.weight_numbers
        for other in range(which):
            before += numbers_in(p, layer, other)
        return own_at(p, p.sums_of_chunks, size * p.piece_numbers, piece) + size * before

    @part
    def target_at(p, plan, layer, d, piece, which):
        """Where the gradient at one weight is summed, all groups' one after the other."""
        if p.pieces and p.groups == 0:
            return piece_at(p, layer, d, piece, which)
        return gradient_at(plan, layer, d, which) + size * piece * numbers_in(p, layer, which)

    @part
    def begin(p, plan, layer, d, piece, slot, first, count):
        inputs, p_size = inputs_of(p, layer), p.output_size
        if slot < x_gates:
            unit = x_unit(p, slot, first)
            clear(target_at(p, plan, layer, d, piece, 0) + size * unit * inputs, size * (count * inputs))
            if p.bias:
                clear(target_at(p, plan, layer, d, piece, 2) + size * unit, size * count)
        if slot >= before_h:
            unit = h_unit(p, slot, first)
            clear(target_at(p, plan, layer, d, piece, 1) + size * unit * p_size, size * (count * p_size))
            if p.bias:
                clear(target_at(p, plan, layer, d, piece, 3) + size * unit, size * count)
        if has_c and p.projected:
            first, count = projecting(p, slot, first, count)
            row = target_at(p, plan, layer, d, piece, p.weights_a_direction - 1) + size * p.hidden_size * first
            clear(row, size * count * p.hidden_size)

    @part
    def add_bias(p, target, dz, count, row_count):
        for r0 in range(0, row_count, INNER):  # in blocks, as product_t does
            rows.add_rows(target, dz + size * p.z_step * r0, p.z_step, min(INNER, row_count - r0), count)

    @part
    def is_narrow(inputs, count):
        """Whether vectors of units are so much better filled than vectors of inputs that it pays to transpose."""
        return inputs <= few and 2 * inputs * ((count + width - 1) // width) <= count

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
                dz_rows[r] = dz + size * p.z_step * (r0 + r)
            call(p.product_t, depth, at_block, inputs, inputs, table, count, at_sums)
        for i in range(inputs):
            for j in range(count):
                d_w[j * inputs + i] = sums[i * count + j]

    @part
    def add(p, plan, layer, d, piece, slot, many, first, count, row, row_count, thread):
        """Adds so many rows of dz, from a `row` on; where W_hh reads masked states, not to dW_hh."""
        inputs, h_size, p_size, units = inputs_of(p, layer), p.hidden_size, p.output_size, many * count
        dz_step, row_address = p.z_step, p.memory + 8 * row
        dz = p.memory + p.dz + size * (dz_step * row + slot * h_size + first)
        if slot < x_gates:
            unit = x_unit(p, slot, first)
            d_w = target_at(p, plan, layer, d, piece, 0) + size * unit * inputs
            if is_narrow(inputs, units):
                add_narrow(p, d_w, units, inputs, dz, row_count, addresses(row_address + p.x_rows), thread)
            else:
                call(p.product_t, row_count, dz, dz_step, units, row_address + p.x_rows, inputs, d_w)
            if p.bias:
                add_bias(p, target_at(p, plan, layer, d, piece, 2) + size * unit, dz, units, row_count)
        if slot >= before_h:
            unit = h_unit(p, slot, first)
            if p.recurrent == 0:
                d_w = target_at(p, plan, layer, d, piece, 1) + size * unit * p_size
                call(p.product_t, row_count, dz, dz_step, units, row_address + p.h_rows, p_size, d_w)
            if p.bias and slot < x_gates:  # the same numbers
                of_x_bias = target_at(p, plan, layer, d, piece, 2) + size * x_unit(p, slot, first)
                rows.copy(target_at(p, plan, layer, d, piece, 3) + size * unit, of_x_bias, units)
            elif p.bias:
                add_bias(p, target_at(p, plan, layer, d, piece, 3) + size * unit, dz, units, row_count)
        if has_c and p.projected:
            first, count = projecting(p, slot, first, count)
            dh = p.memory + p.dh + size * (p_size * row + first)
            d_w = target_at(p, plan, layer, d, piece, p.weights_a_direction - 1) + size * h_size * first
            call(p.product_t, row_count, dh, p_size, count, row_address + p.m_rows, h_size, d_w)

    @part
    def add_masked(p, plan, layer, d, piece, first, count, row, row_count, thread):
        """The same to dW_hh, for all its slots: states times their masks, a block of rows at a time.

        They are multiplied here anew: a thread reads what another has just written more slowly than it multiplies.
        """
        p_size, dz_step, table = p.output_size, p.z_step, table_at(p, thread, 0)
        h_rows, mask_rows = addresses(p.memory + p.h_rows + 8 * row), addresses(p.memory + p.mask_rows + 8 * row)
        masked, at_masked = addresses(table), own_at(p, p.masked, size * p_size * INNER, thread)
        for r0 in range(0, row_count, INNER):
            depth = min(INNER, row_count - r0)
            for r in range(depth):
                masked[r] = at_masked + size * p_size * r
                rows.multiply(masked[r], h_rows[r0 + r], mask_rows[r0 + r], p_size)
            for slot in range(before_h, slots):
                dz = p.memory + p.dz + size * (dz_step * (row + r0) + slot * p.hidden_size + first)
                d_w = target_at(p, plan, layer, d, piece, 1) + size * h_unit(p, slot, first) * p_size
                call(p.product_t, depth, dz, dz_step, count, table, p_size, d_w)

    @part
    def join_rows(p, plan, layer, d, which, first, count, n):
        """Of so many rows of n numbers, from the first on."""
        target = gradient_at(plan, layer, d, which) + size * n * first
        for piece in range(p.chunks):
            row = piece_at(p, layer, d, piece, which) + size * n * first
            if piece == 0:
                rows.copy(target, row, count * n)
            else:
                rows.add(target, row, count * n)

    @part
    def join(p, plan, layer, d, slot, first, count):
        inputs, p_size = inputs_of(p, layer), p.output_size
        if slot < x_gates:
            unit = x_unit(p, slot, first)
            join_rows(p, plan, layer, d, 0, unit, count, inputs)
            if p.bias:
                join_rows(p, plan, layer, d, 2, unit, count, 1)
        if slot >= before_h:
            unit = h_unit(p, slot, first)
            join_rows(p, plan, layer, d, 1, unit, count, p_size)
            if p.bias:
                join_rows(p, plan, layer, d, 3, unit, count, 1)
        if has_c and p.projected:
            first, count = projecting(p, slot, first, count)
            join_rows(p, plan, layer, d, p.weights_a_direction - 1, first, count, p.hidden_size)

    return WeightGradients(begin, add, add_masked, join, _runs(cell))
