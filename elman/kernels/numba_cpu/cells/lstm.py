"""i, f, o = sigmoid(.), g = tanh(.), c = f * c_before + i * g, h = o * tanh(c): see kernels/README.md."""

import numpy as np

from elman.kernels.numba_cpu.cells.activation import gate_tanh, sigmoid
from elman.kernels.numba_cpu.cells.gated import in_loops
from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.vectors import Units, Vector, for_units

_I, _F, _G, _O = range(4)


def _gates(units: Units) -> tuple[Vector, Vector]:
    """o and the new c."""
    i, f, g, o = sigmoid(units["z", _I]), sigmoid(units["z", _F]), gate_tanh(units["z", _G]), sigmoid(units["z", _O])
    c = f * units["c_before"] + i * g
    units["kept", _I], units["kept", _F], units["kept", _G], units["kept", _O] = i, f, g, o
    units["c"] = c
    return o, c


def _output(units: Units) -> None:
    units["h"] = units["kept", _O] * gate_tanh(units["c"])


def _step(units: Units) -> None:
    o, c = _gates(units)
    units["h"] = o * gate_tanh(c)


def _step_back(units: Units) -> None:
    i, f, g, o = (units["z", slot] for slot in (_I, _F, _G, _O))
    dh, tanh_c = units["dh"], gate_tanh(units["c"])
    dc = units["carried"] + dh * o * (1 - tanh_c * tanh_c)
    units["carried"] = dc * f
    units["dz", _I] = dc * g * (i * (1 - i))
    units["dz", _F] = dc * units["c_before"] * (f * (1 - f))
    units["dz", _G] = dc * i * (1 - g * g)
    units["dz", _O] = dh * tanh_c * (o * (1 - o))


def _zoned(units: Units) -> None:
    """With zoneout: a unit keeps the share 1 - leak of h, and 1 - leak_c of c, before; h follows from the new c."""
    h_before, leak = units["h_before"], units["leak"]
    _zoned_in_c(units)
    units["h"] = (1 - leak) * h_before + leak * units["h"]


def _zoned_in_c(units: Units) -> None:
    """The same of c alone, where h is projected before it is blended."""
    c_before, leak_c = units["c_before"], units["leak_c"]
    _step(units)
    units["c"] = (1 - leak_c) * c_before + leak_c * units["c"]


def _zoned_back(units: Units) -> None:
    """dh is that at the new h. The new c is computed again."""
    i, f, g, o = (units["z", slot] for slot in (_I, _F, _G, _O))
    leak, dh, c_before = units["leak_c"], units["dh"], units["c_before"]
    tanh_c = gate_tanh(f * c_before + i * g)
    after = units["carried"]
    dc = leak * after + dh * o * (1 - tanh_c * tanh_c)
    units["carried"] = dc * f + (1 - leak) * after
    units["dz", _I] = dc * g * (i * (1 - i))
    units["dz", _F] = dc * c_before * (f * (1 - f))
    units["dz", _G] = dc * i * (1 - g * g)
    units["dz", _O] = dh * tanh_c * (o * (1 - o))


def lstm(dtype: type) -> Room:
    """The gates and c are kept; tanh(c) is computed again."""
    forward = in_loops(dtype, ("z", "c_before", "c", "h", "kept"), _gates, _output, _step)
    backward = for_units(dtype, ("dh", "carried", "z", "c_before", "c", "dz"), _step_back)

    zoned = for_units(dtype, ("z", "h_before", "c_before", "c", "h", "kept", "leak", "leak_c"), _zoned)
    zoned_in_c = for_units(dtype, ("z", "c_before", "c", "h", "kept", "leak_c"), _zoned_in_c)
    zoned_back = for_units(dtype, ("dh", "carried", "z", "c_before", "dz", "leak_c"), _zoned_back)
    size = np.dtype(dtype).itemsize

    @part
    def step(p, n, z, h_before, c_before, c, h, leak, kept):
        if leak and p.projected:
            zoned_in_c(n, p.hidden_size, (z, c_before, c, h, kept, leak + size * p.output_size))
        elif leak:
            zoned(n, p.hidden_size, (z, h_before, c_before, c, h, kept, leak, leak + size * p.output_size))
        else:
            forward(n, p.hidden_size, (z, c_before, c, h, kept))

    @part
    def step_back(p, n, dh, carried, z, h_before, c_before, c, dz, leak, d_leak, kept):
        if leak:
            zoned_back(n, p.hidden_size, (dh, carried, z, c_before, dz, leak + size * p.output_size))
        else:
            backward(n, p.hidden_size, (dh, carried, z, c_before, c, dz))

    all_four = (_I, _F, _G, _O)
    return Room(4, all_four, all_four, in_output=False, has_c=True, carries=True, step=step, step_back=step_back)
