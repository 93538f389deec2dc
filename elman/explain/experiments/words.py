"""How the doctor's sentences list things."""

from collections.abc import Sequence

from elman.explain._language import say, spoken

MOST = 6


def listed(items: Sequence[object], one: str = "") -> str:
    """1, 2 and 3; with a word before: samples 1, 2 and 3; long lists are cut short."""
    said = [str(item) for item in items[:MOST]]
    if not said:
        text = say("none", "없음")
    elif len(items) > MOST:
        left = len(items) - MOST
        text = say(f"{', '.join(said)} and {left} more", f"{', '.join(said)} 외 {left}개")
    elif spoken() == "ko":
        text = ", ".join(said)
    else:
        text = " and ".join(filter(None, [", ".join(said[:-1]), said[-1]]))
    plural = "s" if len(items) > 1 and spoken() == "en" else ""
    return f"{one}{plural} {text}" if one else text


def samples(items: Sequence[object]) -> str:
    """sample 1, samples 1 and 2; 샘플 1, 2."""
    return listed(items, say("sample", "샘플"))
