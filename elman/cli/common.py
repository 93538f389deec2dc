"""What every command takes: --json, --quiet and --threads."""

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from elman.tasks.errors import SettingError

Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no more than what was asked for.")]
Threads = Annotated[int | None, typer.Option(help="Threads that compute.  [default: one a processor]")]

MOST_THREADS = 256  # more are of use where there are as many processors; the process dies of some thousands


def common(command: Callable[..., Any], *, answers: bool = False) -> Callable[..., None]:
    """The command with the options that all of them have.

    Args:
        command: prints for people as it goes, and returns its outcome as JSON's types.
        answers: whether what it prints on stdout is what was asked for, which --quiet keeps.
    """

    @functools.wraps(command)
    def run(*, json: bool, quiet: bool, threads: int | None, **given: Any) -> None:
        if threads is not None:
            _use_threads(threads)
        with _silent(stdout=json or (quiet and not answers), stderr=json or quiet):
            outcome = command(**given)
        if json:
            import json as json_format

            print(json_format.dumps(outcome, indent=1, ensure_ascii=False))

    options = {"json": (Json, False), "quiet": (Quiet, False), "threads": (Threads, None)}
    own = inspect.signature(command)
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in options.items()
    ]
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, **{name: kind for name, (kind, _) in options.items()}}
    return run


def _use_threads(threads: int) -> None:
    if threads < 1:
        raise SettingError("threads", "at least 1", threads)
    most = max(MOST_THREADS, os.cpu_count() or 1)
    if threads > most:
        raise SettingError("threads", f"at most {most}", threads)
    import torch

    torch.set_num_threads(threads)


@contextlib.contextmanager
def _silent(*, stdout: bool, stderr: bool) -> Iterator[None]:
    """Inside, nothing is printed on these; errors are shown by who catches them outside."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere if stdout else sys.stdout),
        contextlib.redirect_stderr(nowhere if stderr else sys.stderr),
    ):
        yield
