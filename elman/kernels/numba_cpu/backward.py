"""Backpropagation through time, from the outputs that the forward pass left, for every layer and direction in one call.

In the order of time only the gradient at the pre-activations is computed,
dz_t = (dh_t + dz_{t+1} W_hh) * f'(z_t), with f' taken from h_t. Everything else is a product over all steps at once:
dx = dz W_ih, dW_ih = dz^T x, dW_hh = dz^T h_{t-1}, db = sum of dz.
"""

from typing import Any

import numpy as np
from numba import types

from elman.kernels.numba_cpu.backward_in_time import (
    below_at,
    first_row,
    make_recurrence,
    make_rows,
    tasks_of_clearing,
)
from elman.kernels.numba_cpu.sequences import chunk_of, clear_padding, groups_of, length_of, place_of, rows_in
from elman.kernels.numba_cpu.sizes import INNER
from elman.kernels.numba_cpu.tile import call, part, pointer_to
from elman.kernels.numba_cpu.work import (
    addresses,
    clear,
    gradient_at,
    input_at,
    inputs_of,
    packed_hh_at,
    packed_ih_at,
    table_at,
    weight_at,
)


def make_backward(dtype: type) -> Any:
    """The backward pass for float32 or float64: what make_phases asks for."""
    size = np.dtype(dtype).itemsize
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)
    add_row, copy_row = make_rows(dtype)
    recur, recur_together = make_recurrence(dtype, add_row, copy_row)

    @part
    def pack(p, plan, layer, d, j0):
        """Packs the panel from column j0 on of W_hh and of W_ih."""
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        if j0 < h_size:
            call(p.pack, weight_at(plan, layer, d, 1), h_size, 1, h_size, h_size, packed_hh_at(p, layer, d), j0)
        if j0 < inputs and (layer > 0 or p.d_x):
            call(p.pack, weight_at(plan, layer, d, 0), inputs, 1, h_size, inputs, packed_ih_at(p, layer, d), j0)

    @part
    def last_steps(p, span):
        """(s0, s1): the steps of a span; the spans are counted from the end."""
        s1 = p.steps - span * p.span
        return max(0, s1 - p.span), s1

    @part
    def pass_down(p, layer, d, s0, first, count, thread):
        """dx = dz W_ih for some of a span's steps; a second direction is added to the first."""
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        first += first_row(p, d, thread, s0)
        target = below_at(p, layer - 1) if layer else p.d_x
        dz_table, start_table, d_x_table = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        dz, start, d_x = addresses(dz_table), addresses(start_table), addresses(d_x_table)
        x_rows = addresses(p.memory + p.x_rows + 8 * first)
        for k in range(count):
            dz[k] = p.memory + p.dz + size * h_size * (first + k)
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
    def begin_weights(p, plan, layer, d, unit, count):
        """Writes 0 into `count` rows of dW_ih, dW_hh and db, of all groups' hidden units."""
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        clear(gradient_at(plan, layer, d, 0) + size * unit * inputs, size * (count * inputs))
        clear(gradient_at(plan, layer, d, 1) + size * unit * h_size, size * (count * h_size))
        if p.weights_a_cell == 4:
            clear(gradient_at(plan, layer, d, 2) + size * unit, size * count)
            clear(gradient_at(plan, layer, d, 3) + size * unit, size * count)

    @part
    def sum_weights(p, plan, layer, d, group, first, count, row, rows, thread):
        """Adds so many rows of dz, from a `row` on, to a group's dW_ih, dW_hh and db, for `count` hidden units."""
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        unit = group * h_size + first
        dz, row_address = p.memory + p.dz + size * (h_size * row + first), p.memory + 8 * row
        d_w_ih = gradient_at(plan, layer, d, 0) + size * unit * inputs
        d_w_hh = gradient_at(plan, layer, d, 1) + size * unit * h_size
        call(p.product_t, rows, dz, h_size, count, row_address + p.x_rows, inputs, d_w_ih)
        call(p.product_t, rows, dz, h_size, count, row_address + p.h_rows, h_size, d_w_hh)
        if p.weights_a_cell == 4:
            d_b, d_b_hh = gradient_at(plan, layer, d, 2) + size * unit, gradient_at(plan, layer, d, 3) + size * unit
            of_block = p.memory + p.sums + size * h_size * thread
            for r0 in range(0, rows, INNER):  # in blocks, as product_t does
                clear(of_block, size * count)
                for r in range(r0, min(r0 + INNER, rows)):
                    add_row(of_block, dz + size * h_size * r, count)
                add_row(d_b, of_block, count)
            copy_row(d_b_hh, d_b, count)  # the same numbers

    @part
    def follow_apart(p, plan, layer, d, chunk, thread, s0, s1):
        """All that follows from a span's dz of one chunk, whose groups have weight gradients of their own."""
        first, count = chunk_of(p, chunk)
        a_group, h_size = p.sequences // p.apart, p.hidden_size
        if s1 == p.steps:
            first_group, groups = groups_of(p, chunk)
            begin_weights(p, plan, layer, d, first_group * h_size, groups * h_size)
        for k in range(count):
            i = first + k
            row, rows = k * (s1 - s0), max(0, min(length_of(p, i), s1) - s0)
            for r in range(0, rows if layer > 0 or p.d_x else 0, p.block):
                pass_down(p, layer, d, s0, row + r, min(p.block, rows - r), thread)
            row += first_row(p, d, thread, s0)
            sum_weights(p, plan, layer, d, place_of(p, i) // a_group, 0, h_size, row, rows, thread)

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
    def spans(p):
        return max(1, (p.steps + p.span - 1) // p.span)

    @part
    def phases_a_layer(p):
        """For each span: the recurrence, then what follows from its dz, with a phase for each direction. At last the
        dropout masks.

        Where spans overlap, it is the span before that is followed, and for the first direction beside the recurrence:
        threads whose sequences end early go on with it. So there is a place for one span more.
        """
        return 1 + (1 + p.directions) * (spans(p) + 1)

    @part
    def phases(p):
        return 1 + p.layers * phases_a_layer(p)

    @part
    def columns_to_pack(p):
        return max(p.input_size, p.directions * p.hidden_size)

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
    def followed(p, span):
        """The span that is followed where `span` recurs."""
        return span - 1 if p.overlap else span

    @part
    def tasks_of_recurrence(p, layer, span):
        if span == spans(p):
            return 0
        s0, s1 = last_steps(p, span)
        chunks = 0 if p.apart else p.chunks
        if p.groups:
            chunks = p.groups * (s1 - s0 + (1 if s0 == 0 and p.d_h0 else 0))
        return p.directions * chunks + (tasks_of_clearing(p, layer) if span == 0 else 0)

    @part
    def tasks_that_follow(p, plan, layer, span, d):
        if span < 0 or span == spans(p):
            return 0
        if p.apart:
            return p.chunks
        s0, s1 = last_steps(p, span)
        tasks = blocks_of(p, rows_in(p, s0, s1)) if layer > 0 or p.d_x else 0
        if d == 0 and gradient_at(plan, 0, 0, 0):
            tasks += (p.hidden_size + p.columns - 1) // p.columns * p.directions
        return tasks

    @part
    def tasks_of(p, plan, phase):
        layer, span, kind = place_in(p, phase)
        if span < 0:
            return blocks_of(p, all_rows(p)) if layer > 0 and p.masks else 0
        if kind == 0:
            beside = tasks_that_follow(p, plan, layer, followed(p, span), 0) if p.overlap else 0
            return tasks_of_recurrence(p, layer, span) + beside
        return 0 if kind == 1 and p.overlap else tasks_that_follow(p, plan, layer, followed(p, span), kind - 1)

    @part
    def work_on(p, plan, phase, task, thread):
        layer, span, kind = place_in(p, phase)
        recurrence = tasks_of_recurrence(p, layer, span) if span >= 0 and kind == 0 else 0
        if span < 0:
            drop(p, layer, task)
        elif task < recurrence:
            recur_in(p, plan, phase, layer, span, task, thread)
        else:
            follow(p, plan, layer, followed(p, span), max(0, kind - 1), task - recurrence, thread)

    @part
    def recur_in(p, plan, phase, layer, span, task, thread):
        """A task of a span's recurrence, or of clearing before the first."""
        s0, s1 = last_steps(p, span)
        clearing = tasks_of_clearing(p, layer) if span == 0 else 0
        if task < clearing:
            clear_below(p, layer, task)
        elif p.groups:
            recur_together(p, plan, phase, layer, task - clearing, thread, s0, s1)
        else:
            d, chunk = (task - clearing) % p.directions, (task - clearing) // p.directions
            recur(p, layer, d, chunk, thread, s0, s1)

    @part
    def follow(p, plan, layer, span, d, task, thread):
        """A task of what follows from a span's dz; of sequences that are apart the recurrence too."""
        s0, s1 = last_steps(p, span)
        if p.apart:
            recur(p, layer, d, task, thread, s0, s1)
            follow_apart(p, plan, layer, d, task, thread, s0, s1)
            return
        rows = rows_in(p, s0, s1)
        blocks = blocks_of(p, rows) if layer > 0 or p.d_x else 0
        if task < blocks:
            pass_down(p, layer, d, s0, task * p.block, min(p.block, rows - task * p.block), thread)
        else:
            first, of = (task - blocks) // p.directions * p.columns, (task - blocks) % p.directions
            count = min(p.columns, p.hidden_size - first)
            if span == 0:
                begin_weights(p, plan, layer, of, first, count)
            sum_weights(p, plan, layer, of, 0, first, count, first_row(p, of, thread, s0), rows, thread)

    return columns_to_pack, pack, phases, tasks_of, work_on
