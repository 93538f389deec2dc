"""A text file as token ids: the vocabulary, and the file encoded to a memory-mapped array, in blocks.

A token is one character (one Unicode code point). Every character counts, line ends and a byte order mark too, so what
is learned is the file as it is. The vocabulary is all of the file's characters, so the held-out part holds no unknown.
"""

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.errors import DataError
from elman.tasks.files.arrays import open_array
from elman.tasks.files.encodings import not_utf8, sample_at
from elman.tasks.files.places import require_file
from elman.tasks.training.progress import progress_bar

Ids = npt.NDArray[np.unsignedinteger[Any]]

BLOCK = 1 << 22  # bytes of the file in memory at a time
CODE_POINTS = 0x110000
TOKENS = "tokens.npy"


class Vocabulary:
    """Characters and their ids: the position in the order of code points.

    Args:
        characters: every character once, in ascending order.

    Example:
        >>> vocabulary = Vocabulary("abc")
        >>> vocabulary.decode(vocabulary.encode("cab"))
        'cab'
    """

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._codes = np.frombuffer(characters.encode("utf-32-le"), dtype="<u4")
        self._ids = {character: i for i, character in enumerate(characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> list[int]:
        """The ids of a text's characters.

        Raises:
            DataError: the text has characters that are not in the vocabulary; the message names them.
        """
        if unknown := sorted(set(text) - self._ids.keys()):
            names = ", ".join(repr(character) for character in unknown)
            raise DataError(f"the model has never seen {names}: it knows the {len(self)} characters of its text only")
        return [self._ids[character] for character in text]

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of a list or array of ids."""
        return self._codes[np.asarray(ids, dtype=np.intp)].tobytes().decode("utf-32-le")


@dataclass(frozen=True)
class Encoded:
    """What `encode_file` found."""

    vocabulary: Vocabulary
    characters: int
    sha256: str


def encode_file(file: Path, folder: Path, *, known: str = "", progress: bool = False) -> Encoded:
    """Read a UTF-8 file twice, once for its vocabulary and once to write `folder`/tokens.npy.

    The vocabulary has all of the file's characters, and those that are `known` already.

    The ids are as narrow as the vocabulary allows: uint8, uint16 or uint32. Memory stays at some blocks of 4 MiB.

    Raises:
        DataError: the file is missing, not a file, empty or not UTF-8 (the message gives the byte), or it changed
            while it was read.
    """
    require_file(file)
    with progress_bar(
        shown=progress, desc="read", unit="B", total=2 * file.stat().st_size, delay=0.5, leave=False
    ) as bar:
        present = np.zeros(CODE_POINTS, dtype=np.bool_)
        present[[ord(character) for character in known]] = True
        characters, digest = 0, hashlib.sha256()
        for data, codes in _blocks(file):
            present[codes] = True
            characters += codes.size
            digest.update(data)
            bar.update(len(data))
        vocabulary = np.flatnonzero(present)
        dtype = np.min_scalar_type(vocabulary.size - 1)
        ids = np.zeros(CODE_POINTS, dtype=dtype)
        ids[vocabulary] = np.arange(vocabulary.size)
        again = hashlib.sha256()
        with (folder / TOKENS).open("wb") as out:
            header = {"descr": dtype.str, "fortran_order": False, "shape": (characters,)}
            np.lib.format.write_array_header_1_0(out, header)
            for data, codes in _blocks(file):
                out.write(ids[codes].tobytes())
                again.update(data)
                bar.update(len(data))
    if again.digest() != digest.digest():
        raise DataError(f"{file} changed while it was read")
    return Encoded(Vocabulary("".join(map(chr, vocabulary))), characters, digest.hexdigest())


def open_tokens(path: Path) -> Ids:
    """The token ids of a run, mapped into memory.

    Raises:
        RunError: the file is missing or not as it was written.
    """
    return open_array(path, np.uint8, np.uint16, np.uint32)


def _blocks(file: Path) -> Iterator[tuple[bytes, npt.NDArray[np.uint32]]]:
    """The file's bytes and its code points, block by block."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    position, beyond_ascii = 0, False
    with file.open("rb") as stream:
        while True:
            data = stream.read(BLOCK)
            held_back = len(decoder.getstate()[0])
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                byte = position - held_back + error.start
                beyond_ascii = beyond_ascii or not bytes(error.object)[: error.start].isascii()
                sample = b"" if beyond_ascii else sample_at(file, byte)
                raise not_utf8(f"{file}, byte {byte:,},", error, sample) from error
            position += len(data)
            beyond_ascii = beyond_ascii or not text.isascii()
            yield data, np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
            if not data:
                return
