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
    clear,
    done,
    gradient_at,
    h0_at,
    input_at,
    inputs_of,
    length_of,
    output_at,
    packed_hh_at,
    packed_ih_at,
    place_of,
    read_header,
    row_of,
    starts_again,
    step_of,
    table_at,
    take,
    wait,
    weight_at,
)


def make_backward(dtype: type) -> Any:
    """The backward pass for float32 or float64, as compiled code that reads a plan."""
    size, panel = np.dtype(dtype).itemsize, panel_columns(dtype)
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)
    differentiate = make_derivative(dtype)

    @part
    def prepare(p, plan, layer, d, j0):
        """Packs the panel from column j0 on of W_hh and of W_ih."""
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        if j0 < h_size:
            call(p.pack, weight_at(plan, layer, d, 1), h_size, 1, h_size, h_size, packed_hh_at(p, layer, d), j0)
        if j0 < inputs and (layer > 0 or p.d_x):
            call(p.pack, weight_at(plan, layer, d, 0), inputs, 1, h_size, inputs, packed_ih_at(p, layer, d), j0)

    @part
    def add_row(target, source, n):
        """target += source, for rows of n numbers."""
        to, of = numbers(target), numbers(source)
        for j in range(n):
            to[j] += of[j]

    @part
    def recur(p, layer, d, chunk, thread):
        """dz of one chunk of sequences in one direction, from the last step read to the first, then dh_0."""
        first, step, count = chunk_of(p, chunk)
        h_size = p.hidden_size
        state = size * h_size
        width = state * p.directions
        cell = layer * p.directions + d
        states = state * cell * p.sequences  # of this cell, in h_0 and h_n
        zeros, w_hh = p.memory + p.zeros, packed_hh_at(p, layer, d)
        output = output_at(p, layer) + state * d
        d_output = p.d_output if layer == p.layers - 1 else p.memory + p.below
        after_table, dh_table, dz_table = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        after, dh, dz = addresses(after_table), addresses(dh_table), addresses(dz_table)  # after: dz of the next step
        h_rows = addresses(p.memory + p.h_rows + 8 * d * p.rows)
        at_start = p.memory + p.at_start + state * d * p.sequences
        for k in range(count):
            clear(numbers(at_start + state * (first + k * step)), h_size)
        active = 0
        for s in range(p.steps - 1, -1, -1):
            running = active
            while active < count and length_of(p, first + active * step) > s:
                active += 1
            for k in range(active):
                i = first + k * step
                t = length_of(p, i) - 1 - s if d else s
                r = step_of(p, t, i)
                dz[k] = p.memory + p.dz + state * (d * p.rows + r)
                dh[k] = d_output + width * row_of(p, r) + state * d if d_output else zeros
                if k >= running:  # the last step read: nothing comes after it but h_n
                    clear(numbers(dz[k]), h_size)
                    add_row(dz[k], dh[k], h_size)
                    if p.d_h_n:
                        add_row(dz[k], p.d_h_n + states + state * place_of(p, i), h_size)
            call(p.product, running, after_table, h_size, w_hh, h_size, dh_table, dz_table)
            for k in range(active):
                i = first + k * step
                t = length_of(p, i) - 1 - s if d else s
                r = step_of(p, t, i)
                differentiate(numbers(dz[k]), numbers(output + width * row_of(p, r)), h_size, p.relu)
                after[k] = dz[k]
                if s == 0 or starts_again(p, d, t, i):
                    h_rows[r] = h0_at(p, cell, i, size)
                    add_row(at_start + state * i, dz[k], h_size)
                    after[k] = zeros
                else:
                    before = t + 1 if d else t - 1
                    h_rows[r] = output + width * row_of(p, step_of(p, before, i))
        if p.d_h0:
            for k in range(count):
                i = first + k * step
                after[k] = at_start + state * i
                dz[k] = p.d_h0 + states + state * place_of(p, i)
                unread = length_of(p, i) == 0 and p.d_h_n != 0  # then h_n is h_0
                dh[k] = p.d_h_n + states + state * place_of(p, i) if unread else zeros
            call(p.product, count, after_table, h_size, w_hh, h_size, dh_table, dz_table)

    @part
    def find_inputs(p, layer):
        """The addresses of the rows that the layer read, in the order of dz."""
        x_rows = addresses(p.memory + p.x_rows)
        for r in range(p.rows):
            x_rows[r] = input_at(p, layer) + size * inputs_of(p, layer) * row_of(p, r)

    @part
    def pass_down(p, layer, task, thread):
        """dx = dz W_ih for one block of steps, both directions summed, times the dropout mask."""
        first = task * p.block
        count = min(p.block, p.rows - first)
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        target = p.memory + p.below if layer else p.d_x
        dz_table, start_table, d_x_table = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        dz, start, d_x = addresses(dz_table), addresses(start_table), addresses(d_x_table)
        for d in range(p.directions):
            for k in range(count):
                dz[k] = p.memory + p.dz + size * h_size * (d * p.rows + first + k)
                d_x[k] = target + size * inputs * row_of(p, first + k)
                start[k] = d_x[k] if d else p.memory + p.zeros
            call(p.product, count, dz_table, h_size, packed_ih_at(p, layer, d), inputs, start_table, d_x_table)
        if layer > 0 and p.masks:
            for k in range(count):
                row = numbers(d_x[k])
                mask = numbers(p.masks + p.layer_bytes * (layer - 1) + size * inputs * row_of(p, first + k))
                for j in range(inputs):
                    row[j] *= mask[j]

    @part
    def sum_weights(p, plan, layer, d, task):
        """dW_ih, dW_hh and db for one block of hidden units: sums over all steps."""
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        first = task * p.columns
        count = min(p.columns, h_size - first)
        dz = p.memory + p.dz + size * (h_size * d * p.rows + first)
        d_w_ih = gradient_at(plan, layer, d, 0) + size * first * inputs
        d_w_hh = gradient_at(plan, layer, d, 1) + size * first * h_size
        clear(numbers(d_w_ih), count * inputs)
        clear(numbers(d_w_hh), count * h_size)
        call(p.product_t, p.rows, dz, h_size, count, p.memory + p.x_rows, inputs, d_w_ih)
        call(p.product_t, p.rows, dz, h_size, count, p.memory + p.h_rows + 8 * d * p.rows, h_size, d_w_hh)
        if p.weights_a_cell == 4:
            d_b = gradient_at(plan, layer, d, 2) + size * first
            of_block = p.memory + p.at_start + size * (h_size * d * p.sequences + first)  # free by now
            clear(numbers(d_b), count)
            for r0 in range(0, p.rows, INNER):  # in blocks, as product_t does
                clear(numbers(of_block), count)
                for r in range(r0, min(r0 + INNER, p.rows)):
                    add_row(of_block, dz + size * h_size * r, count)
                add_row(d_b, of_block, count)
            d_b_hh = gradient_at(plan, layer, d, 3) + size * first  # the same numbers
            clear(numbers(d_b_hh), count)
            add_row(d_b_hh, d_b, count)

    @part
    def backward(plan, thread):
        p = read_header(plan)
        most = max(p.input_size, p.directions * p.hidden_size)
        panels = (most + panel - 1) // panel
        tasks = p.layers * p.directions * panels + 1
        task = take(plan, 0)
        while task < tasks:
            if task == tasks - 1:
                clear(numbers(p.memory + p.zeros), most)
            else:
                cell = task // panels
                prepare(p, plan, cell // p.directions, cell % p.directions, task % panels * panel)
            done(plan, 0)
            task = take(plan, 0)
        wait(plan, 0, tasks)
        for back in range(p.layers):
            layer = p.layers - 1 - back
            phase = 1 + 2 * back
            tasks = p.chunks * p.directions + 1
            task = take(plan, phase)
            while task < tasks:
                if task == tasks - 1:
                    find_inputs(p, layer)
                else:
                    recur(p, layer, task % p.directions, task // p.directions, thread)
                done(plan, phase)
                task = take(plan, phase)
            wait(plan, phase, tasks)
            blocks = (p.rows + p.block - 1) // p.block if layer > 0 or p.d_x else 0
            sums = (p.hidden_size + p.columns - 1) // p.columns * p.directions if gradient_at(plan, 0, 0, 0) else 0
            tasks = blocks + sums
            task = take(plan, phase + 1)
            while task < tasks:
                if task < blocks:
                    pass_down(p, layer, task, thread)
                else:
                    sum_weights(p, plan, layer, (task - blocks) % p.directions, (task - blocks) // p.directions)
                done(plan, phase + 1)
                task = take(plan, phase + 1)
            wait(plan, phase + 1, tasks)

    return backward
