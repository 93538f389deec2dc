"""One kind of progress bar for everything that takes long."""

import sys
from typing import Any

from tqdm import tqdm

REFRESH = 0.2  # seconds, on a terminal
SELDOM = 10.0  # seconds, into a file or a pipe, where each state of the bar stays


def progress_bar(*, shown: bool, **options: Any) -> Any:
    """A tqdm bar on stderr with these options of tqdm's."""
    interval = REFRESH if sys.stderr.isatty() else SELDOM
    return tqdm(unit_scale=True, miniters=1, mininterval=interval, dynamic_ncols=True, disable=not shown, **options)
