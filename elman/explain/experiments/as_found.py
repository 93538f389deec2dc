"""A module is left as it was found: its values, attributes, modes and hooks, and the generators of random numbers."""

import contextlib
import random
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from elman.nn.stream import Stream

Restore = Callable[[], object]
_LEFT_ALONE = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType, torch.dtype, torch.device)
_DEPTH = 6  # how far an attribute's containers and helper objects are followed


class Snapshot:
    """Everything a module holds, and everything that its attributes hold.

    Args:
        model: the module; its submodules are kept too.
    """

    def __init__(self, model: nn.Module) -> None:
        self._restores: list[Restore] = []
        self._rewinds: list[Restore] = []
        self._seen: dict[int, object] = {}
        self._keep(model, 0)

    @property
    def tensors(self) -> list[Tensor]:
        """All that it found, each before its gradient."""
        found = [value for value in self._seen.values() if isinstance(value, Tensor)]
        return [one for tensor in found for one in (tensor, tensor.grad if tensor.is_leaf else None) if one is not None]

    def restore(self) -> None:
        """Puts it all back, into the same objects."""
        for put_back in self._restores:
            put_back()
        self.rewind()

    def rewind(self) -> None:
        """Puts back the generators of random numbers that the module holds, and nothing else."""
        for put_back in self._rewinds:
            put_back()

    def _keep(self, value: object, depth: int) -> None:
        if id(value) in self._seen or isinstance(value, _LEFT_ALONE):
            return
        self._seen[id(value)] = value
        if isinstance(value, Tensor):
            self._keep_tensor(value)
            return
        if isinstance(value, torch.jit.ScriptModule):  # what it holds lies in C++
            for tensor in (*value.parameters(), *value.buffers()):
                self._keep(tensor, depth)
            self._keep_mode(value)
            return
        if isinstance(value, Stream):  # what else it has follows from its layer and its state
            self._keep(value._rnn, depth)
            self._restores.append(partial(setattr, value, "state", value.state))
            return
        if isinstance(value, torch.Generator | numpy.random.Generator | random.Random):
            self._keep_generator(value)
            return
        if isinstance(value, nn.Module):
            depth = 0
        elif depth > _DEPTH:
            return
        if isinstance(value, dict):
            self._keep_items(value, dict(value), depth)
        elif isinstance(value, list | set | deque):
            self._keep_elements(value, depth)
        elif isinstance(value, tuple):
            for part in value:
                self._keep(part, depth + 1)
        if hasattr(value, "__dict__"):
            self._keep_items(vars(value), dict(vars(value)), depth)

    def _keep_tensor(self, tensor: Tensor) -> None:
        if is_lazy(tensor):
            raise ValueError(
                "The model has parameters without a shape yet (a lazy module): call it once before elman.doctor."
            )
        values, gradient, asks = tensor.detach().clone(), tensor.grad if tensor.is_leaf else None, tensor.requires_grad
        if gradient is not None:
            self._keep_tensor(gradient)

        def restore() -> None:
            if tensor.shape != values.shape:
                tensor.data = values.clone()
            elif not torch.equal(tensor.detach(), values):
                with torch.no_grad():  # counted as a write, so that whoever keeps something made of it can tell
                    tensor.copy_(values)
            if tensor.is_leaf and not tensor.is_inference():
                tensor.grad = gradient
                tensor.requires_grad_(asks)

        self._restores.append(restore)

    def _keep_generator(self, generator: torch.Generator | numpy.random.Generator | random.Random) -> None:
        if isinstance(generator, torch.Generator):
            self._rewinds.append(partial(generator.set_state, generator.get_state()))
        elif isinstance(generator, random.Random):
            self._rewinds.append(partial(generator.setstate, generator.getstate()))
        else:
            bits, state = generator.bit_generator, generator.bit_generator.state
            self._rewinds.append(lambda: setattr(bits, "state", state))

    def _keep_mode(self, module: nn.Module) -> None:
        mode = module.training

        def restore() -> None:
            module.train(mode)

        self._restores.append(restore)

    def _keep_items(self, items: dict[Any, Any], kept: dict[Any, Any], depth: int) -> None:
        def restore() -> None:
            if list(items) != list(kept) or any(items[key] is not value for key, value in kept.items()):
                items.clear()
                items.update(kept)

        self._restores.append(restore)
        for value in kept.values():
            self._keep(value, depth + 1)

    def _keep_elements(self, elements: Any, depth: int) -> None:
        kept = list(elements)

        def restore() -> None:
            if len(elements) != len(kept) or any(a is not b for a, b in zip(elements, kept, strict=True)):
                elements.clear()
                (elements.update if isinstance(elements, set) else elements.extend)(kept)

        self._restores.append(restore)
        for value in kept:
            self._keep(value, depth + 1)


@contextlib.contextmanager
def generators_left_alone() -> Iterator[None]:
    """Within the block random numbers may be drawn; after it Python's, numpy's and torch's generators are as before."""
    python, numpys = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            numpy.random.set_state(numpys)


def seed_generators(seed: int = 0) -> None:
    """The same random numbers for every run."""
    random.seed(seed)
    numpy.random.seed(seed)
    torch.default_generator.manual_seed(seed)
