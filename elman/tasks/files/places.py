"""Where something may be written: nothing that is there is written over."""

import os
from pathlib import Path

from elman.tasks.errors import RunError


def refuse_existing(path: Path, mend: str = "choose another folder, or go on with it by --resume") -> None:
    """Raise if something is at `path` already."""
    if os.path.lexists(path):
        raise RunError(f"{path} exists already: {mend}")


def free_path(path: Path) -> Path:
    """The path, or else the first of name-2, name-3 and so on that is not there yet."""
    number, place = 1, path
    while os.path.lexists(place):
        number += 1
        place = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return place
