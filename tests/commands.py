"""Run the command line in the test's own process."""

import pytest

from elman import cli


def exit_code(*arguments: object) -> int:
    """What `elman` with these arguments exits with."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    return int(end.value.code or 0)
