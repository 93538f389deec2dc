"""Parameters without a gradient."""

import pytest
from doctor_models import KINDS, C, Classifier, H, I, Tagger, kinds
from torch import Tensor, nn

import elman


@kinds
def test_parameters_without_a_gradient(kind: str, x: Tensor) -> None:
    report = elman.doctor(Classifier(KINDS[kind], lambda o, h: h[0], batch_first=True, num_layers=2), x)
    assert report.codes == ("no-gradient",)
    assert "rnn.weight_ih_l1" in report.findings[0].sentence
    assert "rnn.weight_ih_l0" not in report.findings[0].sentence
    assert "h_n[-1]" in report.findings[0].mend
    model = Tagger(KINDS[kind], batch_first=True)
    model.spare = nn.Linear(3, 3)
    report = elman.doctor(model, x)
    assert report.codes == ("no-gradient",)
    assert "Parameters spare.weight and spare.bias get no gradient" in report.findings[0].sentence
    model.spare.requires_grad_(False)
    elman.doctor(model, x).raise_if_bad()


@kinds
@pytest.mark.parametrize("layers", [1, 2])
def test_one_direction_of_two_is_left_out(kind: str, layers: int, x: Tensor) -> None:
    """h_n[-1] of two directions is the backward one."""
    options = dict(batch_first=True, bidirectional=True, num_layers=layers)
    for row, unused in ((-1, ""), (-2, "_reverse")):
        report = elman.doctor(Classifier(KINDS[kind], lambda o, h, row=row: h[row], **options), x)
        assert report.codes == ("no-gradient",)
        assert f"rnn.weight_ih_l{layers - 1}{unused}" in report.findings[0].sentence
        assert "torch.cat([h_n[-2], h_n[-1]], -1)" in report.findings[0].mend


def test_results_cut_off_from_the_parameters(x: Tensor) -> None:
    class Detached(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    assert elman.doctor(Detached(nn.GRU, batch_first=True), x).codes == ("no-gradient",)


class Auxiliary(Tagger):
    """A head that is used in training only."""

    def __init__(self) -> None:
        super().__init__(nn.GRU, batch_first=True)
        self.auxiliary = nn.Linear(H, C)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        output, _ = self.rnn(x)
        return (self.fc(output), self.auxiliary(output)) if self.training else (self.fc(output),)


def test_gradients_that_are_zero_or_missing_by_design(x: Tensor) -> None:
    elman.doctor(Auxiliary(), x).raise_if_bad()
    model = Tagger(nn.GRU, batch_first=True)
    nn.init.zeros_(model.fc.weight)  # a last layer that starts at zero lets no gradient through at first
    elman.doctor(model, x).raise_if_bad()
    elman.doctor(elman.RNN(I, H, 2, batch_first=True), x[:, :1]).raise_if_bad()  # one step: weight_hh meets zeros


def test_a_layer_that_was_frozen_at_random_is_a_note(x: Tensor) -> None:
    model = Tagger(nn.LSTM, batch_first=True)
    model.rnn.requires_grad_(False)
    assert [note.code for note in elman.doctor(model, x).notes] == ["frozen-at-random"]
    for parameter in model.rnn.parameters():
        parameter.data *= 1.5
    assert not elman.doctor(model, x).notes
