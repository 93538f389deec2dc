"""Notes that this process is a fork, from the moment `import elman` ran: threads of its parent are not there."""

import os

forked = False


def _in_child() -> None:
    global forked
    forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
