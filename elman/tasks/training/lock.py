"""One process at a time goes on with a run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from elman.tasks.errors import RunError
from elman.tasks.training.checkpoint import CONFIG

PLACE = 1 << 30  # the byte that is locked on Windows, beyond the end of the file, so that all of it can be read


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder by its config.json: the operating system lets go of it when the process ends, however it ends.

    Raises:
        RunError: another process holds it.
    """
    with (folder / CONFIG).open("r+b") as file:
        if not _hold(file):
            raise RunError(f"{folder} is being trained by another process: wait for it, or stop it first")
        yield


def _hold(file: BinaryIO) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(PLACE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # Windows says the latter
        return False
    except OSError:  # a file system without locks
        return True
    return True
