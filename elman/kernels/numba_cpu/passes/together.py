"""The recurrence where all threads share each step: some of the hidden units each, and all sequences.

A thread takes the same units at every step as long as no other has taken them, so that their part of W stays in its own
cache; what a slow thread has not begun, another takes.
"""

from typing import Any

from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.threads.tasks import say_step_done, take_step, wait_for_step


@part
def wait_for_steps(p, plan, d, step):
    """Returns when every share of a direction has done all steps before this one."""
    for share in range(d * p.shares, (d + 1) * p.shares):
        wait_for_step(plan, share, step)


@part
def step_done(p, plan, d, share, step):
    """Says that a share of a step is finished."""
    say_step_done(plan, d * p.shares + share, step)


def make_together(step: Any) -> Any:
    """together(p, plan, layer, s0, s1, before, count, thread): `count` steps of one direction after the other's share.

    `step(p, plan, layer, d, share, before, k, s0, s1, thread)` computes a share of the k-th. For step `before + k` it
    calls wait_for_steps as late and step_done as early as it can: what it does outside of the two, nobody waits for.
    `before` that many were computed in the recurrences before. Every thread of the run calls it.
    """

    @part
    def together(p, plan, layer, s0, s1, before, count, thread):
        shares = p.shares * p.directions
        own = thread * shares // p.threads
        for k in range(count):
            for turn in range(shares):
                share = own + turn
                if share >= shares:
                    share -= shares
                if take_step(plan, share, before + k):
                    d = share // p.shares
                    step(p, plan, layer, d, share - d * p.shares, before, k, s0, s1, thread)

    return together
