"""What runs in the order of time on the way back: the gradient at the pre-activations, step by step."""

from typing import Any

import numpy as np
from numba import types

from elman.kernels.numba_cpu.activation import make_derivative
from elman.kernels.numba_cpu.sequences import (
    chunk_of,
    distance,
    h0_at,
    length_of,
    number_of,
    place_of,
    row_of,
    starts_again,
    tasks_of_padding,
    turned_row,
)
from elman.kernels.numba_cpu.sizes import panel_columns
from elman.kernels.numba_cpu.tile import call, part, pointer_to
from elman.kernels.numba_cpu.work import (
    addresses,
    clear,
    columns_of,
    input_at,
    inputs_of,
    output_at,
    packed_hh_at,
    table_at,
    wait,
)


@part
def below_at(p, layer):
    """Where the gradient at the output of a layer that is not the last lies."""
    return p.memory + (p.below if layer % 2 else p.below_too)


@part
def first_row(p, d, thread, s0):
    """Where the rows of the span that begins at s0 begin in dz."""
    if p.apart:
        return p.span_rows * thread
    half = max(0, p.steps - s0 - 1) // p.span % 2 if p.overlap else 0
    return p.span_rows * (d + p.directions * half)


@part
def tasks_of_clearing(p, layer):
    """Into how many tasks `clear_below` is split."""
    if layer == 0 and p.d_x == 0:
        return 0
    if p.directions == 2:
        return p.threads
    return tasks_of_padding(p) if layer == 0 else 0


def make_rows(dtype: type) -> Any:
    """add_row(target, source, n) and copy_row, for rows of n numbers."""
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)

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

    return add_row, copy_row


def make_recurrence(dtype: type, add_row: Any, copy_row: Any) -> Any:
    """recur, for sequences that are split between the threads, and recur_together, for columns."""
    size, panel = np.dtype(dtype).itemsize, panel_columns(dtype)
    numbers = pointer_to(types.float32 if dtype is np.float32 else types.float64)
    differentiate = make_derivative(dtype)

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
        q = addresses(table_at(p, thread, 3))  # the rows of output
        x_turned, d_turned = layer == 0 and p.x_turned != 0, layer == p.layers - 1 and p.d_output_turned != 0
        row, a_sequence = first_row(p, d, thread, s0), distance(p, s0, s1)
        x_rows, h_rows = addresses(p.memory + p.x_rows + 8 * row), addresses(p.memory + p.h_rows + 8 * row)
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
            dz_0 = p.memory + p.dz + state * (row + r0)
            for k in range(active):
                if padded and k < running and s < s1 - 1:
                    q[k] += earlier
                else:
                    i = first + k
                    q[k] = row_of(p, length_of(p, i) - 1 - s if d else s, i)
                dz[k] = dz_0 + state * (a_sequence * k)
                row_of_d = turned_row(p, d, s, first + k) if d_turned else q[k]
                dh[k] = d_output + width * row_of_d + state * d if d_output else zeros
            for k in range(running, active):  # the last step read: nothing comes after it but h_n
                copy_row(dz[k], dh[k], h_size)
                if p.d_h_n:
                    add_row(dz[k], p.d_h_n + states + state * place_of(p, first + k), h_size)
            call(p.product, running, after_table, h_size, w_hh, h_size, dh_table, dz_table)
            for k in range(active):
                differentiate(numbers(dz[k]), numbers(output + width * q[k]), h_size, relu)
                after[k] = dz[k]
                r, i = r0 + a_sequence * k, first + k
                x_rows[r] = x + x_bytes * (turned_row(p, d, s, i) if x_turned else q[k])
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
        row = first_row(p, d, thread, s0)
        x_rows, h_rows = addresses(p.memory + p.x_rows + 8 * row), addresses(p.memory + p.h_rows + 8 * row)
        of_d = state * d * p.sequences
        at_start, carry = p.memory + p.at_start + of_d, p.memory + p.carry + of_d
        t = p.steps - 1 - s if d else s
        x_turned, d_turned = layer == 0 and p.x_turned != 0, layer == p.layers - 1 and p.d_output_turned != 0
        for i in range(p.sequences):
            if s < 0:
                after[i], dh[i] = at_start + state * i, zeros
                dz[i] = p.d_h0 + states + state * i + size * j0
                continue
            r = (s - s0) * p.sequences + i
            dz[i] = p.memory + p.dz + state * (row + r) + size * j0
            row_of_d = turned_row(p, d, s, i) if d_turned else row_of(p, t, i)
            dh[i] = d_output + width * row_of_d + state * d + size * j0 if d_output else zeros
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
                x_rows[r] = x + x_bytes * (turned_row(p, d, s, i) if x_turned else q)
                before_it = output + width * row_of(p, t + 1 if d else t - 1, i)
                h_rows[r] = h0_at(p, layer * p.directions + d, i, size) if again else before_it

    return recur, recur_together
