"""Backpropagation through time, from the outputs that the forward pass left, for every layer and direction in one call.

In the order of time only the gradient at the pre-activations is computed,
dz_t = (dh_t + dz_{t+1} W_hh) * f'(z_t), with f' taken from h_t. Everything else is a product over all steps at once:
dx = dz W_ih, dW_ih = dz^T x, dW_hh = dz^T h_{t-1}, db = sum of dz.
"""

from typing import Any

import numpy as np
from numba import types

from elman.kernels.numba_cpu.activation import make_derivative
from elman.kernels.numba_cpu.sizes import INNER, panel_columns
from elman.kernels.numba_cpu.tile import call, part, pointer_to
from elman.kernels.numba_cpu.work import (
    addresses,
    chunk_of,
    done,
    length_of,
    place_of,
    read_cell,
    read_header,
    row_of,
    starts_again,
    step_of,
    table_at,
    take,
    wait,
)


def make_backward(dtype: type) -> Any:
    """The backward pass for float32 or float64, as compiled code that reads a plan."""
    size, panel = np.dtype(dtype).itemsize, panel_columns(dtype)
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)
    differentiate = make_derivative(dtype)

    @part
    def prepare(p, cell, j0):
        """Packs the panel from column j0 on of W_hh and of W_ih."""
        if j0 < p.hidden_size:
            call(p.pack, cell.w_hh, p.hidden_size, 1, p.hidden_size, p.hidden_size, cell.packed_hh, j0)
        if j0 < cell.inputs and cell.d_x:
            call(p.pack, cell.w_ih, cell.inputs, 1, p.hidden_size, cell.inputs, cell.packed_ih, j0)

    @part
    def clear(address, n):
        row = numbers(address)
        for j in range(n):
            row[j] = 0

    @part
    def add_row(target, source, n):
        """target += source, for rows of n numbers."""
        to, of = numbers(target), numbers(source)
        for j in range(n):
            to[j] += of[j]

    @part
    def recur(p, plan, layer, d, chunk, thread):
        """dz of one chunk of sequences in one direction, from the last step read to the first, then dh_0."""
        cell = read_cell(plan, layer, d)
        first, step, count = chunk_of(p, chunk)
        h_size = p.hidden_size
        state = size * h_size
        width = state * p.directions
        base = (layer * p.directions + d) * p.sequences
        d_output = p.d_output if layer == p.layers - 1 else p.d_below
        after_at, dh_at, dz_at = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        after, dh, dz = addresses(after_at), addresses(dh_at), addresses(dz_at)  # after: dz of the step read next
        h_rows = addresses(p.h_rows + 8 * d * p.rows)
        at_start = p.at_start + state * d * p.sequences
        for k in range(count):
            clear(at_start + state * (first + k * step), h_size)
        active = 0
        for s in range(p.steps - 1, -1, -1):
            running = active
            while active < count and length_of(p, first + active * step) > s:
                active += 1
            for k in range(active):
                i = first + k * step
                t = length_of(p, i) - 1 - s if d else s
                r = step_of(p, t, i)
                dz[k] = p.dz + state * (d * p.rows + r)
                dh[k] = d_output + width * row_of(p, r) + state * d if d_output else p.zeros
                if k >= running:  # the last step read: nothing comes after it but h_n
                    clear(dz[k], h_size)
                    add_row(dz[k], dh[k], h_size)
                    if p.d_h_n:
                        add_row(dz[k], p.d_h_n + state * (base + place_of(p, i)), h_size)
            call(p.product, running, after_at, h_size, cell.packed_hh, h_size, dh_at, dz_at)
            for k in range(active):
                i = first + k * step
                t = length_of(p, i) - 1 - s if d else s
                r = step_of(p, t, i)
                h = cell.output + width * row_of(p, r) + state * d
                differentiate(numbers(dz[k]), numbers(h), h_size, p.relu)
                after[k] = dz[k]
                if s == 0 or starts_again(p, d, t, i):
                    h_rows[r] = p.h0 + state * (base + place_of(p, i)) if p.h0 else p.zeros
                    add_row(at_start + state * i, dz[k], h_size)
                    after[k] = p.zeros
                else:
                    before = t + 1 if d else t - 1
                    h_rows[r] = cell.output + width * row_of(p, step_of(p, before, i)) + state * d
        if p.d_h0:
            for k in range(count):
                i = first + k * step
                place = state * (base + place_of(p, i))
                after[k] = at_start + state * i
                dz[k] = p.d_h0 + place
                unread = length_of(p, i) == 0 and p.d_h_n != 0  # then h_n is h_0
                dh[k] = p.d_h_n + place if unread else p.zeros
            call(p.product, count, after_at, h_size, cell.packed_hh, h_size, dh_at, dz_at)

    @part
    def find_inputs(p, cell):
        """The addresses of the rows that the layer read, in the order of dz."""
        x_rows = addresses(p.x_rows)
        for r in range(p.rows):
            x_rows[r] = cell.x + size * cell.inputs * row_of(p, r)

    @part
    def pass_down(p, plan, layer, task, thread):
        """dx = dz W_ih for one block of steps, both directions summed, times the dropout mask."""
        first = task * p.block
        count = min(p.block, p.rows - first)
        dz_at, start_at, d_x_at = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        dz, start, d_x = addresses(dz_at), addresses(start_at), addresses(d_x_at)
        for d in range(p.directions):
            cell = read_cell(plan, layer, d)
            for k in range(count):
                dz[k] = p.dz + size * p.hidden_size * (d * p.rows + first + k)
                d_x[k] = cell.d_x + size * cell.inputs * row_of(p, first + k)
                start[k] = d_x[k] if d else p.zeros
            call(p.product, count, dz_at, p.hidden_size, cell.packed_ih, cell.inputs, start_at, d_x_at)
        cell = read_cell(plan, layer, 0)
        if cell.mask:
            for k in range(count):
                row, mask = numbers(d_x[k]), numbers(cell.mask + size * cell.inputs * row_of(p, first + k))
                for j in range(cell.inputs):
                    row[j] *= mask[j]

    @part
    def sum_weights(p, plan, layer, d, task):
        """dW_ih, dW_hh and db for one block of hidden units: sums over all steps."""
        cell = read_cell(plan, layer, d)
        first = task * p.columns
        count = min(p.columns, p.hidden_size - first)
        dz = p.dz + size * (p.hidden_size * d * p.rows + first)
        h_rows = p.h_rows + 8 * d * p.rows
        d_w_ih = cell.d_w_ih + size * first * cell.inputs
        d_w_hh = cell.d_w_hh + size * first * p.hidden_size
        clear(d_w_ih, count * cell.inputs)
        clear(d_w_hh, count * p.hidden_size)
        call(p.product_t, p.rows, dz, p.hidden_size, count, p.x_rows, cell.inputs, d_w_ih)
        call(p.product_t, p.rows, dz, p.hidden_size, count, h_rows, p.hidden_size, d_w_hh)
        if cell.d_b:
            d_b = cell.d_b + size * first
            of_block = p.at_start + size * (p.hidden_size * d * p.sequences + first)  # free by now
            clear(d_b, count)
            for r0 in range(0, p.rows, INNER):  # in blocks, as product_t does
                clear(of_block, count)
                for r in range(r0, min(r0 + INNER, p.rows)):
                    add_row(of_block, dz + size * p.hidden_size * r, count)
                add_row(d_b, of_block, count)

    @part
    def backward(plan, thread):
        p = read_header(plan)
        most = p.hidden_size
        for layer in range(p.layers):
            most = max(most, read_cell(plan, layer, 0).inputs)
        panels = (most + panel - 1) // panel
        tasks = p.layers * p.directions * panels
        task = take(plan, 0)
        while task < tasks:
            cell = task // panels
            prepare(p, read_cell(plan, cell // p.directions, cell % p.directions), task % panels * panel)
            done(plan, 0)
            task = take(plan, 0)
        wait(plan, 0, tasks)
        for back in range(p.layers):
            layer = p.layers - 1 - back
            own = read_cell(plan, layer, 0)
            phase = 1 + 2 * back
            tasks = p.chunks * p.directions + 1
            task = take(plan, phase)
            while task < tasks:
                if task == tasks - 1:
                    find_inputs(p, own)
                else:
                    recur(p, plan, layer, task % p.directions, task // p.directions, thread)
                done(plan, phase)
                task = take(plan, phase)
            wait(plan, phase, tasks)
            blocks = (p.rows + p.block - 1) // p.block if own.d_x else 0
            sums = (p.hidden_size + p.columns - 1) // p.columns * p.directions if own.d_w_ih else 0
            tasks = blocks + sums
            task = take(plan, phase + 1)
            while task < tasks:
                if task < blocks:
                    pass_down(p, plan, layer, task, thread)
                else:
                    sum_weights(p, plan, layer, (task - blocks) % p.directions, (task - blocks) // p.directions)
                done(plan, phase + 1)
                task = take(plan, phase + 1)
            wait(plan, phase + 1, tasks)

    return backward
