"""The labels task: training and measuring on encoded examples."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from elman.tasks.labels.data import CHOOSE, MEASURE, TRAIN, LabelledArrays, epoch_order
from elman.tasks.labels.model import LabelsModel
from elman.tasks.settings import LabelsSettings
from elman.tasks.training.task import Task

STEP_VALUES = 1 << 19  # hidden values in one measuring step
GLIMPSE = 20_000  # examples measured along the way
POWER = {"none": 0.0, "root": 0.5, "balanced": 1.0}  # of a label's number of examples, by which its weight falls


class LabelsTask(Task):
    """Training and measuring on encoded examples.

    Args:
        model: on its device.
        arrays: the encoded examples.
        settings: batch size and class weights.
        seed: of the order of the examples.
    """

    units = "examples"
    measured_on = "the examples to choose the weights by"
    unit = "example"
    measure = "cross entropy"
    model: LabelsModel
    settings: LabelsSettings

    def __init__(self, model: LabelsModel, arrays: LabelledArrays, settings: LabelsSettings, seed: int) -> None:
        self.train = arrays.part(TRAIN)
        super().__init__(model, min(settings.batch_size, len(self.train)))
        self.arrays, self.settings, self.seed = arrays, settings, seed
        self.units_per_step = self.batch
        self.steps_per_epoch = len(self.train) // self.batch
        labels = model.linear.out_features
        counts = np.bincount(arrays.classes[self.train], minlength=labels)
        weights = counts ** -POWER[settings.class_weights]
        weights /= weights[arrays.classes[self.train]].mean()  # 1 for the mean example, so that the step stays as large
        self.weights = torch.tensor(weights, dtype=model.linear.weight.dtype, device=self.device)
        self._epoch = -1
        self._order: npt.NDArray[Any] = np.empty((0, 0), dtype=np.int64)

    def loss(self, step: int) -> Tensor:
        """The share's part of the batch's cross entropy, in nats, each example with the weight of its class.

        With label smoothing e the right label counts 1 - e + e / K, every other one e / K. Without it the model grows
        so sure that its cross entropy on other examples rises while it still learns to tell more of them, and the
        weights were chosen too early. Source: Szegedy et al., "Rethinking the inception architecture", 2016.
        """
        epoch, batch = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order = epoch_order(self.train, self.arrays.lengths, self.batch, (self.seed, epoch))
            self._epoch = epoch
        examples = self._order[batch]
        mine = examples[self.share.rows(self.batch)]
        return self._cross_entropy(self.forward(*self.gather(mine)), mine, self.settings.label_smoothing) / self.batch

    def evaluate(self) -> float:
        """Cross entropy on the examples that are kept apart to choose the best weights, 20,000 at most."""
        examples = self.arrays.part(CHOOSE)
        if len(examples) > GLIMPSE:
            examples = np.sort(np.random.default_rng(self.seed).permutation(examples)[:GLIMPSE])
        mine = examples[self.share.rows(len(examples))]
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for some in self.by_length(mine):
            totals[0] += self._cross_entropy(self.model(*self.gather(some)), some)
            totals[1] += self.weights[self._to_device(self.arrays.classes[some])].sum()
        total, weight = self.sum(totals).tolist()
        return float(total / weight)

    @torch.no_grad()
    def predict_part(self, which: int = MEASURE) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The true and the likeliest class of each example of a part."""
        examples = self.arrays.part(which)
        found = np.empty(len(examples), dtype=np.int64)
        for some in self.by_length(np.arange(len(examples)), examples):
            found[some] = self.model(*self.gather(examples[some])).argmax(1).cpu().numpy()
        return self.arrays.classes[examples].astype(np.int64), found

    def gather(self, examples: npt.NDArray[Any]) -> tuple[Tensor, Tensor]:
        """Sequences and lengths as the model takes them."""
        values, lengths = self.arrays.gather(examples)
        return self._to_device(values), torch.from_numpy(lengths).to(self.device)

    def by_length(self, places: npt.NDArray[Any], examples: npt.NDArray[Any] | None = None) -> Any:
        """Places in groups of examples about equally long, as many as fit into one measuring step."""
        lengths = self.arrays.lengths[places if examples is None else examples]
        return groups_by_length(places, lengths, self.settings.hidden_size)

    def _cross_entropy(self, logits: Tensor, examples: npt.NDArray[Any], smoothing: float = 0.0) -> Tensor:
        classes = self._to_device(self.arrays.classes[examples])
        return F.cross_entropy(logits, classes, weight=self.weights, reduction="sum", label_smoothing=smoothing)

    def _to_device(self, array: npt.NDArray[Any]) -> Tensor:
        dtype = array.dtype if array.dtype.kind == "f" else np.int64
        return torch.from_numpy(np.ascontiguousarray(array, dtype=dtype)).to(self.device)


def groups_by_length(places: npt.NDArray[Any], lengths: npt.NDArray[Any], hidden_size: int) -> Any:
    """Places sorted by length, in groups whose longest length times their number stays within a measuring step."""
    order = np.argsort(lengths, kind="stable")[::-1]
    first = 0
    while first < len(order):
        longest = int(lengths[order[first]])
        count = max(1, math.floor(STEP_VALUES / (longest * hidden_size)))
        yield places[order[first : first + count]]
        first += count
