"""What a task is to the training loop: a model, losses step by step, and a measure on held-out data."""

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from elman.tasks.settings import ModelSettings
from elman.tasks.training.modules import SteadyDropout
from elman.tasks.training.processes import WHOLE, Share


class Task:
    """Base of the tasks.

    The loop sets `share` before it asks for a loss or a measure: this process's part of the rows.

    Args:
        model: what is trained, on its device.
        batch: rows of one step's batch, over all processes.
    """

    data: ClassVar[str] = "data"  # what an epoch goes through
    units: ClassVar[str]  # what a step trains on, in full
    unit: ClassVar[str]  # what the progress bar counts
    measured_on: str  # what `evaluate` measures on
    measure: ClassVar[str]  # the name of what `evaluate` returns and `score` turns a loss into; lower is better
    begins_useful: ClassVar[bool] = False  # whether the untrained model is worth measuring
    settings: ModelSettings
    units_per_step: int
    steps_per_epoch: int

    def __init__(self, model: nn.Module, batch: int) -> None:
        self.model, self.batch = model, batch
        self.dropouts = [module for module in model.modules() if isinstance(module, SteadyDropout)]
        self.device = next(model.parameters()).device
        self.share = WHOLE
        self.forward: Callable[..., Any] = model  # what `loss` calls in place of the model
        self.sum: Callable[[Tensor], Tensor] = lambda tensor: tensor  # over all processes

    @property
    def share(self) -> Share:
        """The part of the rows that is computed."""
        return self._share

    @share.setter
    def share(self, share: Share) -> None:
        self._share = share
        for dropout in self.dropouts:
            dropout.share, dropout.batch = share, self.batch

    def loss(self, step: int) -> Tensor:
        """The share's part of the mean loss on the batch of `step`, counted from 0; steps are asked for in order.

        The parts of all shares add up to the mean loss of the batch.
        """
        raise NotImplementedError

    def score(self, loss: float) -> float:
        """A training loss as the task's measure."""
        return loss

    def evaluate(self) -> float:
        """The measure on held-out data, of all shares; the model is in eval mode and no gradients are recorded."""
        raise NotImplementedError

    def carried(self) -> dict[str, Tensor]:
        """What the next step needs of the last one, a recurrent state for instance; zero outside of the share."""
        return {}

    def carry(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `carried` returned."""
