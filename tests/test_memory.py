"""What is replaced between forward and backward, on every way in: torch's gradients or its exception, never a crash.

Beside torch.nn.RNN after the same replacement (memory_cases.py), and calls that are wrong (memory_misuse.py). They run
in a process of their own, since what they look for ends it.
"""

from pathlib import Path

import memory_cases
import memory_misuse
from children import FINE, ask

PROGRAM = Path(memory_cases.__file__)
MANY = [f"misuse: {name}" for name in memory_misuse.NAMES]


def wrong(lines: list[str]) -> str:
    found = [f"{line}: {said}" for line, said in ask([PROGRAM, "--child"], lines, 300) if said != FINE]
    return "\n".join([f"{len(found)} of {len(lines)}", *found]) if found else ""


def test_replacements_give_torchs_gradients_or_its_exception() -> None:
    """`python tests/memory_cases.py 2000 1` takes many."""
    assert not wrong(memory_cases.lines(200, 1))


def test_what_is_wrong_is_refused() -> None:
    assert not wrong(MANY)
