"""r, z = sigmoid(.), n = tanh(x_n + r * h_n), h = (1 - z) * n + z * h_before: see kernels/README.md."""

from elman.kernels.numba_cpu.cells.activation import gate_tanh, sigmoid
from elman.kernels.numba_cpu.cells.gated import in_loops
from elman.kernels.numba_cpu.cells.room import Room
from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.compile.vectors import Units, Vector, for_units

_N, _R, _Z, _HN = range(4)  # the slots: the input writes the first three, the recurrence the last three


def _gates(units: Units) -> tuple[Vector, Vector, Vector]:
    """r, z and the state's part of n."""
    r, z, hn = sigmoid(units["z", _R]), sigmoid(units["z", _Z]), units["z", _HN]
    units["kept", _R], units["kept", _Z], units["kept", _HN] = r, z, hn
    return r, z, hn


def _output(units: Units) -> None:
    _blend(units, units["kept", _R], units["kept", _Z], units["kept", _HN])


def _step(units: Units) -> None:
    _blend(units, *_gates(units))


def _blend(units: Units, r: Vector, z: Vector, hn: Vector) -> None:
    n = gate_tanh(units["z", _N] + r * hn)
    units["kept", _N] = n
    units["h"] = n + z * (units["h_before"] - n)


def _step_back(units: Units) -> None:
    units["carried"] = _back(units, units["dh"] + units["carried"])


def _back(units: Units, dh: Vector) -> Vector:
    """dz, and what is carried, from the gradient at the new h."""
    n, r, z = units["z", _N], units["z", _R], units["z", _Z]
    dn = dh * (1 - z) * (1 - n * n)
    units["dz", _N] = dn
    units["dz", _HN] = dn * r
    units["dz", _R] = dn * units["z", _HN] * (r * (1 - r))
    units["dz", _Z] = dh * (units["h_before"] - n) * (z * (1 - z))
    return dh * z


def _zoned(units: Units) -> None:
    """With zoneout: a unit keeps the share 1 - leak of its state before."""
    _step(units)
    leak = units["leak"]
    units["h"] = (1 - leak) * units["h_before"] + leak * units["h"]


def _zoned_back(units: Units) -> None:
    leak, after = units["leak"], units["dh"] + units["carried"]
    units["carried"] = (1 - leak) * after + _back(units, leak * after)


def gru(dtype: type) -> Room:
    """The n gate's part of the input and of the state stand in two slots, since r comes between them."""
    forward = in_loops(dtype, ("z", "h_before", "h", "kept"), _gates, _output, _step)
    backward = for_units(dtype, ("dh", "carried", "z", "h_before", "dz"), _step_back)

    zoned = for_units(dtype, ("z", "h_before", "h", "kept", "leak"), _zoned)
    zoned_back = for_units(dtype, ("dh", "carried", "z", "h_before", "dz", "leak"), _zoned_back)

    @part
    def step(p, n, z, h_before, c_before, c, h, leak, kept):
        if leak:
            zoned(n, p.hidden_size, (z, h_before, h, kept, leak))
        else:
            forward(n, p.hidden_size, (z, h_before, h, kept))

    @part
    def step_back(p, n, dh, carried, z, h_before, c_before, c, dz, leak, d_leak, kept):
        if leak:
            zoned_back(n, p.hidden_size, (dh, carried, z, h_before, dz, leak))
        else:
            backward(n, p.hidden_size, (dh, carried, z, h_before, dz))

    return Room(4, (2, 0, 1), (0, 1, 2), in_output=False, has_c=False, carries=True, step=step, step_back=step_back)
