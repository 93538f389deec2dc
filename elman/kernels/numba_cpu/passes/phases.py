"""How threads share a run: phases, each a number of tasks that are taken one by one.

Every thread runs the whole kernel. In each phase it takes tasks while there are any, its own first, then waits until
those taken by others are done. How many threads come, and when, changes nothing but the time: one alone finishes
every phase.

The first phase prepares, the others are those of forward.py or backward.py.
"""

from typing import Any, NamedTuple

import numpy as np

from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.passes.sequences import sort
from elman.kernels.numba_cpu.plan.addresses import clear, read_header
from elman.kernels.numba_cpu.threads.tasks import done, enter, take, wait


class Pass(NamedTuple):
    """What differs between forward and backward."""

    panels: Any
    """panels(p): of the largest weight, to be packed."""
    pack: Any
    """pack(p, plan, layer, d, number): a panel of each weight of a direction."""
    phases: Any
    """phases(p): how many, the first among them."""
    tasks: Any
    """tasks(p, plan, phase): of a phase after the first."""
    do: Any
    """do(p, plan, phase, task, thread): one of them."""


def make_kernel(dtype: type, slots: int, of: Pass) -> Any:
    """The kernel of a pass, for a cell of so many slots."""
    size = np.dtype(dtype).itemsize
    panels, pack, phases, tasks_of, do = of

    @part
    def tasks_in(p, plan, phase):
        if phase > 0:
            return tasks_of(p, plan, phase)
        return 0 if p.prepared else 2 + p.layers * p.directions * panels(p)

    @part
    def do_in(p, plan, phase, task, thread):
        if phase > 0:
            do(p, plan, phase, task, thread)
        elif task == 0:
            sort(p)
        elif task == 1:
            clear(p.memory + p.zeros, size * max(p.input_size, p.directions * p.output_size, slots * p.hidden_size))
        else:
            direction = (task - 2) // panels(p)
            pack(p, plan, direction // p.directions, direction % p.directions, (task - 2) % panels(p))

    @part
    def run(plan):
        p = read_header(plan)
        alone = p.threads == 1  # then nobody counts, and the counters are not there
        thread = 0 if alone else enter(plan)
        if thread >= p.threads:
            return
        so_far = 0
        for phase in range(phases(p)):
            tasks = tasks_in(p, plan, phase)
            if tasks == 0:
                continue
            task = 0 if alone else take(plan, phase, tasks, thread)
            while task < tasks:
                do_in(p, plan, phase, task, thread)
                if alone:
                    task += 1
                else:
                    done(plan)
                    task = take(plan, phase, tasks, thread)
            so_far += tasks
            if not alone:
                wait(plan, so_far)

    return run
