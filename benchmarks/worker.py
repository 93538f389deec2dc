"""A framework in a process of its own: the process's side and the asker's."""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.session import Session

CONTEXT: Any = multiprocessing.get_context("spawn")  # a process from nothing, which reads the environment
# What the libraries read once, when they are loaded: OpenMP, MKL, numpy's OpenBLAS, XLA's pool.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")
# What holds elman and torch, and the libraries that torch calls, to the instructions of an older processor.
HELD = {
    "AVX2": {
        "ELMAN_CPU": "haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
}


class WorkerError(RuntimeError):
    """A worker ended before it answered; its traceback is on stderr."""


@contextmanager
def environment(threads: int, held_to: str | None = None) -> Iterator[None]:
    """While it lasts, a process that is started sees the thread count, and is held to these instructions."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) | HELD.get(held_to or "", {})
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    yield
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


class Worker:
    """Asks one process, and waits for its answer; the process sleeps between questions."""

    def __init__(self, name: str, module: str, threads: int, held_to: str | None = None) -> None:
        self.name = name
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=serve, args=(theirs, module, threads), daemon=True)
        with environment(threads, held_to):
            self._process.start()
        theirs.close()

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method of the process's Session returns."""
        try:
            self._pipe.send((method, *arguments))
            return self._pipe.recv()
        except (EOFError, BrokenPipeError) as error:
            self._process.join()
            said = f"{self.name} ended with exit code {self._process.exitcode} when asked for {method}{arguments}"
            raise WorkerError(said) from error

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def serve(pipe: Connection, module: str, threads: int) -> None:
    """Answers until the asker is gone. The session imports the framework, which reads the environment that was set."""
    session = Session(module, threads)
    while True:
        try:
            method, *arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(session, method)(*arguments))
