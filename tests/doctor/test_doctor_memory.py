"""State that one batch leaves to the next."""

from typing import Any

import pytest
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


class Windows(StatefulByDesign):
    """Goes on from the state of the window before, detached or not; or lets the training loop detach it."""

    def __init__(self, kind: str, cut: bool = False) -> None:
        super().__init__(KINDS[kind])
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        output, state = self.rnn(x, self.state)
        self.state = detached(state) if self.cut else state
        return self.fc(output)


class DetachedByTheLoop(Windows):
    def detach_state(self) -> None:
        self.state = detached(self.state)


def detached(state: Any) -> Any:
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


@kinds
def test_a_state_kept_with_its_graph(kind: str, x: Tensor) -> None:
    report = elman.doctor(Windows(kind), x)
    assert report.codes == ("state-keeps-graph",)
    assert "goes on from state" in report.findings[0].sentence
    assert "detach" in report.findings[0].mend
    assert [note.code for note in report.notes] == ["state-by-design"]
    model = Windows(kind)
    model(x).sum().backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        model(x).sum().backward()
    for right in (Windows(kind, cut=True), DetachedByTheLoop(kind)):
        elman.doctor(right, x).raise_if_bad()


def test_a_state_kept_to_be_looked_at_keeps_no_graph_that_matters(x: Tensor) -> None:
    class Shown(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            output, self.shown = self.rnn(x)
            return self.fc(output)

    elman.doctor(Shown(nn.GRU, batch_first=True), x).raise_if_bad()


def test_a_graph_that_was_there_before_is_left_there(x: Tensor) -> None:
    model = Windows("nn.GRU")
    loss = model(x).sum()
    report = elman.doctor(model, x, lang="en")
    report.raise_if_bad()
    assert "the graph of an earlier call" in dict(report.unchecked)["state without its graph"]
    loss.backward()
