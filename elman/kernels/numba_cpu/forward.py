"""The forward pass: h_t = f(x_t W_ih^T + b_ih + b_hh + h_{t-1} W_hh^T), for every layer and direction, in one call."""

from typing import Any

import numpy as np
from numba import types

from elman.kernels.numba_cpu.activation import make_activation
from elman.kernels.numba_cpu.sizes import panel_columns
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


def make_forward(dtype: type) -> Any:
    """The forward pass for float32 or float64, as compiled code that reads a plan."""
    size, panel = np.dtype(dtype).itemsize, panel_columns(dtype)
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)
    activate, zero = make_activation(dtype), dtype(0)

    @part
    def prepare(p, cell, j0):
        """Packs the panel from column j0 on of W_ih^T and W_hh^T, and adds its biases."""
        call(p.pack, cell.w_ih, 1, cell.inputs, cell.inputs, p.hidden_size, cell.packed_ih, j0)
        call(p.pack, cell.w_hh, 1, p.hidden_size, p.hidden_size, p.hidden_size, cell.packed_hh, j0)
        bias, b_ih, b_hh = numbers(cell.bias), numbers(cell.b_ih), numbers(cell.b_hh)
        for j in range(j0, min(j0 + panel, p.hidden_size)):
            bias[j] = b_ih[j] + b_hh[j] if cell.b_ih else zero

    @part
    def drop(cell, q):
        """Row q of the layer's input: the output below times its dropout mask."""
        offset = size * q * cell.inputs
        x, below, mask = numbers(cell.x + offset), numbers(cell.below + offset), numbers(cell.mask + offset)
        for j in range(cell.inputs):
            x[j] = below[j] * mask[j]

    @part
    def read_input(p, plan, layer, task, thread):
        """x_t W_ih^T + b for one block of steps, into the place of h_t."""
        first = task * p.block
        count = min(p.block, p.rows - first)
        x_at, z_at, bias_at = table_at(p, thread, 0), table_at(p, thread, 1), table_at(p, thread, 2)
        x, z, bias = addresses(x_at), addresses(z_at), addresses(bias_at)
        for d in range(p.directions):
            cell = read_cell(plan, layer, d)
            for k in range(count):
                q = row_of(p, first + k)
                if d == 0 and cell.mask:
                    drop(cell, q)
                x[k] = cell.x + size * q * cell.inputs
                z[k] = cell.output + size * (q * p.directions + d) * p.hidden_size
                bias[k] = cell.bias
            call(p.product, count, x_at, cell.inputs, cell.packed_ih, p.hidden_size, bias_at, z_at)

    @part
    def recur(p, plan, layer, d, chunk, thread):
        """All steps of one chunk of sequences in one direction: h_t = f(z_t + h_{t-1} W_hh^T), in place."""
        cell = read_cell(plan, layer, d)
        first, step, count = chunk_of(p, chunk)
        before_at, h_at = table_at(p, thread, 0), table_at(p, thread, 1)
        h_before, h = addresses(before_at), addresses(h_at)
        h_size = p.hidden_size
        state = size * h_size
        base = (layer * p.directions + d) * p.sequences
        for k in range(count):
            h_before[k] = p.h0 + state * (base + place_of(p, first + k * step)) if p.h0 else p.zeros
        active = count
        for s in range(p.steps):
            while active > 0 and length_of(p, first + (active - 1) * step) <= s:
                active -= 1
            for k in range(active):
                i = first + k * step
                t = length_of(p, i) - 1 - s if d else s
                h[k] = cell.output + state * (row_of(p, step_of(p, t, i)) * p.directions + d)
                if s > 0 and starts_again(p, d, t, i):
                    h_before[k] = p.h0 + state * (base + place_of(p, i)) if p.h0 else p.zeros
            call(p.product, active, before_at, h_size, cell.packed_hh, h_size, h_at, h_at)
            for k in range(active):
                activate(numbers(h[k]), h_size, p.relu)
                h_before[k] = h[k]
        for k in range(count):
            last = numbers(h_before[k])
            h_n = numbers(p.h_n + state * (base + place_of(p, first + k * step)))
            for j in range(h_size):
                h_n[j] = last[j]

    @part
    def forward(plan, thread):
        p = read_header(plan)
        panels = (p.hidden_size + panel - 1) // panel
        tasks = p.layers * p.directions * panels
        task = take(plan, 0)
        while task < tasks:
            cell = task // panels
            prepare(p, read_cell(plan, cell // p.directions, cell % p.directions), task % panels * panel)
            done(plan, 0)
            task = take(plan, 0)
        wait(plan, 0, tasks)
        for layer in range(p.layers):
            phase = 1 + 2 * layer
            tasks = (p.rows + p.block - 1) // p.block
            task = take(plan, phase)
            while task < tasks:
                read_input(p, plan, layer, task, thread)
                done(plan, phase)
                task = take(plan, phase)
            wait(plan, phase, tasks)
            tasks = p.chunks * p.directions
            task = take(plan, phase + 1)
            while task < tasks:
                recur(p, plan, layer, task % p.directions, task // p.directions, thread)
                done(plan, phase + 1)
                task = take(plan, phase + 1)
            wait(plan, phase + 1, tasks)

    return forward
