"""Programs in processes of their own, most of them with torch loaded, which is most of what a small program waits for.

One process has loaded it, its compiler, and what the commands need that starts no thread; it does nothing else. Every
program is a fork of it, with an environment, a folder and pipes of its own, and loads elman itself. Forks share the
seed of their hashes and the addresses of what was loaded, and end without what `atexit` was told. So a program is real,
started as any other process, where it must be that: where processes wait for each other, where it counts how they end
or that they differ, and where OpenMP or the C library must be told something in the environment, which they read once.
What is tested while torch is loaded is real, too, and so is every program where a system has no server of forks.
"""

import contextlib
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

COMMAND = "import sys; from elman.cli import main; main(sys.argv[1:])"
"""`elman` as it is installed."""

HAS_FORKS = "forkserver" in multiprocessing.get_all_start_methods()
context: Any = multiprocessing.get_context("forkserver" if HAS_FORKS else None)
if HAS_FORKS:
    context.set_forkserver_preload(["torch", "torch._dynamo", "accelerate", "safetensors.torch", "typer", "tqdm"])


class Program:
    """One that was started, and may be still running.

    Args:
        code: its source.
        arguments: its `sys.argv[1:]`.
        folder: where it runs. Default: here.
        strict: whether warnings are errors, as with `python -W error`. Default: False.
        real: whether it is a process of its own from its start, and no fork. Default: False.
        environment: variables beside those of this process. A fork tells torch of `OMP_NUM_THREADS`.
    """

    def __init__(
        self,
        code: str,
        *arguments: object,
        folder: Path | None = None,
        strict: bool = False,
        real: bool = False,
        **environment: str,
    ) -> None:
        code, words, variables = textwrap.dedent(code), [*map(str, arguments)], os.environ | environment
        self._process: Any
        if real or not HAS_FORKS:
            command = [sys.executable, *(["-W", "error"] if strict else []), "-c", code, *words]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            self._process = subprocess.Popen(command, cwd=folder, env=variables, **pipes)
            self.stdout, self.stderr = self._process.stdout, self._process.stderr
            return
        ours, theirs = zip(*(context.Pipe(duplex=False) for _ in range(2)), strict=True)
        self.stdout, self.stderr = (os.fdopen(os.dup(pipe.fileno()), "rb") for pipe in ours)
        inside = (code, words, str(folder or Path.cwd()), strict, variables, *theirs)
        self._process = context.Process(target=_play, args=inside)
        self._process.start()
        for pipe in (*ours, *theirs):
            pipe.close()

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def poll(self) -> int | None:
        """What it ended with, or None; minus a signal's number where one ended it."""
        return self._process.poll() if isinstance(self._process, subprocess.Popen) else self._process.exitcode

    def end(self, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Waits for its end.

        Raises:
            subprocess.TimeoutExpired: it had not ended, or not all that it started, after so many seconds, and was
                killed.
        """
        deadline = time.monotonic() + timeout
        said = dict.fromkeys((self.stdout, self.stderr), b"")

        def read(pipe: Any) -> None:
            with pipe:
                said[pipe] = pipe.read()

        # Not waited for at this process's end: what the program started may hold a pipe for ever.
        readers = [threading.Thread(target=read, args=[pipe], daemon=True) for pipe in said if not pipe.closed]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(max(0, deadline - time.monotonic()))
        self._wait(max(0, deadline - time.monotonic()))
        code = self.poll()
        if code is None or any(reader.is_alive() for reader in readers):
            self._process.kill()
            self._wait()
            raise subprocess.TimeoutExpired("a program of this test", timeout)
        output, errors = (each.decode() for each in said.values())
        return subprocess.CompletedProcess("a program of this test", code, output, errors)

    def _wait(self, timeout: float | None = None) -> None:
        if isinstance(self._process, subprocess.Popen):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        else:
            self._process.join(timeout)


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
