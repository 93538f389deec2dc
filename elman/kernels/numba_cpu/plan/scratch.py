"""Where the arrays of a run lie in scratch memory: one after the other, each from a cache line on."""

from elman.kernels.numba_cpu.plan.record import LINE

_SHORT_ROW = 8  # cache lines
APART = 4096
"""Bytes between what two threads write again and again: a processor reads on beyond what one of them is at, and would
take lines from the other."""
_ROWS_APART, _MOST_APART = 96, 1 << 20  # rows, bytes


class Scratch:
    """Gives out offsets in bytes. An array without numbers takes nothing.

    Args:
        threads: that a run has.
        chunks: of the sequences, in all directions.
        shares: of the units; 0: the sequences are split instead.
        apart: bytes between the parts of two threads, chunks or shares.
    """

    def __init__(self, threads: int, chunks: int, shares: int, apart: int) -> None:
        self.bytes = 0
        """Of all that was taken."""
        self._threads, self._chunks, self._shares, self._apart = threads, chunks, shares, apart

    def take(self, numbers: int, size: int) -> int:
        """The offset of the next array, of so many numbers of this size."""
        offset = self.bytes
        self.bytes += in_lines(numbers * size)
        return offset

    def take_own(self, numbers: int, size: int) -> int:
        """The same, for a part of each thread's."""
        return self.take(self._threads * (in_lines(numbers * size) + self._apart) if numbers else 0, 1)

    def take_chunks(self, numbers: int, size: int) -> int:
        """The same, for the parts of each direction's chunks."""
        return self.take(numbers * size + self._chunks * self._apart if numbers else 0, 1)

    def take_shares(self, numbers: int, size: int) -> int:
        """The same, or where units are shared so much for each share."""
        if numbers == 0 or not self._shares:
            return self.take_chunks(numbers, size)
        return self.take(self._shares * (in_lines(numbers * size) + self._apart), 1)


def rows_apart(row_bytes: int) -> int:
    """The rows between those that products of two threads write, of so many bytes: a processor also reads on in steps
    of a tile's rows, a dozen and more."""
    row_bytes = max(1, row_bytes)
    return max(-(-APART // row_bytes), min(_ROWS_APART, _MOST_APART // row_bytes))


def row_step(numbers: int, size: int) -> int:
    """Numbers from the beginning of one row of so many to the next one's: an odd number of cache lines, so that many
    rows of which one number is read are not in the same few places of a cache. Short rows lie close together."""
    lines = -(-numbers * size // LINE)
    return numbers if lines < _SHORT_ROW else (lines | 1) * LINE // size


def in_lines(count: int) -> int:
    """So many bytes, rounded up to whole cache lines."""
    return -(-count // LINE) * LINE
