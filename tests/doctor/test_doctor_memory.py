"""State that one batch leaves to the next."""

import torch
from doctor_models import KINDS, H, Stateful, StatefulByDesign, Tagger, kinds
from torch import Tensor, nn

import elman


@kinds
def test_state_from_batch_to_batch(kind: str, x: Tensor) -> None:
    report = elman.doctor(Stateful(KINDS[kind]), x)
    assert report.codes == ("state-carried",)
    assert "in state" in report.findings[0].sentence
    report = elman.doctor(StatefulByDesign(KINDS[kind]), x)
    report.raise_if_bad()
    assert [note.code for note in report.notes] == ["state-by-design"]
    assert "reset()" in report.notes[0].sentence


def test_a_state_that_only_another_batch_shows(x: Tensor) -> None:
    class Difference(Tagger):
        last: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            before, self.last = x if self.last is None else self.last, x
            return super().forward(x + (x - before))

    assert elman.doctor(Difference(nn.GRU, batch_first=True), x).codes == ("state-carried",)


def test_a_reset_that_does_not_reset(x: Tensor) -> None:
    class Forgetful(Stateful):
        def reset(self) -> None:
            self.count = 0

    assert elman.doctor(Forgetful(nn.GRU), x).codes == ("state-carried",)


class Inner(nn.Module):
    """A stateful layer deep inside, whose reset wants the batch's size."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([StatefulByDesign(nn.GRU)])
        self.layers[0].init_hidden = lambda batch_size: setattr(self.layers[0], "state", torch.zeros(1, batch_size, H))
        self.layers[0].reset = None

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x)


def test_a_reset_deep_inside(x: Tensor) -> None:
    report = elman.doctor(Inner(), x)
    report.raise_if_bad()
    assert "layers.0.init_hidden() clears it" in report.notes[0].sentence
