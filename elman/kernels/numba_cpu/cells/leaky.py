"""h = (1 - leak) * h_before + leak * f(z): see kernels/README.md."""

from elman.kernels.numba_cpu.cells.functions import Function, chosen
from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.vectors import Units


def _step(function: Function, units: Units) -> None:
    f, leak = function.of(units["z"]), units["leak"]
    units["kept"] = f
    units["h"] = (1 - leak) * units["h_before"] + leak * f


def _step_back(function: Function, units: Units) -> None:
    leak, dh = units["leak"], units["dh"] + units["carried"]
    units["carried"] = (1 - leak) * dh
    units["dz"] = function.back(leak * dh, units["z"])


def _step_back_to_leak(function: Function, units: Units) -> None:
    units["d_leak"] = units["d_leak"] + (units["dh"] + units["carried"]) * (units["z"] - units["h_before"])
    _step_back(function, units)


def leaky(dtype: type) -> Room:
    """f(z) is kept: taken back from the difference of states it would lose digits where the leak is small."""
    forward = chosen(dtype, ("z", "h_before", "h", "leak", "kept"), _step)
    backward = chosen(dtype, ("dh", "carried", "z", "dz", "leak"), _step_back)
    backward_to_leak = chosen(dtype, ("dh", "carried", "z", "h_before", "dz", "leak", "d_leak"), _step_back_to_leak)

    @part
    def step(p, n, z, h_before, c_before, c, h, leak, kept):
        forward(p, n, (z, h_before, h, leak, kept))

    @part
    def step_back(p, n, dh, carried, z, h_before, c_before, c, dz, leak, d_leak, kept):
        if d_leak:
            backward_to_leak(p, n, (dh, carried, z, h_before, dz, leak, d_leak))
        else:
            backward(p, n, (dh, carried, z, dz, leak))

    gates = (0,)
    return Room(1, gates, gates, in_output=False, has_c=False, carries=True, step=step, step_back=step_back)
