"""What is replaced between forward and backward, on every way in: torch's gradients or its exception, never a crash.

Beside torch.nn.RNN after the same replacement (memory_cases.py), calls that are wrong (memory_misuse.py), and gradients
that are differentiated again (memory_again.py). They run in a process of their own, since what they look for ends it.
"""

from pathlib import Path

import memory_again
import memory_cases
import memory_misuse
import pytest
from children import FINE, ask

PROGRAM = Path(memory_cases.__file__)
REPLACED = memory_cases.lines(200, 1)
"""`python tests/memory_cases.py 2000 1` takes many."""
MISUSED = [f"misuse: {name}" for name in memory_misuse.NAMES]
AGAIN = [f"again: {name}" for name in memory_again.NAMES]


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What is said of every case."""
    return dict(ask([PROGRAM, "--child"], [*REPLACED, *MISUSED, *AGAIN], 600))


@pytest.mark.parametrize(
    "lines",
    [REPLACED, MISUSED, AGAIN],
    ids=["replaced: torch's gradients or its exception", "misused", "differentiated again"],
)
def test_nothing_crashes_and_nothing_is_wrong(lines: list[str], said: dict[str, str]) -> None:
    wrong = [f"{line}: {said[line]}" for line in lines if said[line] != FINE]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(lines)}", *wrong])
