"""Texts as token ids: characters or words, with id 0 for whatever was not seen in training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Ids = npt.NDArray[np.int64]

CODE_POINTS = 0x110000
WORD = r"\w+|[^\w\s]"  # a run of letters and digits, or one other sign
SEEN = 2  # times in the training part, below which a token counts as unknown: so the unknown one is trained too
MOST = 50_000  # tokens


class Tokens:
    """A vocabulary of characters or of lower-case words.

    Args:
        kind: "characters" or "words".
        vocabulary: the known tokens; the first one has id 1.

    Example:
        >>> ids, lengths = Tokens("characters", ["a", "b"]).encode(pl.Series(["ab", "ca"]))
        >>> ids.tolist(), lengths.tolist()
        ([1, 2, 0, 1], [2, 2])
    """

    def __init__(self, kind: str, vocabulary: Sequence[str]) -> None:
        self.kind, self.vocabulary = kind, list(vocabulary)
        if kind == "characters":
            self._ids = np.zeros(CODE_POINTS, dtype=np.int64)
            self._ids[[ord(character) for character in self.vocabulary]] = np.arange(1, len(self))

    def __len__(self) -> int:
        """Tokens, the unknown one included."""
        return len(self.vocabulary) + 1

    def encode(
        self,
        texts: pl.Series,  # (N,) of strings
    ) -> tuple[Ids, Ids]:
        """The ids of all texts one after another, and how many each text has, (N,)."""
        tokens, lengths = split_texts(texts, self.kind)
        if self.kind == "characters":
            return self._ids[tokens], lengths
        if not self.vocabulary:
            return np.zeros(len(tokens), dtype=np.int64), lengths
        ids = tokens.replace_strict(self.vocabulary, range(1, len(self)), default=0, return_dtype=pl.Int64)
        return ids.to_numpy(), lengths


class TokenCounter:
    """Tokens of a text that are not chosen yet: provisional ids first, the vocabulary when the training part is known.

    Args:
        kind: "characters" or "words".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._ids: dict[str, int] = {}

    def encode(self, texts: pl.Series) -> tuple[Ids, Ids]:
        """Provisional ids of all texts one after another, and how many each text has."""
        tokens, lengths = split_texts(texts, self.kind)
        if self.kind == "characters":
            return tokens.astype(np.int64), lengths
        for token in tokens.unique(maintain_order=True):
            self._ids.setdefault(token, len(self._ids))
        ids = tokens.replace_strict(list(self._ids), list(self._ids.values()), return_dtype=pl.Int64)
        return ids.to_numpy(), lengths

    def __len__(self) -> int:
        """Provisional ids that there may be."""
        return CODE_POINTS if self.kind == "characters" else len(self._ids)

    def choose(self, counts: Ids, known: Sequence[str] = ()) -> tuple[list[str], Ids]:
        """The vocabulary from how often each provisional id is in the training part; and its ids by provisional id.

        The tokens that are `known` come first; then the most frequent others, as far as they were seen twice.
        """
        order = np.argsort(-counts, kind="stable")
        chosen = order[counts[order] >= SEEN][:MOST]
        words = list(self._ids) if self.kind == "words" else []
        found = [words[i] if words else chr(i) for i in chosen]
        names = list(dict.fromkeys([*known, *found]))
        place = {name: i for i, name in enumerate(names, 1)}
        ids = np.zeros(len(self), dtype=np.int64)
        ids[chosen] = [place[name] for name in found]
        for name in known:  # also those too rare to be chosen here
            provisional = self._ids.get(name) if self.kind == "words" else ord(name)
            if provisional is not None:
                ids[provisional] = place[name]
        return names, ids


def split_texts(texts: pl.Series, kind: str) -> tuple[Any, Ids]:
    """All tokens one after another (code points, or a series of words), and how many each text has."""
    if kind == "characters":
        joined = "".join(texts)
        return np.frombuffer(joined.encode("utf-32-le"), dtype="<u4"), texts.str.len_chars().to_numpy().astype(np.int64)
    words = texts.str.to_lowercase().str.extract_all(WORD)
    lengths = words.list.len().to_numpy().astype(np.int64)
    return words.explode(empty_as_null=False), lengths
