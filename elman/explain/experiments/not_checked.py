"""Why an experiment is not made."""


class NotChecked(Exception):
    """An experiment cannot be made on this model with this input; the message says why."""
