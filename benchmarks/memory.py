"""The peak of memory in a training step of this process. Linux only: it resets the peak in /proc."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.problem import Problem
from benchmarks.sizes import Size

RESET = Path("/proc/self/clear_refs")


def possible() -> bool:
    """Whether the system has a peak that can be reset."""
    return RESET.exists()


def peak(framework: Any, size: Size) -> float:
    """MB that a training step adds at its highest: outputs, gradients and what is kept for the backward pass."""
    small = framework.calls("train", Problem(replace(size, T=2)))  # loads the code, starts the threads
    for call in small.values():
        call.run()
    (call,) = framework.calls("train", Problem(size)).values()
    RESET.write_text("5")  # the peak starts again from what is resident now
    before = resident("VmHWM")
    call.run()
    return (resident("VmHWM") - before) / 1024


def resident(field: str) -> int:
    """kB of a field of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
