"""What torch's counter of operations is told of operators: as soon as it is imported, not before.

A CUDA build without triton warns of that import, so elman leaves it to who counts.
"""

import importlib.abc
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_COUNTER = "torch.utils.flop_counter"


def register(formulas: Mapping[Any, Callable[..., int]]) -> None:
    """The formulas of operators, which are asked with shapes in the places of tensors."""

    def tell(counter: Any) -> None:
        for operator, formula in formulas.items():
            counter.register_flop_formula(operator)(formula)

    if _COUNTER in sys.modules:
        tell(sys.modules[_COUNTER])
    else:
        sys.meta_path.insert(0, _WhenImported(tell))


class _WhenImported(importlib.abc.MetaPathFinder):
    """Does something with the counter's module once it is there."""

    def __init__(self, then: Callable[[ModuleType], None]) -> None:
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _COUNTER:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_tell(module: ModuleType) -> None:
            execute(module)
            sys.meta_path.remove(self)
            self._then(module)

        loader.exec_module = execute_and_tell
        return spec
