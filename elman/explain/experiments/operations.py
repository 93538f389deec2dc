"""The operations that a model's code makes on tensors, one after another, and the line of code that makes each."""

import linecache
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from elman.explain._language import say

MOST_BYTES = 2**27  # of copies that one run keeps; a large model's later operations are not seen
MOST_OPERATIONS = 20_000

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent.parent.parent)
_LOOKED_AT = {"__get__", "size", "dim", "numel", "stride", "is_floating_point", "is_complex", "item", "tolist"}
"""What makes no tensor out of tensors."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation.

    Args:
        name: torch's name of it, "softmax" for instance.
        code: the expression that made it, as it stands in the source; "" where there is none.
        line: the file and the line.
        owner: the module whose forward it stands in, if that can be told.
        inputs: copies of the tensors that went in.
        outputs: copies of those that came out; what is written to counts as coming out.
        read: the identities of what went in.
        made: the identities of what came out.
    """

    name: str
    code: str
    line: str
    owner: nn.Module | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    read: tuple[int, ...]
    made: tuple[int, ...]

    @property
    def place(self) -> str:
        """The expression and where it stands, for a sentence."""
        if not self.code:
            return f"`{self.name}`"
        return say(f"`{self.code}` ({self.line})", f"`{self.code}`({self.line})")


class Operations(TorchFunctionMode):
    """Within the block, every operation on tensors is noted.

    What happens inside of a recurrent layer counts as one, between `enter` and `leave`, which are hooks for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[Operation] = []
        self.results: dict[str, Tensor] = {}  # what the model returned at the end
        self.looked_at: set[int] = set()  # the identities of tensors that Python looked at: a condition, a shape
        self._alive: list[Any] = []  # an identity means something only while its object lives
        self._bytes, self._inside = 0, 0
        self._given: list[tuple[list[Tensor], tuple[Tensor, ...]]] = []

    def tensor(self, identity: int) -> Tensor:
        """The tensor itself that an operation read or made, on its graph where autograd recorded."""
        found: Tensor = next(one for one in self._alive if id(one) == identity)
        return found

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the layer's forward."""
        self._inside += 1
        given = _tensors((args, kwargs))
        self._given.append((given, tuple(map(self._copied, given))))

    def leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """After it."""
        given, inputs = self._given.pop()
        if self._inside == 1:
            self._note(type(module).__name__, given, inputs, _tensors(output))
        self._inside -= 1

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self._inside or self._bytes > MOST_BYTES or len(self.noted) >= MOST_OPERATIONS:
            return func(*args, **kwargs)
        given = _tensors((args, kwargs))
        if name in _LOOKED_AT or (name.startswith("is_") and not name.startswith("is_in")):
            self.looked_at |= set(map(id, given))
            return func(*args, **kwargs)
        inputs = tuple(map(self._copied, given))
        returned = func(*args, **kwargs)
        results = _tensors(returned)
        if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")):
            results = [given[0]] if given else []
        if results:
            self._note(name, given, inputs, results)
        else:
            self.looked_at |= set(map(id, given))
        return returned

    def _note(self, name: str, given: list[Tensor], inputs: tuple[Tensor, ...], results: list[Tensor]) -> None:
        code, line, owner = source()
        self._alive += [*given, *results]
        outputs = tuple(map(self._copied, results))
        made = tuple(map(id, results))
        self.noted.append(Operation(name, code, line, owner, inputs, outputs, tuple(map(id, given)), made))

    def _copied(self, tensor: Tensor) -> Tensor:
        copy = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
        copy = copy.clone()
        self._bytes += copy.element_size() * copy.numel()
        return copy


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor) and not isinstance(leaf, nn.Parameter)]


def source() -> tuple[str, str, nn.Module | None]:
    """The innermost code that is neither torch's nor elman's: its expression, its line, and the module it is in."""
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_HERE) and "experiments" in file and not file.endswith("operations.py"):
            return "", "", None  # no code of the user's in between
        if not file.startswith((_TORCH, _HERE)) and not file.startswith("<"):
            owner = frame.f_locals.get("self")
            code = _expression(frame)
            where = f"{Path(file).name}:{frame.f_lineno}"
            if "ipykernel" in file or "ipython" in file:
                where = say(f"line {frame.f_lineno} of the cell", f"셀의 {frame.f_lineno}번째 줄")
            return code, where, owner if isinstance(owner, nn.Module) else None
        frame = frame.f_back
    return "", "", None


def _expression(frame: FrameType) -> str:
    """What is evaluated in a frame just now, as its source says it; its whole line where that takes more than one."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    position = list(frame.f_code.co_positions())[frame.f_lasti // 2] if frame.f_lasti >= 0 else None
    if position is None or None in position or position[0] != position[1]:
        return line
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).encode()
    return text[position[2] : position[3]].decode() or line
