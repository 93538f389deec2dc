"""The command `elman`: one file a subcommand, all of them joined in app.py.

What stands here runs first and needs Python alone, so that the command can say what is missing.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from elman.cli import processors
from elman.tasks.training.environment import is_first

_PACKAGES = ("typer", "tqdm", "polars", "safetensors")  # of the extra `train`, without which no command runs


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit: 0 when all went well, 2 after an expected error, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        said = (
            f"elman: the command needs {', '.join(missing)}: pip install 'elman[train]' (the layer needs none of them)"
        )
        print(said, file=sys.stderr)
        sys.exit(2)
    processors.use_what_is_there()
    from elman.cli import app

    if is_first():
        sys.exit(app.run(arguments))
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # of several processes one speaks
        sys.exit(app.run(arguments))
