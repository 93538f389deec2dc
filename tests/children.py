"""Runs many cases in one process of their own; where it dies, the case is named and the rest runs in a new one."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

FINE = "fine"


def serve(run: Callable[[str], str]) -> None:
    """In the child: one line of standard input is a case, answered by what `run` says of it in one line."""
    for item in map(str.strip, sys.stdin):
        print(f"> {item}", flush=True)
        print(f"< {' '.join(run(item).split())}", flush=True)


def ask(program: Sequence[str | Path], items: Sequence[str], timeout: float) -> Iterator[tuple[str, str]]:
    """Every case with its verdict, in order; where the process dies or does not end, the verdict says so.

    Args:
        program: a Python program that calls `serve`, with its arguments.
        items: the cases, one line each.
        timeout: in seconds, for all that one process is given.
    """
    left = list(items)
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "MALLOC_PERTURB_": "165"}  # freed memory is overwritten
    while left:
        with tempfile.TemporaryFile("w+") as answers, tempfile.TemporaryFile("w+") as said:
            child = subprocess.Popen(
                [sys.executable, "-W", "ignore", *program],
                stdin=subprocess.PIPE,
                stdout=answers,
                stderr=said,
                text=True,
                env=environment,
            )
            try:
                child.communicate("\n".join(left) + "\n", timeout)
                end = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit {child.returncode}"
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                end = f"did not end within {timeout:.0f} s"
            answers.seek(0)
            said.seek(0)
            lines = [line for line in answers.read().splitlines() if line[:2] in ("> ", "< ")]
            verdicts = [line[2:] for line in lines if line[0] == "<"]
            yield from zip(left, verdicts, strict=False)
            left = left[len(verdicts) :]
            if left:
                last = " ".join(said.read().split()[-30:])
                place = "in it" if len(lines) % 2 else "after the case before it"
                yield left.pop(0), f"CRASH {place}: {end} {last}"
