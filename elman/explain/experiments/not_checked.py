"""Why an experiment is not made."""

from elman.explain._language import say
from elman.explain.experiments.call import Call


class NotChecked(Exception):
    """An experiment cannot be made on this model with this input; the message says why."""


def require_steps(call: Call) -> None:
    """Raises where sequences have not three steps that can be changed as they are given."""
    if call.longest < 3 or call.values is not call.sequences:
        raise NotChecked(say("the sequences have no three steps or more", "시퀀스가 세 시점보다 짧습니다"))
