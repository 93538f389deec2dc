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
    clear_padding,
    columns_of,
    gradient_at,
    h0_at,
    input_at,
    inputs_of,
    length_of,
    number_of,
    output_at,
    packed_hh_at,
    packed_ih_at,
    place_of,
    row_of,
    rows_in,
    sort,
    starts_again,
    table_at,
    tasks_of_padding,
    wait,
    weight_at,
)


def make_backward(dtype: type) -> Any:
    """The backward pass for float32 or float64: its phases, the tasks of a phase, and the work on one of them."""
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
    def copy_row(target, source, n):
        to, of = numbers(target), numbers(source)
        for j in range(n):
            to[j] = of[j]

    @part
    def below_at(p, layer):
        """Where the gradient at the output of a layer that is not the last lies."""
        return p.memory + (p.below if layer % 2 else p.below_too)

    @part
    def tasks_of_clearing(p, layer):
        """Into how many tasks `clear_below` is split."""
        if layer == 0 and p.d_x == 0:
            return 0
        if p.directions == 2:
            return p.threads
        return tasks_of_padding(p) if layer == 0 else 0

    @part
    def last_steps(p, span):
        """(s0, s1): the steps of a span; the spans are counted from the end."""
        s1 = p.steps - span * p.span
        return max(0, s1 - p.span), s1

    @part
    def recur(p, layer, d, chunk, thread, s0, s1):
        """dz of one chunk of sequences in one direction, from the step read last to the first; at step 0 also dh_0."""
        first, count = chunk_of(p, chunk)
        h_size = p.hidden_size
        state = size * h_size
        width = state * p.directions
        cell = layer * p.directions + d
        states = state * cell * p.sequences  # of this cell, in h_0 and h_n
        zeros, w_hh = p.memory + p.zeros, packed_hh_at(p, layer, d)
        output = output_at(p, layer) + state * d
        x, x_bytes = input_at(p, layer), size * inputs_of(p, layer)
        d_output = p.d_output if layer == p.layers - 1 else below_at(p, layer)
        after_table, dh_table, dz_table = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        after, dh, dz = addresses(after_table), addresses(dh_table), addresses(dz_table)  # after: dz of the next step
        q = addresses(table_at(p, thread, 3))  # the rows of output and d_output
        most = p.span * p.sequences
        x_rows, h_rows = addresses(p.memory + p.x_rows + 8 * d * most), addresses(p.memory + p.h_rows + 8 * d * most)
        of_d = state * d * p.sequences
        at_start, carry = p.memory + p.at_start + of_d, p.memory + p.carry + of_d
        active = 0
        for k in range(count):
            i = first + k
            if s1 == p.steps:
                clear(at_start + state * i, size * h_size)
            if length_of(p, i) > s1:
                after[k] = carry + state * i
                active += 1
        padded, resets, relu = p.ragged != 2, p.reset != 0, p.relu
        earlier = p.sequences * (1 if d else -1)  # from a row to that of the step read before
        for s in range(s1 - 1, s0 - 1, -1):
            running = active
            while active < count and length_of(p, first + active) > s:
                active += 1
            r0 = number_of(p, chunk, s, s0, s1)
            dz_0 = p.memory + p.dz + state * (d * most + r0)
            for k in range(active):
                if padded and k < running and s < s1 - 1:
                    q[k] += earlier
                else:
                    i = first + k
                    q[k] = row_of(p, length_of(p, i) - 1 - s if d else s, i)
                dz[k] = dz_0 + state * k
                dh[k] = d_output + width * q[k] + state * d if d_output else zeros
            for k in range(running, active):  # the last step read: nothing comes after it but h_n
                copy_row(dz[k], dh[k], h_size)
                if p.d_h_n:
                    add_row(dz[k], p.d_h_n + states + state * place_of(p, first + k), h_size)
            call(p.product, running, after_table, h_size, w_hh, h_size, dh_table, dz_table)
            for k in range(active):
                differentiate(numbers(dz[k]), numbers(output + width * q[k]), h_size, relu)
                after[k] = dz[k]
                r, i = r0 + k, first + k
                x_rows[r] = x + x_bytes * q[k]
                if s == 0 or (resets and starts_again(p, d, length_of(p, i) - 1 - s if d else s, i)):
                    h_rows[r] = h0_at(p, cell, i, size)
                    add_row(at_start + state * i, dz[k], h_size)
                    after[k] = zeros
                elif padded:
                    h_rows[r] = output + width * (q[k] + earlier)
                else:
                    h_rows[r] = output + width * row_of(p, length_of(p, i) - s if d else s - 1, i)
        if s0 > 0:
            for k in range(active):
                copy_row(carry + state * (first + k), after[k], h_size)
        elif p.d_h0:
            for k in range(count):
                i = first + k
                after[k] = at_start + state * i
                dz[k] = p.d_h0 + states + state * place_of(p, i)
                unread = length_of(p, i) == 0 and p.d_h_n != 0  # then h_n is h_0
                dh[k] = p.d_h_n + states + state * place_of(p, i) if unread else zeros
            call(p.product, count, after_table, h_size, w_hh, h_size, dh_table, dz_table)

    @part
    def recur_together(p, plan, phase, layer, task, thread, s0, s1):
        """dz of one step of all sequences in one direction, for one group of columns, as soon as that of the step
        after is done; last of all dh_0, as the step before step 0."""
        a_step = p.directions * p.groups
        s, d = s1 - 1 - task // a_step, task % a_step // p.groups
        j0, j1 = columns_of(p, task % p.groups, panel)
        h_size = p.hidden_size
        state = size * h_size
        width = state * p.directions
        states = state * (layer * p.directions + d) * p.sequences  # of this cell, in h_0 and h_n
        zeros, w_hh = p.memory + p.zeros, packed_hh_at(p, layer, d) + size * j0 * h_size
        output = output_at(p, layer) + state * d
        x, x_bytes = input_at(p, layer), size * inputs_of(p, layer)
        d_output = p.d_output if layer == p.layers - 1 else below_at(p, layer)
        after_table, dh_table, dz_table = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        after, dh, dz = addresses(after_table), addresses(dh_table), addresses(dz_table)
        most = p.span * p.sequences
        x_rows, h_rows = addresses(p.memory + p.x_rows + 8 * d * most), addresses(p.memory + p.h_rows + 8 * d * most)
        of_d = state * d * p.sequences
        at_start, carry = p.memory + p.at_start + of_d, p.memory + p.carry + of_d
        t = p.steps - 1 - s if d else s
        for i in range(p.sequences):
            if s < 0:
                after[i], dh[i] = at_start + state * i, zeros
                dz[i] = p.d_h0 + states + state * i + size * j0
                continue
            r = (s - s0) * p.sequences + i
            dz[i] = p.memory + p.dz + state * (d * most + r) + size * j0
            dh[i] = d_output + width * row_of(p, t, i) + state * d + size * j0 if d_output else zeros
            if s == s1 - 1:
                after[i] = carry + state * i
            elif starts_again(p, d, t - 1 if d else t + 1, i):
                after[i] = zeros
            else:
                after[i] = dz[i] - size * j0 + state * p.sequences
        wait(plan, phase, (s1 - 1 - s) * a_step + (tasks_of_clearing(p, layer) if s1 == p.steps else 0))
        if s < p.steps - 1:
            call(p.product, p.sequences, after_table, h_size, w_hh, j1 - j0, dh_table, dz_table)
        if s < 0:
            return
        for i in range(p.sequences):
            if s == p.steps - 1:
                copy_row(dz[i], dh[i], j1 - j0)
                if p.d_h_n:
                    add_row(dz[i], p.d_h_n + states + state * i + size * j0, j1 - j0)
                clear(at_start + state * i + size * j0, size * (j1 - j0))
            q = row_of(p, t, i)
            differentiate(numbers(dz[i]), numbers(output + width * q + size * j0), j1 - j0, p.relu)
            again = s == 0 or starts_again(p, d, t, i)
            if again:
                add_row(at_start + state * i + size * j0, dz[i], j1 - j0)
            if s == s0 and s0 > 0:
                copy_row(carry + state * i + size * j0, zeros if again else dz[i], j1 - j0)
            if j0 == 0:
                r = (s - s0) * p.sequences + i
                x_rows[r] = x + x_bytes * q
                before_it = output + width * row_of(p, t + 1 if d else t - 1, i)
                h_rows[r] = h0_at(p, layer * p.directions + d, i, size) if again else before_it

    @part
    def pass_down(p, layer, d, task, thread, rows):
        """dx = dz W_ih for one block of a span's steps; a second direction is added to the first."""
        first = task * p.block
        count = min(p.block, rows - first)
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        most = p.span * p.sequences
        target = below_at(p, layer - 1) if layer else p.d_x
        dz_table, start_table, d_x_table = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        dz, start, d_x = addresses(dz_table), addresses(start_table), addresses(d_x_table)
        x_rows = addresses(p.memory + p.x_rows + 8 * (d * most + first))
        for k in range(count):
            dz[k] = p.memory + p.dz + size * h_size * (d * most + first + k)
            d_x[k] = target + x_rows[k] - input_at(p, layer)
            start[k] = d_x[k] if p.directions == 2 else p.memory + p.zeros
        call(p.product, count, dz_table, h_size, packed_ih_at(p, layer, d), inputs, start_table, d_x_table)

    @part
    def all_rows(p):
        """Rows of input and output, padding among them."""
        return rows_in(p, 0, p.steps) if p.ragged == 2 else p.steps * p.sequences

    @part
    def drop(p, layer, task):
        """The gradient below a dropout mask, for one block of steps."""
        width = p.directions * p.hidden_size
        rows = all_rows(p)
        first = task * p.block
        for q in range(first, min(first + p.block, rows)):
            row = numbers(below_at(p, layer - 1) + size * width * q)
            mask = numbers(p.masks + p.layer_bytes * (layer - 1) + size * width * q)
            for j in range(width):
                row[j] *= mask[j]

    @part
    def sum_weights(p, plan, layer, d, task, thread, rows, begin):
        """Adds one span's part to dW_ih, dW_hh and db, for one block of hidden units; the first span begins at 0."""
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        first = task * p.columns
        count = min(p.columns, h_size - first)
        most = p.span * p.sequences
        dz = p.memory + p.dz + size * (h_size * d * most + first)
        d_w_ih = gradient_at(plan, layer, d, 0) + size * first * inputs
        d_w_hh = gradient_at(plan, layer, d, 1) + size * first * h_size
        if begin:
            clear(d_w_ih, size * (count * inputs))
            clear(d_w_hh, size * (count * h_size))
        call(p.product_t, rows, dz, h_size, count, p.memory + p.x_rows + 8 * d * most, inputs, d_w_ih)
        call(p.product_t, rows, dz, h_size, count, p.memory + p.h_rows + 8 * d * most, h_size, d_w_hh)
        if p.weights_a_cell == 4:
            d_b, d_b_hh = gradient_at(plan, layer, d, 2) + size * first, gradient_at(plan, layer, d, 3) + size * first
            of_block = p.memory + p.sums + size * h_size * thread
            if begin:
                clear(d_b, size * count)
            for r0 in range(0, rows, INNER):  # in blocks, as product_t does
                clear(of_block, size * count)
                for r in range(r0, min(r0 + INNER, rows)):
                    add_row(of_block, dz + size * h_size * r, count)
                add_row(d_b, of_block, count)
            copy_row(d_b_hh, d_b, count)  # the same numbers

    @part
    def clear_below(p, layer, task):
        """Writes 0 where pass_down will not write, or will add."""
        target = below_at(p, layer - 1) if layer else p.d_x
        row_bytes = size * inputs_of(p, layer)
        if p.directions == 2:
            first, after = task * all_rows(p) // p.threads, (task + 1) * all_rows(p) // p.threads
            clear(target + row_bytes * first, row_bytes * (after - first))
        else:
            clear_padding(p, target, row_bytes, task)

    @part
    def phases_a_layer(p):
        """For each span: the recurrence, then what follows from its dz, with a phase more for a second direction; at
        last the dropout masks."""
        return 1 + (1 + p.directions) * max(1, (p.steps + p.span - 1) // p.span)

    @part
    def phases(p):
        return 1 + p.layers * phases_a_layer(p)

    @part
    def panels_of(p):
        return (max(p.input_size, p.directions * p.hidden_size) + panel - 1) // panel

    @part
    def blocks_of(p, rows):
        return (rows + p.block - 1) // p.block

    @part
    def place_in(p, phase):
        """(layer, span, kind) of a phase after the first: kind 0 recurs, 1 + d follows; (layer, -1, 0) drops."""
        layer, place = p.layers - 1 - (phase - 1) // phases_a_layer(p), (phase - 1) % phases_a_layer(p)
        if place == phases_a_layer(p) - 1:
            return layer, -1, 0
        return layer, place // (1 + p.directions), place % (1 + p.directions)

    @part
    def tasks_of(p, plan, phase):
        if phase == 0:
            return 2 + p.layers * p.directions * panels_of(p)
        layer, span, kind = place_in(p, phase)
        if span < 0:
            return blocks_of(p, all_rows(p)) if layer > 0 and p.masks else 0
        s0, s1 = last_steps(p, span)
        if kind == 0:
            chunks = p.chunks
            if p.groups:
                chunks = p.groups * (s1 - s0 + (1 if s0 == 0 and p.d_h0 else 0))
            return p.directions * chunks + (tasks_of_clearing(p, layer) if span == 0 else 0)
        tasks = blocks_of(p, rows_in(p, s0, s1)) if layer > 0 or p.d_x else 0
        if kind == 1 and gradient_at(plan, 0, 0, 0):
            tasks += (p.hidden_size + p.columns - 1) // p.columns * p.directions
        return tasks

    @part
    def work_on(p, plan, phase, task, thread):
        if phase == 0:
            if task == 0:
                sort(p)
            elif task == 1:
                clear(p.memory + p.zeros, size * max(p.input_size, p.directions * p.hidden_size))
            else:
                cell, panel_number = (task - 2) // panels_of(p), (task - 2) % panels_of(p)
                prepare(p, plan, cell // p.directions, cell % p.directions, panel_number * panel)
            return
        layer, span, kind = place_in(p, phase)
        if span < 0:
            drop(p, layer, task)
            return
        s0, s1 = last_steps(p, span)
        rows = rows_in(p, s0, s1)
        if kind == 0:
            clearing = tasks_of_clearing(p, layer) if span == 0 else 0
            if task < clearing:
                clear_below(p, layer, task)
            elif p.groups:
                recur_together(p, plan, phase, layer, task - clearing, thread, s0, s1)
            else:
                recur(p, layer, (task - clearing) % p.directions, (task - clearing) // p.directions, thread, s0, s1)
            return
        blocks = blocks_of(p, rows) if layer > 0 or p.d_x else 0
        if task < blocks:
            pass_down(p, layer, kind - 1, task, thread, rows)
        else:
            part_number, d = (task - blocks) // p.directions, (task - blocks) % p.directions
            sum_weights(p, plan, layer, d, part_number, thread, rows, span == 0)

    return phases, tasks_of, work_on
