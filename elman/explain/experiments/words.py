"""How the doctor's sentences list things."""

from collections.abc import Sequence

MOST = 6


def listed(items: Sequence[object], one: str = "") -> str:
    """1, 2 and 3; with a word before: samples 1, 2 and 3; long lists are cut short."""
    said = [str(item) for item in items[:MOST]]
    if len(items) > MOST:
        text = f"{', '.join(said)} and {len(items) - MOST} more"
    else:
        text = " and ".join(filter(None, [", ".join(said[:-1]), said[-1]])) if said else "none"
    return f"{one}{'s' if len(items) > 1 else ''} {text}" if one else text
