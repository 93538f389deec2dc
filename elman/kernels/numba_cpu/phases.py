"""How threads share a run: phases, each a number of tasks that are taken one by one.

Every thread runs the whole kernel. In each phase it takes tasks while there are any, then waits until those taken by
others are done. How many threads come, and when, changes nothing but the time: one alone finishes every phase.

The first phase prepares, the others are those of forward.py or backward.py.
"""

from typing import Any

import numpy as np

from elman.kernels.numba_cpu.sequences import sort
from elman.kernels.numba_cpu.sizes import panel_columns
from elman.kernels.numba_cpu.tile import part
from elman.kernels.numba_cpu.work import clear, done, enter, read_header, take, wait


def make_phases(dtype: type, parts: Any) -> Any:
    """The kernel of a pass, from the parts that make_forward or make_backward returns."""
    size, panel = np.dtype(dtype).itemsize, panel_columns(dtype)
    columns_to_pack, pack, phases, tasks_of, work_on = parts

    @part
    def panels_of(p):
        return (columns_to_pack(p) + panel - 1) // panel

    @part
    def tasks_in(p, plan, phase):
        if phase > 0:
            return tasks_of(p, plan, phase)
        return 0 if p.prepared else 2 + p.layers * p.directions * panels_of(p)

    @part
    def work_in(p, plan, phase, task, thread):
        if phase > 0:
            work_on(p, plan, phase, task, thread)
        elif task == 0:
            sort(p)
        elif task == 1:
            clear(p.memory + p.zeros, size * max(p.input_size, p.directions * p.hidden_size))
        else:
            cell = (task - 2) // panels_of(p)
            pack(p, plan, cell // p.directions, cell % p.directions, (task - 2) % panels_of(p) * panel)

    @part
    def run(plan):
        p = read_header(plan)
        alone = p.threads == 1  # then nobody counts, and the counters are not there
        thread = 0 if alone else enter(plan)
        if thread >= p.threads:
            return
        for phase in range(phases(p)):
            tasks = tasks_in(p, plan, phase)
            task = 0 if alone else take(plan, phase)
            while task < tasks:
                work_in(p, plan, phase, task, thread)
                if alone:
                    task += 1
                else:
                    done(plan, phase)
                    task = take(plan, phase)
            if not alone:
                wait(plan, phase, tasks)

    return run
