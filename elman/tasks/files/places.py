"""Files and folders that the user names: what may be read, and that nothing is written over unasked."""

import os
from pathlib import Path

from elman.tasks.errors import DataError, RunError


def quoted(path: Path) -> str:
    """A path as it is typed in a shell.

    Example:
        >>> quoted(Path("my run"))
        "'my run'"
    """
    import shlex

    return shlex.quote(str(path))


def require_file(file: Path) -> None:
    """Raise unless there is a file with something in it.

    Raises:
        DataError: there is none, or it is empty.
    """
    if not file.exists():
        raise DataError(f"{file} does not exist")
    if not file.is_file():
        raise DataError(f"{file} is not a file")
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty")


def file_sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    import hashlib

    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def refuse_existing(path: Path, mend: str = "choose another name, or --overwrite", *, overwrite: bool = False) -> None:
    """Raise if something is at `path` already that may not be written over.

    Raises:
        RunError: something is there; or, with `overwrite`, something that is no plain file.
    """
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise RunError(f"{path} exists already: {mend}")
    if not path.is_file():
        raise RunError(f"{path} is no file, so --overwrite does not replace it: choose another name")


def refuse_folder(path: Path, *, overwrite: bool = False) -> None:
    """Raise if something is at `path` already, where a run is to be.

    Raises:
        RunError: something is there; or, with `overwrite`, something that is no run folder.
    """
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise RunError(
            f"{path} exists already: choose another folder, or go on with it by --resume or replace it by --overwrite"
        )
    if path.is_symlink() or not (path / "config.json").is_file():
        raise RunError(f"{path} is no run folder, so --overwrite does not replace it: choose another folder")


def free_path(path: Path) -> Path:
    """The path, or else the first of name-2, name-3 and so on that is not there yet."""
    number, place = 1, path
    while os.path.lexists(place):
        number += 1
        place = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return place
