"""Who is better, in words that go with the numbers."""

import math
from collections.abc import Mapping


def standing(
    own: float, others: Mapping[str, float], *, same: Mapping[str, float], lower: bool
) -> tuple[str, str | None]:
    """How a model stands beside others, and which of those is the best that is better. Who has NaN stands nowhere.

    Args:
        own: the model's measure.
        others: theirs, by name.
        same: by name, the difference that counts as none.
        lower: whether lower is better.

    Example:
        >>> standing(0.37, {"counts": 0.57, "always a": 0.1}, same={"counts": 0.01, "always a": 0.01}, lower=False)
        ('better than always a; worse than counts', 'counts')
    """
    ahead = {name: (other - own) * (1 if lower else -1) for name, other in others.items()}
    better = [name for name, by in ahead.items() if by > same[name]]
    worse = [name for name, by in ahead.items() if by < -same[name]]
    unknown = [name for name, by in ahead.items() if math.isnan(by)]
    equal = [name for name in others if name not in better + worse + unknown]
    whose = "its own measure is NaN" if math.isnan(own) else "there the measure is NaN"
    kinds = (
        ("better than", better, ""),
        ("as good as", equal, ""),
        ("worse than", worse, ""),
        ("not comparable with", unknown, f" ({whose})"),
    )
    says = "; ".join(f"{what} {' and '.join(names)}{why}" for what, names, why in kinds if names)
    return says, min(worse, key=ahead.__getitem__) if worse else None
