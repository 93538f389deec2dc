"""v = (1 - leak) * v_before + leak * z, h = f(v): see kernels/README.md. v is the loops' c."""

from elman.kernels.numba_cpu.cells.functions import Function, chosen
from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.vectors import Units


def _step(function: Function, units: Units) -> None:
    leak = units["leak"]
    v = (1 - leak) * units["v_before"] + leak * units["h"]
    units["v"] = v
    units["h"] = function.of(v)


def _step_and_keep(function: Function, units: Units) -> None:
    units["kept"] = units["h"]
    _step(function, units)


def _step_back(function: Function, units: Units) -> None:
    leak, dv = units["leak"], units["carried"] + function.back(units["dz"], units["h"])
    units["carried"] = (1 - leak) * dv
    units["dz"] = leak * dv


def _step_back_to_leak(function: Function, units: Units) -> None:
    dv = units["carried"] + function.back(units["dz"], units["h"])
    units["d_leak"] = units["d_leak"] + dv * (units["kept"] - units["v_before"])
    _step_back(function, units)


def potential(dtype: type) -> Room:
    """z stands where h will, and f' follows from h: v and z are kept only where the leak's gradient is asked for."""
    forward = chosen(dtype, ("v_before", "v", "h", "leak"), _step)
    forward_and_keep = chosen(dtype, ("v_before", "v", "h", "leak", "kept"), _step_and_keep)
    backward = chosen(dtype, ("carried", "h", "dz", "leak"), _step_back)
    backward_to_leak = chosen(dtype, ("carried", "h", "v_before", "dz", "leak", "d_leak", "kept"), _step_back_to_leak)

    @part
    def step(p, n, z, h_before, c_before, c, h, leak, kept):
        if kept:
            forward_and_keep(p, n, (c_before, c, h, leak, kept))
        else:
            forward(p, n, (c_before, c, h, leak))

    @part
    def step_back(p, n, dh, carried, z, h_before, c_before, c, dz, leak, d_leak, kept):
        if d_leak:
            backward_to_leak(p, n, (carried, z, c_before, dz, leak, d_leak, kept))
        else:
            backward(p, n, (carried, z, dz, leak))

    gates = (0,)
    return Room(1, gates, gates, in_output=True, has_c=True, carries=True, step=step, step_back=step_back)
