"""One example's sequence and its label, checked value by value."""

import json
import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from elman.tasks.errors import DataError
from elman.tasks.files.arrays import LARGEST
from elman.tasks.settings import is_number

Numbers = npt.NDArray[np.float64]  # (T, F)


def require_unicode(text: str, where: str) -> None:
    """Raise unless a text can be written as UTF-8: a lone surrogate, half of a character, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where} holds {text[error.start]!r}, a lone surrogate, which is no character") from error


def as_numbers(sequence: Any, where: str, features: int | None) -> Numbers:
    """A JSON value as (T, F), checked number by number."""
    if not isinstance(sequence, list) or not sequence:
        raise DataError(f"{where}: the sequence must be a list with at least one number, not {shortened(sequence)}")
    rows = sequence if isinstance(sequence[0], list) else [[value] for value in sequence]
    width = len(rows[0]) if features is None else features
    for step, row in enumerate(rows):
        if not isinstance(row, list):
            raise DataError(f"{where}: sequence[{step}] is {shortened(row)} where a list of {width} numbers is needed")
        if len(row) != width or not width:
            raise DataError(
                f"{where}: step {step} of the sequence has {len(row)} numbers where {width or 1} are needed"
            )
        for value in row:
            if is_number(value) and abs(value) < LARGEST:
                continue
            large = f"too large a number: models compute in float32, up to {LARGEST:.0e}"
            why = large if is_number(value) else "no finite number"
            raise DataError(f"{where}: step {step} of the sequence holds {shortened(value)}, {why}")
    return np.array(rows, dtype=np.float64)


def as_label(value: Any, where: str) -> str:
    """A JSON value as the name of a class: 1.0 is the number 1.

    Example:
        >>> as_label(1, "line 1"), as_label(1.0, "line 2"), as_label(0.5, "line 3"), as_label(True, "line 4")
        ('1', '1', '0.5', 'true')
    """
    if isinstance(value, str) and value.strip():
        require_unicode(value, where)
        return value.strip()
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        return json.dumps(int(value) if whole else value)
    raise DataError(f"{where}: the label must be a text or a number, not {shortened(value)}")


def looks(value: Any, name: str) -> set[str]:
    """How a label of this name is written: 1.0 as 1 too."""
    return {name, json.dumps(value)} if isinstance(value, float) else {name}


def as_now(label: str) -> str:
    """What a label of a run of an older version is called now, if it is a number: 1.0 was not the number 1 there.

    Example:
        >>> as_now("1.0"), as_now("-0.0"), as_now("0.5")
        ('1', '0', '0.5')
    """
    return as_label(float(label), "") if re.fullmatch(r"-?\d+\.0", label) else label


def shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 40 else f"{text[:37]}..."
