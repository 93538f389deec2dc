"""Arrays on the disk: written piece by piece, and mapped into memory to read."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from elman.tasks.errors import RunError

Array = npt.NDArray[Any]

BLOCK = 1 << 20  # rows in memory at a time
LARGEST = 3e38  # a number of the data: models compute in float32


class ArrayWriter:
    """A .npy file that grows along its first axis; its header is written when it is closed.

    Args:
        path: the file to write.
        dtype: of the numbers.
        row: the shape of one row, () for an array of one axis.

    Example:
        >>> import tempfile, numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with ArrayWriter(Path(folder) / "a.npy", "int32") as out:
        ...         out.append([1, 2])
        ...         out.append([3])
        ...     np.load(Path(folder) / "a.npy").tolist()
        [1, 2, 3]
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, row: tuple[int, ...] = ()) -> None:
        self.dtype, self.row, self.rows = np.dtype(dtype), row, 0
        self._file = path.open("wb")
        self._header()

    def append(self, values: npt.ArrayLike) -> None:
        """Write further rows."""
        array = np.ascontiguousarray(values, dtype=self.dtype).reshape(-1, *self.row)
        self._file.write(array.tobytes())
        self.rows += len(array)

    def _header(self) -> None:
        # numpy pads a header so that it keeps its length when the first axis grows
        shape = (self.rows, *self.row)
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": shape}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._header()


def open_array(path: Path, *types: npt.DTypeLike, dimensions: int = 1, writable: bool = False) -> Array:
    """An array of a run, mapped into memory.

    Args:
        path: the file.
        types: of which it must have one.
        dimensions: that it must have.
        writable: whether it is to be changed.

    Raises:
        RunError: the file is missing or not as it was written.
    """
    if not path.is_file():
        raise RunError(f"{path.parent} is no complete run folder: {path.name} is missing")
    try:
        array = np.lib.format.open_memmap(path, mode="r+" if writable else "r")
    except ValueError as error:
        raise RunError(f"{path} is broken ({error})") from error
    if array.ndim != dimensions or array.dtype not in types:
        raise RunError(f"{path} is broken: its shape is {array.shape}, its type {array.dtype}")
    return array


def blocks(rows: int, size: int = BLOCK) -> Iterator[slice]:
    """The rows from 0 on, in slices of at most `size`."""
    return (slice(first, min(first + size, rows)) for first in range(0, rows, size))
