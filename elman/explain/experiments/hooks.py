"""Contexts in which hooks of torch's are registered on modules."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

Setting = contextlib.AbstractContextManager[Any]
BareHook = Callable[..., Any]


@contextlib.contextmanager
def hooked(
    modules: Sequence[nn.Module], hook: BareHook, *, before: bool = False, with_kwargs: bool = False
) -> Iterator[None]:
    """A context in which a hook is registered, after the modules' calls or before them."""
    handles = []
    try:
        for module in modules:
            register = module.register_forward_pre_hook if before else module.register_forward_hook
            handles.append(register(hook, with_kwargs=with_kwargs))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def both(first: Setting | None, second: Setting) -> Iterator[None]:
    """One context after the other."""
    with first or contextlib.nullcontext(), second:
        yield
