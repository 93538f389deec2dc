"""How numbers are written: the same digits in text, figures and the page (assets/numbers.js has the same function)."""

import math
from decimal import ROUND_HALF_UP, Decimal, localcontext

DIGITS = 4
LARGE = 10_000.0


def fixed(value: float) -> str:
    """Four digits after the point, ties away from zero; from 10,000 on as 1.235e+5.

    Example:
        >>> fixed(0.03125), fixed(-0.00001), fixed(123456.0)
        ('0.0313', '0.0000', '1.235e+5')
    """
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    text = _written(value, f".{DIGITS}f" if abs(value) < LARGE else f".{DIGITS - 1}e")
    return text.removeprefix("-") if not text.strip("-0.") else text


def rounded(value: float) -> str:
    """As `fixed`, without the zeros at the end: 0.5 and not 0.5000.

    Example:
        >>> rounded(0.5), rounded(1.0), rounded(-0.12344)
        ('0.5', '1', '-0.1234')
    """
    text = fixed(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def short(value: float) -> str:
    """Three significant digits, for quantities of any size: norms, differences, factors.

    Example:
        >>> short(0.0), short(0.000012345), short(12.34), short(0.5)
        ('0', '1.23e-5', '12.3', '0.5')
    """
    if not math.isfinite(value) or value == 0:
        return "0" if value == 0 else fixed(value)
    mantissa, exponent = _written(value, ".2e").split("e")
    power = int(exponent)
    if not -4 < power < 5:
        return f"{mantissa}e{power}"
    text = _written(value, f".{max(0, 2 - power)}f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _written(value: float, form: str) -> str:
    """Rounded from all of the number's digits, ties away from zero, as JavaScript's toFixed and toExponential."""
    with localcontext(rounding=ROUND_HALF_UP):
        return format(Decimal(value), form)
