"""Where what the way back reads and computes stands."""

from typing import Any, NamedTuple

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.matmul.rows import Rows
from elman.kernels.numba_cpu.passes.sequences import tasks_of_padding
from elman.kernels.numba_cpu.plan.addresses import clear, kept_at, output_at


@part
def below_at(p, layer):
    """Where the gradient at the output of a layer that is not the last lies."""
    return p.memory + (p.below if layer % 2 else p.below_too)


@part
def first_row(p, d, thread, s0):
    """Where the rows of the span that begins at s0 begin in dz."""
    if p.pieces:
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


class Places(NamedTuple):
    """Addresses of rows of numbers, and sizes."""

    z_at: Any
    """z_at(p, layer, d, q): what the forward pass kept of the step whose output is row q."""
    c_at: Any
    """c_at(p, layer, d, q): the same of c."""
    kept_z_at: Any
    """kept_z_at(p, layer, d, q): the pre-activation of a cell whose z stood in the output, where it is kept."""
    dh_at: Any
    """dh_at(p, d, r, i, gap): where dh of a step comes to stand: P numbers for each row r of dz, or for each sequence,
    a gap further."""
    dz_bytes: Any
    """dz_bytes(p): of a row of dz."""
    h_bytes: Any
    """h_bytes(p): of its part for W_hh."""
    begin_carried: Any
    """begin_carried(p, place, carried, j0, j1): writes what is carried, for units j0 to j1, before the last step read:
    only what comes from c_n."""


def make_places(dtype: type, cell: Room, rows: Rows) -> Places:
    """For float32 or float64."""
    size, slots, h_gates = np.dtype(dtype).itemsize, cell.slots, len(cell.of_h)
    in_output, has_c = cell.in_output, cell.has_c

    @part
    def z_at(p, layer, d, q):
        if in_output:
            return output_at(p, layer, size) + size * p.output_size * (p.directions * q + d)
        width = slots * p.hidden_size
        return kept_at(p, p.z, layer, d, width, size) + size * width * q

    @part
    def c_at(p, layer, d, q):
        return kept_at(p, p.c, layer, d, p.hidden_size, size) + size * p.hidden_size * q

    @part
    def kept_z_at(p, layer, d, q):
        width = slots * p.hidden_size
        return kept_at(p, p.z, layer, d, width, size) + size * width * q

    @part
    def dh_at(p, d, r, i, gap):
        if p.projected:
            return p.memory + p.dh + size * p.output_size * r
        return p.memory + p.dh + size * p.output_size * (d * p.sequences + i) + gap

    @part
    def dz_bytes(p):
        return size * p.z_step

    @part
    def h_bytes(p):
        return size * h_gates * p.hidden_size

    @part
    def begin_carried(p, place, carried, j0, j1):
        if has_c and p.d_c_n:
            rows.copy(carried, p.d_c_n + size * (p.hidden_size * place + j0), j1 - j0)
        else:
            clear(carried, size * (j1 - j0))

    return Places(z_at, c_at, kept_z_at, dh_at, dz_bytes, h_bytes, begin_carried)
