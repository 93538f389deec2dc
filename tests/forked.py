"""Programs in processes of their own that begin with torch loaded, which is most of what a small program waits for.

One process has loaded it, its compiler, and what the commands need that starts no thread; it does nothing else. Every
program is a fork of it, with an environment, a folder and pipes of its own, and loads elman itself. What is tested
while it is loaded is started as any other process, and so is what OpenMP or the C library must be told in the
environment, which they read once.
"""

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

COMMAND = "import sys; from elman.cli import main; main(sys.argv[1:])"
"""`elman` as it is installed."""

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["torch", "torch._dynamo", "accelerate", "safetensors.torch", "typer", "tqdm"])


class Program:
    """One that was started, and may be still running.

    Args:
        code: its source.
        arguments: its `sys.argv[1:]`.
        folder: where it runs. Default: here.
        strict: whether warnings are errors, as with `python -W error`. Default: False.
        environment: variables beside those of this process. Of `OMP_NUM_THREADS` torch is told.
    """

    def __init__(
        self, code: str, *arguments: object, folder: Path | None = None, strict: bool = False, **environment: str
    ) -> None:
        ours, theirs = zip(*(context.Pipe(duplex=False) for _ in range(2)), strict=True)
        self.stdout, self.stderr = (os.fdopen(os.dup(pipe.fileno()), "rb") for pipe in ours)
        words, variables = [*map(str, arguments)], os.environ | environment
        inside = (textwrap.dedent(code), words, str(folder or Path.cwd()), strict, variables, *theirs)
        self._process = context.Process(target=_play, args=inside)
        self._process.start()
        for pipe in (*ours, *theirs):
            pipe.close()

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def poll(self) -> int | None:
        """What it ended with, or None; minus a signal's number where one ended it."""
        return self._process.exitcode

    def end(self, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Waits for its end; after so many seconds it is killed."""
        killer = threading.Timer(timeout, self._process.kill)
        killer.start()
        with ThreadPoolExecutor(2) as pool:
            pipes = self.stdout, self.stderr
            output, errors = pool.map(lambda pipe: "" if pipe.closed else pipe.read().decode(), pipes)
        self._process.join()
        killer.cancel()
        assert self._process.exitcode is not None
        self.stdout.close()
        self.stderr.close()
        return subprocess.CompletedProcess(["a fork"], self._process.exitcode, output, errors)


def run(code: str, *arguments: object, timeout: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; the arguments are those of `Program`."""
    return Program(code, *arguments, **options).end(timeout)


def _play(
    code: str,
    arguments: list[str],
    folder: str,
    strict: bool,
    environment: dict[str, str],
    output: Connection,
    errors: Connection,
) -> None:
    """In the fork."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    for number, pipe in ((1, output), (2, errors)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding, "backslashreplace", closefd=False)
    if "OMP_NUM_THREADS" in environment:
        import torch

        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    if strict:
        warnings.simplefilter("error")
    sys.argv = ["-c", *arguments]
    sys.path.insert(0, "")
    exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})
