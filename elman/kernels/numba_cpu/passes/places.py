"""Where what a step computes stands in the forward pass."""

from typing import Any, NamedTuple

import numpy as np

from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.passes.sequences import place_of
from elman.kernels.numba_cpu.plan.addresses import kept_at, output_at


class Places(NamedTuple):
    """Addresses of rows of numbers."""

    z_at: Any
    """z_at(p, layer, d, q, scratch_row): the row z of the step whose output is row q: kept, or in scratch memory."""
    c_at: Any
    """c_at(p, layer, d, q, i, gap): where c comes to stand: where it is kept, or over that of the step before, which in
    a thread's own memory is a gap further."""
    m_at: Any
    """m_at(p, layer, d, q, i, gap): the same of what is projected."""
    kept_z_at: Any
    """kept_z_at(p, layer, d, q): where the slots are kept, or the pre-activation of a cell whose z stands in the
    output; 0: nowhere."""
    kept_c_at: Any
    """kept_c_at(p, layer, d, q): where c is kept, of a run that keeps it."""
    kept_m_at: Any
    """kept_m_at(p, layer, d, q): the same of what is projected."""


def make_places(dtype: type, cell: Room) -> Places:
    """For float32 or float64."""
    size, slots, in_output = np.dtype(dtype).itemsize, cell.slots, cell.in_output

    @part
    def z_at(p, layer, d, q, scratch_row):
        if p.own and p.fused:
            return p.memory + p.z_scratch + size * p.z_step * scratch_row
        if in_output:
            return output_at(p, layer, size) + size * p.output_size * (q * p.directions + d)
        if p.keeps:
            width = slots * p.hidden_size
            return kept_at(p, p.z, layer, d, width, size) + size * width * q
        row = scratch_row if p.fused else q * p.directions + d
        return p.memory + p.z_scratch + size * p.z_step * row

    @part
    def kept_c_at(p, layer, d, q):
        return kept_at(p, p.c, layer, d, p.hidden_size, size) + size * p.hidden_size * q

    @part
    def kept_m_at(p, layer, d, q):
        return kept_at(p, p.m, layer, d, p.hidden_size, size) + size * p.hidden_size * q

    @part
    def c_at(p, layer, d, q, i, gap):
        h_size = p.hidden_size
        if p.own:
            return p.memory + p.c_own + size * h_size * (d * p.sequences + i) + gap
        if p.c:
            return kept_c_at(p, layer, d, q)
        return p.c_n + size * h_size * ((layer * p.directions + d) * p.sequences + place_of(p, i))

    @part
    def m_at(p, layer, d, q, i, gap):
        h_size = p.hidden_size
        if p.m and p.own == 0:
            return kept_m_at(p, layer, d, q)
        return p.memory + p.projecting + size * h_size * (d * p.sequences + i) + gap

    @part
    def kept_z_at(p, layer, d, q):
        if p.z == 0:
            return 0
        width = slots * p.hidden_size
        return kept_at(p, p.z, layer, d, width, size) + size * width * q

    return Places(z_at, c_at, m_at, kept_z_at, kept_c_at, kept_m_at)
