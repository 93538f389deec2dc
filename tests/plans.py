"""What a process remembers of runs, for tests in which the same shapes are to be planned anew."""

from elman.call import usual
from elman.kernels.numba_cpu.plan import prepared


def forget_plans() -> None:
    usual._before.cache_clear()
    prepared._prepare.cache_clear()
