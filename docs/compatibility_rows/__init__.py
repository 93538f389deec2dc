"""The rows of docs/compatibility.md."""

from compatibility_rows import modules, programs, training, transforms  # noqa: F401 - each adds its rows
from compatibility_rows.common import NOTES, ROWS

__all__ = ["NOTES", "ROWS"]
