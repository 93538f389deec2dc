"""One process at a time goes on with a run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from elman.tasks.errors import RunError

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder: the operating system lets go of it when the process ends, however it ends.

    Raises:
        RunError: another process holds it.
    """
    with (folder / LOCK).open("ab") as file:
        if not _hold(file):
            raise RunError(f"{folder} is being trained by another process: wait for it, or stop it first")
        yield


def _hold(file: BinaryIO) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except PermissionError:  # Windows says it so
        return False
    except OSError:  # a file system without locks
        return True
    return True
