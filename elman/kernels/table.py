"""The backends: what there is, why one cannot run a call, and the choice among them."""

import contextlib
import functools
import importlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from elman.kernels import moment
from elman.kernels.collection import waiting_collection
from elman.kernels.numba_cpu.obstacle import FAKE
from elman.kernels.numba_cpu.obstacle import obstacle as numba_obstacle
from elman.kernels.problem import Problem, Run
from elman.kernels.torch_native import obstacle as torch_obstacle


class Kernels(Protocol):
    """What the module of a backend holds."""

    def forward(self, problem: Problem, save: bool, checked: bool = False) -> Run:
        """The run, and if `save` what its backward needs. `checked`: the weights are known to fit."""
        ...


class OwnKernels(Kernels, Protocol):
    """The module of a backend through which autograd does not go by itself."""

    OutputChanged: type[Exception]

    def forward_sealed(self, problem: Problem, checked: bool = False, keeps_terms: bool = False) -> tuple[Run, int]:
        """forward, saved, with a seal of the output; given that, backward raises OutputChanged if it was written to.
        `keeps_terms`: whether the gradients at the terms may be asked for, even if no term says so."""
        ...

    def backward(
        self,
        problem: Problem,
        output: Tensor,
        saved: tuple[Tensor | None, ...],
        d_output: Tensor | None,
        d_last: tuple[Tensor | None, ...],
        needs: tuple[bool, ...],
        groups: int | None = None,
        checked: bool = False,
        seal: int | None = None,
    ) -> list[Tensor | None]:
        """The gradients at `problem.inputs`, those that `needs` asks for; of the weights for each of so many groups of
        the batch apart."""
        ...


class Backend(NamedTuple):
    """One line of the table."""

    name: str
    module: str
    differentiable: bool
    """Whether autograd goes through its forward by itself. If not, it has a backward."""
    makes_code: bool
    """Whether it runs machine code that the program makes, which a system may refuse."""
    cannot: Callable[[Problem], str | None]

    def unavailable(self) -> str | None:
        """Why it cannot be used here, or None."""
        return _unusable() if self.makes_code else None

    def obstacle(self, problem: Problem) -> str | None:
        """Why it cannot run this call now, or None."""
        return self.unavailable() or self.cannot(problem)

    @property
    def kernels(self) -> OwnKernels:
        """Its functions, loaded when first used."""
        return _module(self.module)


_module: Callable[[str], OwnKernels] = functools.cache(importlib.import_module)


def _machine_code() -> Any:
    with waiting_collection():
        return importlib.import_module(_MACHINE_CODE)


@functools.cache
def _unusable() -> str | None:
    return _machine_code().unusable()  # type: ignore[no-any-return]


@functools.cache
def _slower() -> str | None:
    return _machine_code().slower()  # type: ignore[no-any-return]


@functools.cache
def _torch_from() -> int | None:
    """The variable ELMAN_TORCH_FROM: the hidden size from which on torch's operators are chosen."""
    asked = os.environ.get("ELMAN_TORCH_FROM")
    if asked and not asked.isdecimal():
        raise ValueError(f"ELMAN_TORCH_FROM is a hidden size, such as 512, not {asked}")
    return int(asked) if asked else None


def _not_chosen(problem: Problem) -> str | None:
    """Why elman's kernels are not chosen for a call that they can run, or None."""
    least = _torch_from()
    if least is not None and problem.hidden_size >= least:
        return f"ELMAN_TORCH_FROM gives layers of {least} hidden units and more to torch"
    return _slower()


def _none(problem: Problem) -> None:
    return None


_TABLE = {
    backend.name: backend
    for backend in (
        Backend("numba", "elman.kernels.numba_cpu.api", False, True, numba_obstacle),
        Backend("torch", "elman.kernels.torch_native", True, False, torch_obstacle),
        Backend("reference", "elman.kernels.reference.loop", True, False, _none),
    )
}
OWN = _TABLE["numba"]
"""elman's own kernels."""
_MACHINE_CODE = "elman.kernels.numba_cpu.compile.machine_code"  # imports llvmlite
ASKED: ContextVar[Backend | None] = ContextVar("elman_backend", default=None)
"""What use_backend asks for."""


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
    The way back runs on what forward ran on, in and out of the block.

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
    token = ASKED.set(_TABLE[name])
    try:
        yield
    finally:
        ASKED.reset(token)


def asked() -> Backend | None:
    """What use_backend asks for, if this runs inside its block."""
    return ASKED.get()


def nothing_is_asked() -> bool:
    """Whether elman's kernels run what they can: no mode or transform is active, and no other backend asked for."""
    return moment.obstacle() is None and ASKED.get() in (None, OWN) and not torch._C._is_any_autocast_enabled()


def own_kernels() -> Backend | None:
    """elman's own, where they are there and nothing is asked: for a usual call `choose` would take them too."""
    return _own(ASKED.get() is OWN) if nothing_is_asked() else None


@functools.cache
def _own(by_name: bool) -> Backend | None:
    chosen = by_name or (_slower() is None and _torch_from() is None)
    return OWN if OWN.unavailable() is None and chosen else None


def choose(problem: Problem) -> tuple[Backend, str]:
    """The backend for this call, and why. One asked for by name is taken or raises."""
    backend = ASKED.get()
    if backend is not None:
        if (obstacle := backend.obstacle(problem)) is not None:
            raise RuntimeError(f"Backend '{backend.name}' was asked for, and it cannot run this call: {obstacle}.")
        return backend, "asked for by use_backend"
    reasons: list[str] = []
    for backend in _TABLE.values():
        obstacle = backend.obstacle(problem)
        if obstacle is None and backend is OWN:
            obstacle = _not_chosen(problem)
        if obstacle is None:
            return backend, "; ".join(reasons) or "float32 or float64 on the CPU"
        reasons.append(obstacle)
    raise RuntimeError(f"No backend can run this call: {'; '.join(reasons)}.")


def runs_later(problem: Problem) -> bool:
    """Whether elman's kernels can run this call once the transform or mode that is active now has done its part."""
    if ASKED.get() not in (None, OWN) or OWN.unavailable() is not None:
        return False
    return OWN.cannot(problem) in (*moment.PASSING, FAKE)
