"""Backpropagation through time for any cell, from what the forward pass left: all layers and directions in one call.

In the order of time only dz, the gradient at the pre-activations, is computed. Everything else is a product over all
steps at once: dx = dz W_ih, dW_ih = dz^T x, dW_hh = dz^T h_{t-1}, db = sum of dz.
"""

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import addresses, call, part
from elman.kernels.numba_cpu.matmul.dots import make_dots
from elman.kernels.numba_cpu.matmul.rows import make_rows
from elman.kernels.numba_cpu.passes.backward_alone import make_recurrence
from elman.kernels.numba_cpu.passes.backward_places import below_at, first_row, make_places, tasks_of_clearing
from elman.kernels.numba_cpu.passes.backward_together import make_step
from elman.kernels.numba_cpu.passes.packing import make_backward_packing
from elman.kernels.numba_cpu.passes.phases import Pass
from elman.kernels.numba_cpu.passes.seal import make_seal
from elman.kernels.numba_cpu.passes.sequences import (
    chunk_of,
    clear_padding,
    groups_of,
    length_of,
    place_of,
    rows_in,
    rows_of_chunk,
)
from elman.kernels.numba_cpu.passes.together import make_together
from elman.kernels.numba_cpu.passes.weight_gradients import make_weight_gradients
from elman.kernels.numba_cpu.plan.addresses import (
    clear,
    gradient_at,
    input_at,
    inputs_of,
    layer_bytes,
    own_at,
    packed_ih_at,
    table_at,
)

_DZ, _ZEROS, _D_X = range(3)  # a thread's tables of addresses


def make_backward(dtype: type, cell: Room) -> Pass:
    """The backward pass for float32 or float64."""
    size = np.dtype(dtype).itemsize
    slots, x_gates = cell.slots, len(cell.of_x)
    rows = make_rows(dtype)
    panels, pack = make_backward_packing(dtype, cell, rows)
    places, seal = make_places(dtype, cell, rows), make_seal(dtype)
    begin_seal, end_seal = seal.begin, seal.end
    recur = make_recurrence(dtype, cell, rows, places, seal)
    together = make_together(make_step(dtype, cell, rows, places, seal))
    begin_weights, sum_weights, sum_masked, join_weights, (firsts, lengths) = make_weight_gradients(dtype, cell, rows)
    runs = len(firsts)
    by_dots, dot_product = make_dots(dtype)

    @part
    def last_steps(p, span):
        """(s0, s1): the steps of a span; the spans are counted from the end."""
        s1 = p.steps - span * p.span
        return max(0, s1 - p.span), s1

    @part
    def pass_down(p, layer, d, first, count, thread):
        """dx = dz W_ih for some rows of dz; both directions' are sums by themselves before they are added, so that
        either may be the first."""
        inputs, h_size = inputs_of(p, layer), p.hidden_size
        from_x = (below_at(p, layer - 1) if layer else p.d_x) - input_at(p, layer, size)  # to its gradient
        at_sums = own_at(p, p.of_direction, size * p.block * p.widest, thread)
        dz_table, zeros_table, d_x_table = (
            table_at(p, thread, _DZ),
            table_at(p, thread, _ZEROS),
            table_at(p, thread, _D_X),
        )
        dz, zeros, d_x = addresses(dz_table), addresses(zeros_table), addresses(d_x_table)
        x_rows = addresses(p.memory + p.x_rows + 8 * first)
        for k in range(count):
            dz[k] = p.memory + p.dz + size * p.z_step * (first + k)
            d_x[k] = at_sums + size * inputs * k if p.directions == 2 else from_x + x_rows[k]
            zeros[k] = p.memory + p.zeros
        k_size, w_ih = x_gates * h_size, packed_ih_at(p, layer, d)
        if by_dots(k_size, inputs):
            dot_product(count, dz_table, k_size, w_ih, inputs, d_x_table)
        else:
            call(p.product, count, dz_table, k_size, w_ih, inputs, zeros_table, d_x_table, p.asks)
        for k in range(count if p.directions == 2 else 0):
            rows.add(from_x + x_rows[k], d_x[k], inputs)

    @part
    def drop(p, layer, task):
        """The gradient below a dropout mask, for one block of steps."""
        width = p.directions * p.output_size
        first = task * p.block
        for q in range(first, min(first + p.block, p.rows)):
            row = below_at(p, layer - 1) + size * width * q
            rows.multiply(row, row, p.masks + layer_bytes(p, size) * (layer - 1) + size * width * q, width)

    @part
    def sum_rows(p, plan, layer, d, piece, row, count, thread):
        """All that follows from so many rows of a thread's dz, of one piece of the sequences."""
        for r in range(0, count if layer > 0 or p.d_x else 0, p.block):
            pass_down(p, layer, d, row + r, min(p.block, count - r), thread)
        if gradient_at(plan, 0, 0, 0):
            for run in range(runs):
                slot, many = firsts[run], lengths[run]
                sum_weights(p, plan, layer, d, piece, slot, many, 0, p.hidden_size, row, count, thread)
            if p.recurrent:
                sum_masked(p, plan, layer, d, piece, 0, p.hidden_size, row, count, thread)

    @part
    def go_apart(p, plan, layer, d, chunk, thread):
        """One chunk's way back through all steps, whose sums at the weights are pieces."""
        first, count = chunk_of(p, chunk)
        first_piece, pieces = groups_of(p, chunk) if p.groups else (chunk, 1)
        for piece in range(first_piece, first_piece + pieces if gradient_at(plan, 0, 0, 0) else 0):
            for slot in range(slots):
                begin_weights(p, plan, layer, d, piece, slot, 0, p.hidden_size)
        for span in range(spans(p)):
            s0, s1 = last_steps(p, span)
            row = first_row(p, d, thread, s0)
            recur(p, layer, d, chunk, thread, s0, s1)
            if p.groups == 0:
                sum_rows(p, plan, layer, d, chunk, row, rows_of_chunk(p, chunk, s0, s1), thread)
                continue
            for k in range(count):
                i = first + k
                of_i = max(0, min(length_of(p, i), s1) - s0)
                group = place_of(p, i) // (p.sequences // p.groups)
                sum_rows(p, plan, layer, d, group, row + k * (s1 - s0), of_i, thread)

    @part
    def clear_below(p, layer, task):
        """Writes 0 where pass_down will not write, or will add."""
        target = below_at(p, layer - 1) if layer else p.d_x
        row_bytes = size * inputs_of(p, layer)
        if p.directions == 2:
            first, after = task * p.rows // p.threads, (task + 1) * p.rows // p.threads
            clear(target + row_bytes * first, row_bytes * (after - first))
        else:
            clear_padding(p, target, row_bytes, task)

    @part
    def recur_together(p, plan, layer, s0, s1, thread):
        """All steps of a span, shared with the threads that come."""
        initial = 1 if p.d_h0 or p.d_c0 else 0  # a step more, before step 0
        before = (p.layers - 1 - layer) * (p.steps + initial) + p.steps - s1
        sealed = p.seal != 0 and layer == p.layers - 1
        if sealed:
            begin_seal(p, thread)
        together(p, plan, layer, s0, s1, before, s1 - s0 + (initial if s0 == 0 else 0), thread)
        if sealed:
            end_seal(p, thread)

    @part
    def spans(p):
        return max(1, (p.steps + p.span - 1) // p.span)

    @part
    def phases_a_layer(p):
        """For each span: the recurrence, then what follows from its dz, with a phase for each direction. At last the
        dropout masks, and the sum of the chunks' pieces. Where sums are pieces, a task goes through all spans.

        Where spans overlap, it is the span before that is followed, and for the first direction beside the recurrence:
        threads whose sequences end early go on with it. So there is a place for one span more.
        """
        return 1 + (1 + p.directions) * (1 if p.pieces else spans(p) + 1)

    @part
    def phases(p):
        return 1 + p.layers * phases_a_layer(p)

    @part
    def blocks_of(p, count):
        return (count + p.block - 1) // p.block

    @part
    def place_in(p, phase):
        """(layer, span, kind) of a phase after the first: kind 0 recurs, 1 + d follows; last (layer, -1, 0)."""
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
        tasks = p.threads if p.shares else 0 if p.pieces else p.directions * p.chunks
        return tasks + (tasks_of_clearing(p, layer) if span == 0 else 0)

    @part
    def slots_a_task(p):
        """Of the tasks that sum weights' gradients: one, or all, which need the same masked states."""
        return slots if p.recurrent else 1

    @part
    def weight_tasks(p):
        """Into how many tasks the gradients at a direction's weights are split."""
        return slots // slots_a_task(p) * ((p.hidden_size + p.units - 1) // p.units)

    @part
    def tasks_that_follow(p, plan, layer, span, d):
        if span < 0 or span == spans(p):
            return 0
        if p.pieces:
            return p.chunks
        s0, s1 = last_steps(p, span)
        tasks = blocks_of(p, rows_in(p, s0, s1)) if layer > 0 or p.d_x else 0
        if d == 0 and gradient_at(plan, 0, 0, 0):
            tasks += weight_tasks(p) * p.directions
        return tasks

    @part
    def tasks_of_dropping(p, layer):
        return blocks_of(p, p.rows) if layer > 0 and p.masks else 0

    @part
    def tasks_of_joining(p, plan):
        return weight_tasks(p) * p.directions if p.pieces and p.groups == 0 and gradient_at(plan, 0, 0, 0) else 0

    @part
    def tasks(p, plan, phase):
        layer, span, kind = place_in(p, phase)
        if span < 0:
            return tasks_of_dropping(p, layer) + tasks_of_joining(p, plan)
        if kind == 0:
            beside = tasks_that_follow(p, plan, layer, followed(p, span), 0) if p.overlap else 0
            return tasks_of_recurrence(p, layer, span) + beside
        return 0 if kind == 1 and p.overlap else tasks_that_follow(p, plan, layer, followed(p, span), kind - 1)

    @part
    def do(p, plan, phase, task, thread):
        layer, span, kind = place_in(p, phase)
        recurrence = tasks_of_recurrence(p, layer, span) if span >= 0 and kind == 0 else 0
        if span < 0 and task < tasks_of_dropping(p, layer):
            drop(p, layer, task)
        elif span < 0:
            join(p, plan, layer, task - tasks_of_dropping(p, layer))
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
        elif p.shares:
            recur_together(p, plan, layer, s0, s1, thread)
        else:
            d, chunk = (task - clearing) % p.directions, (task - clearing) // p.directions
            recur(p, layer, d, chunk, thread, s0, s1)

    @part
    def follow(p, plan, layer, span, d, task, thread):
        """A task of what follows from a span's dz; where sums are pieces, of all spans, and the recurrence too."""
        if p.pieces:
            go_apart(p, plan, layer, d, task, thread)
            return
        s0, s1 = last_steps(p, span)
        count = rows_in(p, s0, s1)
        blocks = blocks_of(p, count) if layer > 0 or p.d_x else 0
        if task < blocks:
            first = first_row(p, d, thread, s0) + task * p.block
            pass_down(p, layer, d, first, min(p.block, count - task * p.block), thread)
        else:
            of, first_slot, first, units = place_of_weights(p, task - blocks)
            row = first_row(p, of, thread, s0)
            for slot in range(first_slot, first_slot + slots_a_task(p)):
                if span == 0:
                    begin_weights(p, plan, layer, of, 0, slot, first, units)
                sum_weights(p, plan, layer, of, 0, slot, 1, first, units, row, count, thread)
            if p.recurrent:
                sum_masked(p, plan, layer, of, 0, first, units, row, count, thread)

    @part
    def place_of_weights(p, task):
        """(direction, slot, first unit, units) of a task of the gradients at the weights."""
        number, of_units = task // p.directions, slots // slots_a_task(p)
        first = number // of_units * p.units
        return task % p.directions, number % of_units * slots_a_task(p), first, min(p.units, p.hidden_size - first)

    @part
    def join(p, plan, layer, task):
        """The sum of the chunks' pieces of some units' gradients."""
        d, first_slot, first, units = place_of_weights(p, task)
        for slot in range(first_slot, first_slot + slots_a_task(p)):
            join_weights(p, plan, layer, d, slot, first, units)

    return Pass(panels, pack, phases, tasks, do)
