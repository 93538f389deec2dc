"""h = f(z), f = tanh or ReLU, with z = W_ih x + b_ih + W_hh h_before + b_hh."""

from elman.kernels.numba_cpu.cells.activation import tanh
from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.vectors import Units, for_units


def _tanh(units: Units) -> None:
    units["h"] = tanh(units["h"])


def _relu(units: Units) -> None:
    units["h"] = units["h"].where("<", 0, 0, units["h"])


def _tanh_back(units: Units) -> None:
    h = units["h"]
    units["dz"] = units["dz"] * (1 - h * h)


def _relu_back(units: Units) -> None:
    units["dz"] = units["h"].where("<=", 0, 0, units["dz"])


def elman(dtype: type) -> Room:
    """z stands where h will, and f' follows from h: nothing is kept beside the output."""
    tanh_row, relu_row = (for_units(dtype, ("h",), formula) for formula in (_tanh, _relu))
    tanh_back, relu_back = (for_units(dtype, ("h", "dz"), formula) for formula in (_tanh_back, _relu_back))

    @part
    def step(p, n, z, h_before, c_before, c, h, leak, kept):
        if p.function:
            relu_row(n, 0, (h,))
        else:
            tanh_row(n, 0, (h,))

    @part
    def step_back(p, n, dh, carried, z, h_before, c_before, c, dz, leak, d_leak, kept):
        if p.function:
            relu_back(n, 0, (z, dz))
        else:
            tanh_back(n, 0, (z, dz))

    gates = (0,)
    return Room(1, gates, gates, in_output=True, has_c=False, carries=False, step=step, step_back=step_back)
