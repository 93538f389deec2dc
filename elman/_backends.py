"""What can run a layer: the table of backends, and the choice among them."""

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from elman._usual import KERNEL_DTYPES, PLAIN
from elman.kernels._old_problem import Problem


class Kernels(Protocol):
    """The two functions of a backend."""

    def rnn_forward(
        self, problem: Problem, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]: ...

    def rnn_backward(
        self,
        problem: Problem,
        x: Tensor,
        h0: Tensor | None,
        weights: Sequence[Tensor],
        saved: Sequence[Tensor | None],
        d_output: Tensor | None,
        d_h_n: Tensor | None,
        needs: tuple[bool, ...],
        groups: int | None = None,  # which elman's kernels alone take
    ) -> list[Tensor | None]: ...


class Backend(NamedTuple):
    """One line of the table."""

    name: str
    module: str
    differentiable: bool
    """Whether autograd goes through rnn_forward by itself. If not, rnn_backward stands in."""
    requires: str | None
    """A package without which it is not available."""
    summary: str

    def unavailable(self) -> str | None:
        """Why it cannot be used here, or None."""
        if self.requires is None or _installed(self.requires):
            return None
        return f"the package {self.requires} is not installed"

    def kernels(self) -> Kernels:
        """Its functions, loaded when first used."""
        return cast(Kernels, _module(self.module))


_module = functools.cache(importlib.import_module)


@functools.cache
def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


_TABLE = {
    backend.name: backend
    for backend in (
        Backend("numba", "elman.kernels.numba_cpu.launch", False, "numba", "elman's kernels for the CPU"),
        Backend("torch", "elman.kernels._old_native", True, None, "torch's own operators"),
        Backend("reference", "elman.kernels._old_reference", True, None, "the definition, a loop over time"),
    )
}
_asked: ContextVar[str | None] = ContextVar("elman_backend", default=None)
_transforms_active = torch._C._are_functorch_transforms_active
_any_autocast = torch._C._is_any_autocast_enabled
_dispatch_modes, _tracing_state = torch._C._len_torch_dispatch_stack, torch._C._get_tracing_state
_TRANSFORMED = "a torch.func transform is active"


def backends() -> dict[str, str]:
    """The backends by name, each with "available" or why it is not.

    Example:
        >>> import elman
        >>> elman.backends()["reference"]
        'available'
    """
    return {name: backend.unavailable() or "available" for name, backend in _TABLE.items()}


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Within the block every elman layer of this thread (or task) runs on the backend `name`, or raises.

    Without it elman chooses: its own kernels ("numba") for float32 and float64 on the CPU, torch's operators elsewhere.

    Args:
        name: "numba", "torch" or "reference".

    Raises:
        ValueError: there is no backend of that name.
        RuntimeError: it is not available here, or a layer is called with something it cannot do.

    Example:
        >>> import elman, torch
        >>> rnn = elman.RNN(3, 4)
        >>> with elman.use_backend("reference"):
        ...     output, h_n = rnn(torch.ones(5, 2, 3))
        >>> output.shape
        torch.Size([5, 2, 4])
    """
    if name not in _TABLE:
        raise ValueError(f"Unknown backend '{name}'. Select from {', '.join(map(repr, _TABLE))}.")
    if reason := _TABLE[name].unavailable():
        raise RuntimeError(f"Backend '{name}' is not available: {reason}.")
    token = _asked.set(name)
    try:
        yield
    finally:
        _asked.reset(token)


def nothing_is_asked() -> bool:
    """Whether elman's kernels run what they can: no mode or transform is active, and no other backend asked for."""
    return mode_obstacle() is None and _asked.get() in (None, "numba") and not _any_autocast()


def own_kernels() -> Kernels | None:
    """elman's kernels, where they are there and nothing is asked: for a usual call `choose` would take them too."""
    return _available_kernels() if nothing_is_asked() else None


@functools.cache
def _available_kernels() -> Kernels | None:
    numba = _TABLE["numba"]
    return None if numba.unavailable() else numba.kernels()


def asked_backend() -> str | None:
    """The name that use_backend was given, if this runs inside its block."""
    return _asked.get()


def choose(problem: Problem, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]) -> tuple[Backend, str]:
    """The backend for this call, and why. One asked for by name is taken or raises."""
    asked = asked_backend()
    if asked is None:
        obstacle = numba_obstacle(x, h0, weights)
        if obstacle is None:
            return _TABLE["numba"], "float32 or float64 on the CPU"
        if _torch_obstacle(problem, x) is None:
            return _TABLE["torch"], obstacle
        return _TABLE["reference"], f"{obstacle}; {_torch_obstacle(problem, x)}"
    obstacle = None
    if asked == "numba":
        obstacle = numba_obstacle(x, h0, weights)
    elif asked == "torch":
        obstacle = _torch_obstacle(problem, x)
    if obstacle is not None:
        raise RuntimeError(f"Backend '{asked}' was asked for, and it cannot run this call: {obstacle}.")
    return _TABLE[asked], "asked for by use_backend"


def runs_below_transforms(problem: Problem, x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]) -> bool:
    """Whether elman's kernels can run this call once the active torch.func transforms have done their part."""
    if problem.batch_sizes is not None:  # packed rows have no batch axis to fold into
        return False
    return asked_backend() in (None, "numba") and numba_obstacle(x, h0, weights) == _TRANSFORMED


def numba_obstacle(x: Tensor, h0: Tensor | None, weights: Sequence[Tensor]) -> str | None:
    """Why elman's kernels cannot run this call, or None."""
    kinds = {type(x), *map(type, weights)} if h0 is None else {type(x), type(h0), *map(type, weights)}
    if not kinds <= PLAIN:
        return f"a {(kinds - PLAIN).pop().__name__} is no plain tensor"
    if not x.is_cpu:
        return f"the tensors are on {x.device}"
    if x.dtype not in KERNEL_DTYPES:
        return f"it has no kernels for {x.dtype}"
    return _TABLE["numba"].unavailable() or mode_obstacle()


def mode_obstacle() -> str | None:
    """Why elman's kernels may not run now, whatever the call; or None."""
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is active"
    if _dispatch_modes() > 0:
        return "a TorchDispatchMode wants to see torch's operators"
    if _tracing_state() is not None:
        return "torch.jit.trace wants to see torch's operators"
    return _TRANSFORMED if _transforms_active() else None


def _torch_obstacle(problem: Problem, x: Tensor) -> str | None:
    """Why torch's operators cannot run this call, or None."""
    if problem.reset is not None:
        return "torch's operators know no reset"
    if x.shape[0] == 0:
        return "torch's operators refuse T = 0"
    if torch._C._are_functorch_transforms_active():
        return "torch's operators fail under vmap"
    return None
