"""The forward pass: h_t = f(x_t W_ih^T + b_ih + b_hh + h_{t-1} W_hh^T), for every layer and direction, in one call."""

from typing import Any

import numpy as np
from numba import types

from elman.kernels.numba_cpu.activation import make_activation
from elman.kernels.numba_cpu.sequences import (
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
from elman.kernels.numba_cpu.sizes import panel_columns
from elman.kernels.numba_cpu.tile import call, part, pointer_to
from elman.kernels.numba_cpu.work import (
    addresses,
    bias_at,
    columns_of,
    input_at,
    inputs_of,
    output_at,
    packed_hh_at,
    packed_ih_at,
    table_at,
    tail_at,
    wait,
    weight_at,
)


def make_forward(dtype: type) -> Any:
    """The forward pass for float32 or float64: what make_phases asks for."""
    size, panel = np.dtype(dtype).itemsize, panel_columns(dtype)
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)
    activate = make_activation(dtype)

    @part
    def pack(p, plan, layer, d, j0):
        """Packs the panel from column j0 on of W_ih^T and W_hh^T, and adds the biases."""
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        call(p.pack, weight_at(plan, layer, d, 0), 1, inputs, inputs, h_size, packed_ih_at(p, layer, d), j0)
        call(p.pack, weight_at(plan, layer, d, 1), 1, h_size, h_size, h_size, packed_hh_at(p, layer, d), j0)
        bias = numbers(bias_at(p, layer, d))
        for j in range(j0, min(j0 + panel, h_size)):
            bias[j] = 0
        if p.weights_a_cell == 4:
            b_ih, b_hh = numbers(weight_at(plan, layer, d, 2)), numbers(weight_at(plan, layer, d, 3))
            for j in range(j0, min(j0 + panel, h_size)):
                bias[j] = b_ih[j] + b_hh[j]

    @part
    def drop(p, layer, q):
        """Row q of the layer's input: the output below times its dropout mask."""
        width = p.directions * p.hidden_size
        offset = p.layer_bytes * (layer - 1) + size * width * q
        x, below, mask = numbers(p.dropped + offset), numbers(p.inner + offset), numbers(p.masks + offset)
        for j in range(width):
            x[j] = below[j] * mask[j]

    @part
    def columns_to_pack(p):
        return p.hidden_size

    @part
    def blocks_of(p):
        return (rows_in(p, 0, p.steps) + p.block - 1) // p.block

    @part
    def padding_in(p, phase):
        """Tasks that clear the padding of the output, while the last layer reads its input."""
        return tasks_of_padding(p) if phase == 2 * p.layers - 1 else 0

    @part
    def read_input(p, layer, task, thread):
        """x_t W_ih^T + b for one block of steps, into the place of h_t."""
        first = task * p.block
        count = min(p.block, rows_in(p, 0, p.steps) - first)
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        x_table, z_table, bias_table = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        x, z, bias = addresses(x_table), addresses(z_table), addresses(bias_table)
        for d in range(p.directions):
            rows_from(p, first, count, z)
            for k in range(count):
                q = z[k]
                if layer > 0 and d == 0 and p.masks:
                    drop(p, layer, q)
                x[k] = input_at(p, layer) + size * inputs * (turned(p, q) if layer == 0 and p.x_turned else q)
                z[k] = output_at(p, layer) + size * h_size * (q * p.directions + d)
                bias[k] = bias_at(p, layer, d)
            call(p.product, count, x_table, inputs, packed_ih_at(p, layer, d), h_size, bias_table, z_table)

    @part
    def reads_in_recurrence(p):
        """Whether whoever recurs reads a single step's input too, rather than that all wait for it."""
        return p.steps == 1 and p.ragged == 0 and not p.masks

    @part
    def read_columns(p, layer, d, first, count, j0, j1, thread):
        """x W_ih^T + b of a single step, for some sequences and columns, into the rows of table 1."""
        x_table, h_table, bias_table = table_at(p, thread, 2), table_at(p, thread, 1), table_at(p, thread, 3)
        x, bias = addresses(x_table), addresses(bias_table)
        inputs = inputs_of(p, layer)
        for k in range(count):
            x[k] = input_at(p, layer) + size * inputs * (first + k)
            bias[k] = bias_at(p, layer, d) + size * j0
        w_ih = packed_ih_at(p, layer, d) + size * j0 * inputs
        call(p.product, count, x_table, inputs, w_ih, j1 - j0, bias_table, h_table)

    @part
    def recur(p, layer, d, chunk, thread):
        """All steps of one chunk of sequences in one direction: h_t = f(z_t + h_{t-1} W_hh^T), in place."""
        first, count = chunk_of(p, chunk)
        before_table, h_table = table_at(p, thread, 0), table_at(p, thread, 1)
        h_before, h = addresses(before_table), addresses(h_table)
        h_size = p.hidden_size
        state = size * h_size
        cell = layer * p.directions + d
        output, w_hh = output_at(p, layer), packed_hh_at(p, layer, d)
        tail = tail_at(p, thread)
        packed, resets, relu = p.ragged == 2, p.reset != 0, p.relu
        later = state * p.directions * p.sequences * (-1 if d else 1)  # from a row to that of the next step read
        for k in range(count):
            i = first + k
            h_before[k] = h0_at(p, cell, i, size)
            h[k] = output + state * (row_of(p, length_of(p, i) - 1 if d else 0, i) * p.directions + d)
        active = count
        for s in range(p.steps):
            while active > 0 and length_of(p, first + active - 1) <= s:
                active -= 1
            if packed:
                for k in range(active):
                    i = first + k
                    t = length_of(p, i) - 1 - s if d else s
                    h[k] = output + state * (row_of(p, t, i) * p.directions + d)
            elif s > 0:
                for k in range(active):
                    h[k] += later
            if resets and s > 0:
                for k in range(active):
                    i = first + k
                    if starts_again(p, d, length_of(p, i) - 1 - s if d else s, i):
                        h_before[k] = h0_at(p, cell, i, size)
            if reads_in_recurrence(p):
                read_columns(p, layer, d, first, count, 0, h_size, thread)
            call(p.product, active, before_table, h_size, w_hh, h_size, h_table, h_table)
            for k in range(active):
                activate(h[k], h_size, relu, tail)
                h_before[k] = h[k]
        for k in range(count):
            last = numbers(h_before[k])
            h_n = numbers(p.h_n + state * (cell * p.sequences + place_of(p, first + k)))
            for j in range(h_size):
                h_n[j] = last[j]

    @part
    def recur_together(p, plan, phase, layer, task, thread):
        """One step of all sequences in one direction, for one group of columns, as soon as the step before is done."""
        a_step = p.directions * p.groups
        s, d = task // a_step, task % a_step // p.groups
        j0, j1 = columns_of(p, task % p.groups, panel)
        before_table, h_table = table_at(p, thread, 0), table_at(p, thread, 1)
        h_before, h = addresses(before_table), addresses(h_table)
        h_size = p.hidden_size
        state = size * h_size
        cell = layer * p.directions + d
        output = output_at(p, layer) + state * d
        t = p.steps - 1 - s if d else s
        for i in range(p.sequences):
            h[i] = output + state * p.directions * row_of(p, t, i) + size * j0
            if s == 0 or starts_again(p, d, t, i):
                h_before[i] = h0_at(p, cell, i, size)
            else:
                h_before[i] = output + state * p.directions * row_of(p, t + 1 if d else t - 1, i)
        w_hh = packed_hh_at(p, layer, d) + size * j0 * h_size
        if reads_in_recurrence(p):
            read_columns(p, layer, d, 0, p.sequences, j0, j1, thread)
        wait(plan, phase, s * a_step)
        call(p.product, p.sequences, before_table, h_size, w_hh, j1 - j0, h_table, h_table)
        for i in range(p.sequences):
            activate(h[i], j1 - j0, p.relu, tail_at(p, thread))
            if s == p.steps - 1:
                last, h_n = numbers(h[i]), numbers(p.h_n + state * (cell * p.sequences + i) + size * j0)
                for j in range(j1 - j0):
                    h_n[j] = last[j]

    @part
    def phases(p):
        """After the first, each layer reads its input and recurs."""
        return 1 + 2 * p.layers

    @part
    def tasks_of(p, plan, phase):
        if phase % 2 == 0:
            return (p.steps * p.groups if p.groups else p.chunks) * p.directions
        if reads_in_recurrence(p):
            return 0
        return padding_in(p, phase) + blocks_of(p)

    @part
    def work_on(p, plan, phase, task, thread):
        layer = (phase - 1) // 2
        if phase % 2 == 0 and p.groups:
            recur_together(p, plan, phase, layer, task, thread)
        elif phase % 2 == 0:
            recur(p, layer, task % p.directions, task // p.directions, thread)
        elif task < padding_in(p, phase):
            clear_padding(p, p.output, size * p.directions * p.hidden_size, task)
        else:
            read_input(p, layer, task - padding_in(p, phase), thread)

    return columns_to_pack, pack, phases, tasks_of, work_on
