"""Refuses a torch or numba that is too old, in a sentence, before any of elman's own modules fails on it."""

import importlib.metadata

import torch

_OLDEST = {"torch": (2, 8), "numba": (0, 62)}  # as in pyproject.toml


def too_old(name: str, version: str) -> str | None:
    """What is said of a version that elman does not work with, or None."""
    oldest = _OLDEST[name]
    if tuple(map(int, version.split(".")[:2])) >= oldest:
        return None
    needed = ".".join(map(str, oldest))
    return f"elman needs {name} {needed} or newer, and found {version}: pip install --upgrade {name}"


VERSIONS = {"torch": torch.__version__, "numba": importlib.metadata.version("numba")}
for _name, _version in VERSIONS.items():
    if (_refused := too_old(_name, _version)) is not None:
        raise ImportError(_refused)
