"""The processes that train together: one alone, or several under `torchrun` or `accelerate launch`.

Every process computes its share of the rows of the same batches, so the losses are those of one process, within
rounding. Two classes with the same methods: `Alone` costs nothing and imports nothing; `Launched` is Hugging Face
Accelerate. Alone is not Accelerate with one process, because that would cost each command 0.7 s of imports.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from elman.tasks.errors import UserError
from elman.tasks.training.adam import BETAS, EPS, Adam, Optimizer, clip
from elman.tasks.training.environment import launched


@dataclass(frozen=True)
class Share:
    """Part `index` of `count` equal parts of every batch's rows.

    Example:
        >>> Share(1, 2).rows(5), Share().rows(5)
        (slice(2, 5, None), slice(0, 5, None))
    """

    index: int = 0
    count: int = 1

    def rows(self, batch: int) -> slice:
        """The rows of a batch that are in this part."""
        return slice(batch * self.index // self.count, batch * (self.index + 1) // self.count)


WHOLE = Share()


class Processes(Protocol):
    """What the training loop asks of its processes."""

    first: bool  # whether this is the one that writes
    share: Share  # of what is measured
    shares: int  # into which every batch is cut
    look: int  # steps from one moment at which the processes agree on something to the next

    def prepare(self, model: nn.Module, lr: float) -> tuple[Callable[..., Any], Optimizer]:
        """The model's forward and Adam, as this way of training needs them."""

    def parts(self) -> Iterator[Share]:
        """The shares of a batch that this process computes one after another; the last one makes the step."""

    def backward(self, loss: Tensor) -> None:
        """Gradients of a part's loss, where the parts' losses add up to the batch's."""

    def clip(self, parameters: list[nn.Parameter], norm: float) -> None:
        """Limit the norm of the gradients, if this part makes the step."""

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors."""

    def agree(self, flag: bool) -> bool:
        """Whether any process says so."""

    def on_first(self, work: Callable[[], None]) -> None:
        """Do something on the first process while the others wait; where it fails, all fail."""

    def facts(self) -> dict[str, Any]:
        """What a checkpoint has to keep of this way of training."""

    def take(self, facts: dict[str, Any]) -> None:
        """Go on from what `facts` returned."""

    def close(self) -> None:
        """Training is over; from here on each process is on its own."""


class Alone:
    """One process."""

    first = True
    share = WHOLE
    shares = 1
    look = 1

    def prepare(self, model: nn.Module, lr: float) -> tuple[Callable[..., Any], Optimizer]:
        """The model as it is, and the light Adam."""
        return model, Adam(model.parameters(), lr)

    def parts(self) -> Iterator[Share]:
        """The whole batch."""
        yield WHOLE

    def backward(self, loss: Tensor) -> None:
        """BPTT."""
        loss.backward()  # type: ignore[no-untyped-call]

    def clip(self, parameters: list[nn.Parameter], norm: float) -> None:
        """Limit the norm of the gradients."""
        clip(parameters, norm)

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor

    def agree(self, flag: bool) -> bool:
        """The flag itself."""
        return flag

    def on_first(self, work: Callable[[], None]) -> None:
        """Do it."""
        work()

    def facts(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def take(self, facts: dict[str, Any]) -> None:
        """Nothing to take."""

    def close(self) -> None:
        """Nothing to close."""


class Launched:
    """Accelerate's processes, each with its part of every batch; also one process with mixed precision.

    Dropout masks are drawn for the whole batch in every process, from the same random state, and each keeps its rows.
    """

    look = 8

    def __init__(self, device: torch.device) -> None:
        from accelerate import Accelerator

        self.accelerator = Accelerator(cpu=device.type == "cpu")
        index, count = self.accelerator.process_index, self.accelerator.num_processes
        self.first = self.accelerator.is_main_process
        self.share = Share(index, count)
        pieces = self.accelerator.gradient_accumulation_steps
        self.shares = count * pieces
        self._parts = [Share(index * pieces + piece, self.shares) for piece in range(pieces)]

    def prepare(self, model: nn.Module, lr: float) -> tuple[Callable[..., Any], Optimizer]:
        """DistributedDataParallel, under autocast if asked for, and torch's Adam, which Accelerate can scale."""
        adam = torch.optim.Adam(model.parameters(), lr=lr, betas=BETAS, eps=EPS, fused=True)
        self._model, prepared = self.accelerator.prepare(model, adam)
        return self._model, prepared

    def parts(self) -> Iterator[Share]:
        """This process's shares, which all draw the same random numbers."""
        device = self.accelerator.device
        devices = [device] if device.type == "cuda" else []
        for share in self._parts:
            last = share is self._parts[-1]
            # every part starts from the random state of the step; the last one hands its own on to the next step
            keep: AbstractContextManager[None] = nullcontext() if last else torch.random.fork_rng(devices)
            with keep, self.accelerator.accumulate(self._model):
                yield share

    def backward(self, loss: Tensor) -> None:
        """Accelerate takes the mean over processes and parts, so the sum needs their number."""
        self.accelerator.backward(loss * self.shares)

    def clip(self, parameters: list[nn.Parameter], norm: float) -> None:
        """Limit the norm of the whole batch's gradients."""
        if self.accelerator.sync_gradients:
            self.accelerator.clip_grad_norm_(parameters, norm)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors."""
        total: Tensor = self.accelerator.reduce(tensor, "sum")
        return total

    def agree(self, flag: bool) -> bool:
        """Whether any process says so."""
        return bool(self.sum(torch.tensor(float(flag), device=self.accelerator.device)) > 0)

    def on_first(self, work: Callable[[], None]) -> None:
        """Do it on the first process; its expected errors are raised in all."""
        from accelerate.utils import broadcast_object_list

        message: list[str | None] = [None]
        error: UserError | None = None
        if self.first:
            try:
                work()
            except UserError as raised:
                error, message = raised, [str(raised)]
        broadcast_object_list(message)
        if error is not None:
            raise error
        if message[0] is not None:
            raise UserError(message[0])

    def facts(self) -> dict[str, Any]:
        """The scale of float16's gradients."""
        scaler = self.accelerator.scaler
        return scaler.state_dict() if scaler is not None else {}

    def take(self, facts: dict[str, Any]) -> None:
        """Go on with this scale."""
        if self.accelerator.scaler is not None and facts:
            self.accelerator.scaler.load_state_dict(facts)

    def close(self) -> None:
        """Leave the group of processes."""
        self.accelerator.end_training()


def find_processes(device: torch.device) -> Processes:
    """How this process trains."""
    return Launched(device) if launched() else Alone()
