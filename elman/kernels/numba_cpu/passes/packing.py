"""The weights as the passes read them, in panels: forward transposed, gates in the order of the cell's slots; backward
as they lie, the gates of W_ih in that order, or, of few inputs, transposed and in no panels."""

from typing import Any

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import call, part
from elman.kernels.numba_cpu.matmul.dots import make_dots
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.plan.addresses import (
    biases_at,
    clear,
    inputs_of,
    packed_hh_at,
    packed_hr_at,
    packed_ih_at,
    units_of,
    weight_at,
)
from elman.kernels.numba_cpu.plan.record import LINE


def make_panels_of_units(dtype: type, rows: Rows) -> tuple[Any, Any]:
    """count(p), into how many panels the hidden units, or what h is wide, are packed, which begin anew where a share of
    them begins; and place(p, number), (first, after the last) of those in a panel, which may have none."""
    size, (panels, panel, *_) = np.dtype(dtype).itemsize, rows.panels

    @part
    def of_a_share(p):
        line, shares = LINE // size, max(1, p.shares)
        lines = (p.hidden_size + line - 1) // line
        return panels((lines + shares - 1) // shares * line)

    @part
    def count(p):
        return max(1, p.shares) * of_a_share(p)

    @part
    def place(p, number):
        j0, j1 = units_of(p, number // of_a_share(p), size)
        first, after = panel(max(0, min(j1, p.output_size) - j0), number % of_a_share(p))
        return j0 + first, j0 + after

    return count, place


def make_forward_packing(dtype: type, cell: Room, rows: Rows) -> tuple[Any, Any]:
    """panels and pack, as Pass has them."""
    size, (count, panel, *_) = np.dtype(dtype).itemsize, rows.panels
    slots, of_x, of_h, before_h = cell.slots, cell.of_x, cell.of_h, cell.before_h
    x_gates, h_gates = len(of_x), len(of_h)
    panels_of_units, place_of_units = make_panels_of_units(dtype, rows)

    @part
    def panels_of(p, gates):
        """Of the transpose of a matrix (gates * H, .): gate by gate where units are shared, else in one."""
        return gates * panels_of_units(p) if p.shares else count(gates * p.hidden_size)

    @part
    def panels(p):
        return max(panels_of(p, max(x_gates, h_gates)), count(p.output_size))

    @part
    def place(p, gates, number):
        """(first, after the last, where it is packed) of the columns of a panel."""
        h = p.hidden_size
        if p.shares == 0:
            first, after = panel(gates * h, number)
            return first, after, first
        gate = number // panels_of_units(p)
        first, after = place_of_units(p, number % panels_of_units(p))
        return gate * h + first, gate * h + after, gate * p.padded + first

    @part
    def pack_gates(p, weight, order, k, target, number):
        """A panel of the transpose of a weight (gates * H, k), whose gates are put in order."""
        h = p.hidden_size
        first, after, at = place(p, len(order), number)
        to, padded = target + size * k * at, rows.padded(after - first)
        if padded > after - first:
            clear(to, size * k * padded)
        j = first
        while j < after:
            gate = j // h
            n = min(after, (gate + 1) * h) - j
            source = weight + size * k * ((order[gate] - gate) * h + j)
            call(p.pack, source, 1, k, k, n, to + size * (j - first), padded)
            j += n

    @part
    def add_biases(p, plan, layer, d):
        """b_ih + b_hh of each slot, or what it has of them."""
        h = p.hidden_size
        target = biases_at(p, layer, d)
        clear(target, size * slots * h)
        if p.bias == 0:
            return
        b_ih, b_hh = weight_at(plan, layer, d, 2), weight_at(plan, layer, d, 3)
        for slot in range(slots):
            row = target + size * slot * h
            if slot < x_gates:
                rows.copy(row, b_ih + size * of_x[slot] * h, h)
                if slot >= before_h:
                    rows.add(row, b_hh + size * of_h[slot - before_h] * h, h)
            else:
                rows.copy(row, b_hh + size * of_h[slot - before_h] * h, h)

    @part
    def pack(p, plan, layer, d, number):
        p_size, h = p.output_size, p.hidden_size
        if number < panels_of(p, x_gates):
            pack_gates(p, weight_at(plan, layer, d, 0), of_x, inputs_of(p, layer), packed_ih_at(p, layer, d), number)
        if number < panels_of(p, h_gates):
            pack_gates(p, weight_at(plan, layer, d, 1), of_h, p_size, packed_hh_at(p, layer, d), number)
        if p.projected and number < count(p_size):
            first, after = panel(p_size, number)
            w_hr = weight_at(plan, layer, d, p.weights_a_direction - 1) + size * first * h
            rows.pack(p, w_hr, 1, h, h, after - first, packed_hr_at(p, layer, d) + size * first * h)
        if number == 0:
            add_biases(p, plan, layer, d)

    return panels, pack


def make_backward_packing(dtype: type, cell: Room, rows: Rows) -> tuple[Any, Any]:
    """The same: the weights as they are, of few inputs W_ih transposed; its gates in the order of the cell's slots."""
    size, (count, panel, *_) = np.dtype(dtype).itemsize, rows.panels
    of_x, x_gates, h_gates = cell.of_x, len(cell.of_x), len(cell.of_h)
    panels_of_units, place_of_units = make_panels_of_units(dtype, rows)
    by_dots = make_dots(dtype).suit

    @part
    def panels(p):
        return max(panels_of_units(p), count(max(p.input_size, p.directions * p.output_size)))

    @part
    def pack(p, plan, layer, d, number):
        inputs, h_size, p_size = inputs_of(p, layer), p.hidden_size, p.output_size
        if number < panels_of_units(p):
            first, after = place_of_units(p, number)
            k = h_gates * h_size
            if after > first:
                w_hh = weight_at(plan, layer, d, 1) + size * first
                rows.pack(p, w_hh, p_size, 1, k, after - first, packed_hh_at(p, layer, d) + size * first * k)
        if p.projected and number < count(h_size):
            first, after = panel(h_size, number)
            w_hr = weight_at(plan, layer, d, p.weights_a_direction - 1) + size * first
            rows.pack(p, w_hr, h_size, 1, p_size, after - first, packed_hr_at(p, layer, d) + size * first * p_size)
        if layer == 0 and p.d_x == 0:
            return
        k, target = x_gates * h_size, packed_ih_at(p, layer, d)
        w_ih = weight_at(plan, layer, d, 0)
        first, after = panel(inputs, number)
        padded = rows.padded(after - first)
        for slot in range(x_gates if first < inputs else 0):
            of_slot = w_ih + size * of_x[slot] * h_size * inputs
            if by_dots(k, inputs):
                call(p.pack, of_slot, 1, inputs, inputs, h_size, target + size * slot * h_size, k)
            else:
                to = target + size * (first * k + slot * h_size * padded)
                rows.pack(p, of_slot + size * first, inputs, 1, h_size, after - first, to)

    return panels, pack
