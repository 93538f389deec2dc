"""The forward pass of any cell, for every layer and direction, in one call.

The input's part of the pre-activations is read by `reading.py`, as a phase before the recurrence or a span at a time
in it. What runs in the order of time adds h_{t-1} W_hh^T and computes the cell.
"""

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.matmul.rows import make_rows
from elman.kernels.numba_cpu.passes.forward_alone import make_recurrence
from elman.kernels.numba_cpu.passes.forward_together import make_step
from elman.kernels.numba_cpu.passes.packing import make_forward_packing
from elman.kernels.numba_cpu.passes.phases import Pass
from elman.kernels.numba_cpu.passes.places import make_places
from elman.kernels.numba_cpu.passes.reading import make_reading
from elman.kernels.numba_cpu.passes.seal import make_seal
from elman.kernels.numba_cpu.passes.sequences import clear_padding, rows_in, tasks_of_padding
from elman.kernels.numba_cpu.passes.together import make_together


def make_forward(dtype: type, cell: Room) -> Pass:
    """The forward pass for float32 or float64."""
    size = np.dtype(dtype).itemsize
    rows = make_rows(dtype)
    panels, pack = make_forward_packing(dtype, cell, rows)
    places, seal = make_places(dtype, cell), make_seal(dtype)
    reading = make_reading(dtype, cell, rows, places)
    read_block, begin_seal, end_seal = reading.block, seal.begin, seal.end
    recur = make_recurrence(dtype, cell, rows, places, reading, seal)
    together = make_together(make_step(dtype, cell, rows, places, reading, seal))

    @part
    def recur_together(p, plan, layer, thread):
        """All steps of a layer, shared with the threads that come."""
        sealed = p.seal != 0 and layer == p.layers - 1
        if sealed:
            begin_seal(p, thread)
        together(p, plan, layer, 0, p.steps, layer * p.steps, p.steps, thread)
        if sealed:
            end_seal(p, thread)

    @part
    def phases(p):
        """After the first, each layer reads its input and recurs."""
        return 1 + 2 * p.layers

    @part
    def padding_in(p, phase):
        """Tasks that clear the padding of the output, while the last layer reads its input."""
        return tasks_of_padding(p) if phase == 2 * p.layers - 1 else 0

    @part
    def tasks(p, plan, phase):
        if phase % 2 == 0:
            return p.threads if p.shares else p.chunks * p.directions
        blocks = 0 if p.fused else (rows_in(p, 0, p.steps) + p.block - 1) // p.block
        return padding_in(p, phase) + blocks

    @part
    def do(p, plan, phase, task, thread):
        layer = (phase - 1) // 2
        if phase % 2 == 0 and p.shares:
            recur_together(p, plan, layer, thread)
        elif phase % 2 == 0:
            recur(p, layer, task % p.directions, task // p.directions, thread)
        elif task < padding_in(p, phase):
            clear_padding(p, p.output, size * p.directions * p.output_size, task)
        else:
            read_block(p, layer, task - padding_in(p, phase), thread)

    return Pass(panels, pack, phases, tasks, do)
