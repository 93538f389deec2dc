"""Why an experiment is not made."""

from elman.explain._language import say
from elman.explain.experiments.call import Call


class NotChecked(Exception):
    """An experiment cannot be made on this model with this input; the message says why."""


class Refused(NotChecked):
    """The model, or autograd on its way through it, raised."""

    def __init__(self, error: Exception) -> None:
        kind = type(error).__name__
        super().__init__(say(f"the model raised {kind}: {error}", f"모델에서 오류가 났습니다. {kind}: {error}"))
        self.error = error


def require_steps(call: Call) -> None:
    """Raises where sequences have not three steps that can be changed as they are given."""
    if call.longest < 3 or call.values is not call.sequences:
        raise NotChecked(say("the sequences have no three steps or more", "시퀀스가 세 시점보다 짧습니다"))
