"""The recurrence where all threads share each step: some of the hidden units each, and all sequences.

A thread takes the same units at every step as long as no other has taken them, so that their part of W stays in its own
cache; what a slow thread has not begun, another takes.
"""

from typing import Any

from elman.kernels.numba_cpu.compile.parts import part
from elman.kernels.numba_cpu.threads.tasks import step_done, take_step, wait_for_step


def make_together(step: Any) -> Any:
    """together(p, plan, layer, s0, s1, before, count, thread): `count` steps of one direction after the other's share.

    `step(p, layer, d, share, k, s0, s1, thread)` computes a share of the k-th; `before` that many were computed in the
    recurrences before. Every thread of the run calls it.
    """

    @part
    def together(p, plan, layer, s0, s1, before, count, thread):
        shares = p.shares * p.directions
        own = thread * shares // p.threads
        for k in range(count):
            for turn in range(shares):
                share = (own + turn) % shares
                if take_step(plan, share, before + k):
                    d = share // p.shares
                    for other in range(d * p.shares, (d + 1) * p.shares):
                        wait_for_step(plan, other, before + k)
                    step(p, layer, d, share - d * p.shares, k, s0, s1, thread)
                    step_done(plan, share, before + k)

    return together
