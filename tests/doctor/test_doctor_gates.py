"""Gates that are stuck or saturated, and the two states of an LSTM taken for each other."""

import pytest
import torch
from collected import C, H, I, Of, T, numbers
from torch import Tensor, nn

import elman

GATES = {"GRU": "rzn", "LSTM": "ifgo"}


def with_bias(layer: nn.Module, gate: str, bias: float) -> nn.Module:
    """The layer with the rows of one gate of b_ih set."""
    k = GATES[layer.mode if isinstance(layer, nn.RNNBase) else type(layer).__name__.removesuffix("Cell")].index(gate)
    for name, parameter in layer.named_parameters():
        if name.startswith("bias_ih"):
            parameter.data[k * H : (k + 1) * H] = bias
    return layer


STUCK = [
    ("LSTM", "f", -12.0, "forget gate f of 6 of the 6 units", "at 0: nothing is kept"),
    ("LSTM", "f", 20.0, "forget gate f", "at 1: nothing is ever forgotten"),
    ("LSTM", "i", -12.0, "input gate i", "at 0: nothing is written into the cell state"),
    ("LSTM", "o", -12.0, "output gate o", "at 0: the output stays 0"),
    ("GRU", "z", 20.0, "update gate z", "at 1: the state never changes: the unit is dead"),
    ("GRU", "z", -12.0, "update gate z", "at 0: nothing is kept"),
]


@pytest.mark.parametrize("package", [nn, elman])
@pytest.mark.parametrize(("kind", "gate", "bias", "which", "why"), STUCK, ids=lambda value: str(value)[:12])
def test_a_stuck_gate_is_found(package, kind, gate, bias, which, why) -> None:
    layer = with_bias(getattr(package, kind)(I, H, batch_first=True), gate, bias)
    report = elman.doctor(
        Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=layer, fc=nn.Linear(H, C)), numbers(), lang="en"
    )
    finding = next(finding for finding in report.findings if finding.code == "stuck-gate")
    assert which in finding.sentence
    assert why in finding.sentence
    assert finding.where == "rnn"
    k = GATES[kind].index(gate)
    assert f"rows of {gate}, {('0', 'hidden_size', '', '3 * hidden_size')[k]} onwards" in finding.mend


def test_a_stuck_gate_of_a_cell_is_found() -> None:
    def forward(self, x: Tensor) -> Tensor:
        states = None
        for x_t in x.unbind(1):
            states = self.cell(x_t, states)
        return self.fc(states[0] if isinstance(states, tuple) else states)

    for cell, gate, bias in ((nn.LSTMCell(I, H), "f", -12.0), (elman.GRUCell(I, H), "z", 20.0)):
        report = elman.doctor(Of(forward, cell=with_bias(cell, gate, bias), fc=nn.Linear(H, C)), numbers(), lang="en")
        assert "stuck-gate" in report.codes


@pytest.mark.parametrize("end", ["l0", "l0_reverse", "l1", "l1_reverse"])
@pytest.mark.parametrize(("kind", "gate", "bias", "which", "why"), STUCK, ids=lambda value: str(value)[:12])
def test_each_layer_and_direction_is_judged_by_itself(kind, gate, bias, which, why, end) -> None:
    """Three that work do not make good one that is stuck."""
    torch.manual_seed(0)
    layer = getattr(nn, kind)(I, H, num_layers=2, batch_first=True, bidirectional=True)
    k = GATES[kind].index(gate)
    getattr(layer, f"bias_ih_{end}").data[k * H : (k + 1) * H] = bias
    model = Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=layer, fc=nn.Linear(2 * H, C))
    found = [one for one in elman.doctor(model, numbers(), lang="en").findings if one.code == "stuck-gate"]
    assert len(found) == 1
    assert which.split(" of 6 of")[0] in found[0].sentence
    assert f"6 of the 6 units of {end} of 'rnn' ({kind})" in found[0].sentence
    assert ("Scale the input" in found[0].mend) == end.startswith("l0")
    median = float(found[0].evidence.split("the median is ")[1].rstrip("."))
    assert abs(median - torch.tensor(bias).sigmoid()) < 0.01


def test_the_mend_of_a_stuck_gate_fits_the_gate() -> None:
    for (kind, gate, bias, _, _), mend in zip(
        STUCK,
        ["start with a sum of 1", "log(T - 1)", "about 0", "about 0", "smaller biases", "larger biases"],
        strict=True,
    ):
        model = Of(
            lambda self, x: self.fc(self.rnn(x)[0]),
            rnn=with_bias(getattr(nn, kind)(I, H, batch_first=True), gate, bias),
            fc=nn.Linear(H, C),
        )
        found = next(one for one in elman.doctor(model, numbers(), lang="en").findings if one.code == "stuck-gate")
        assert mend in found.mend


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_input_without_scale_saturates_gates(kind) -> None:
    torch.manual_seed(0)
    layer = getattr(elman, kind)(I, 16, batch_first=True)
    codes = elman.doctor(layer, 300 * torch.randn(8, 30, I)).codes
    assert {"saturated-units", "saturated-gates"} & set(codes)


@pytest.mark.parametrize("options", [{}, dict(num_layers=2, bidirectional=True), dict(batch_first=True)], ids=str)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_gates_that_work_are_no_finding(kind, options) -> None:
    """Fresh, with a forget bias, and with the biases of a memory of up to 1,000 steps (Tallec & Ollivier, 2018)."""
    torch.manual_seed(0)
    x = torch.randn(6, 20, I) if options.get("batch_first") else torch.randn(20, 6, I)
    dims = dict(batch_dim=0 if options.get("batch_first") else 1)
    for package in (nn, elman):
        layer = getattr(package, kind)(I, H, **options)
        elman.doctor(layer, x, **dims).raise_if_bad()
        keeps = "f" if kind == "LSTM" else "z"
        elman.doctor(with_bias(layer, keeps, 1.0), x, **dims).raise_if_bad()
        elman.doctor(with_bias(layer, keeps, float(torch.tensor(999.0).log())), x, **dims).raise_if_bad()


def test_layers_that_cannot_be_traced_and_packed_ones_are_examined() -> None:
    elman.doctor(elman.LSTM(I, H, batch_first=True, proj_size=3), numbers()).raise_if_bad()
    elman.doctor(elman.LSTM(I, H, batch_first=True, zoneout=0.1), numbers()).raise_if_bad()

    def forward(self, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, [T] * len(x), batch_first=True)
        return self.fc(self.rnn(packed)[1][-1])

    layer = with_bias(nn.GRU(I, H), "z", 20.0)
    assert "stuck-gate" in elman.doctor(Of(forward, rnn=layer, fc=nn.Linear(H, C)), numbers()).codes


# The two states


def read_of_layer(place: int):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[1][place][-1])

    return Of(forward, rnn=nn.LSTM(I, H, batch_first=True), fc=nn.Linear(H, C))


def read_of_cell(place: int, swap: bool = False):
    def forward(self, x: Tensor) -> Tensor:
        states = None
        for x_t in x.unbind(1):
            states = self.cell(x_t, states[::-1] if swap and states else states)
        return self.fc(states[place])

    return Of(forward, cell=elman.LSTMCell(I, H), fc=nn.Linear(H, C))


def decoder(swap: bool):
    def forward(self, x: Tensor) -> Tensor:
        _, states = self.encoder(x)
        output, _ = self.decoder(x[:, -3:], states[::-1] if swap else states)
        return self.fc(output)

    parts = dict(encoder=elman.LSTM(I, H, batch_first=True), decoder=nn.LSTM(I, H, batch_first=True))
    return Of(forward, **parts, fc=nn.Linear(H, C))


def test_c_read_in_place_of_h_is_found() -> None:
    for model in (read_of_layer(1), read_of_cell(1)):
        report = elman.doctor(model, numbers(), lang="en")
        assert report.codes == ("cell-state-read",)
        assert "only the cell state c is read" in report.findings[0].sentence
    for model in (read_of_layer(0), read_of_cell(0)):
        elman.doctor(model, numbers()).raise_if_bad()


def test_states_passed_the_wrong_way_round_are_found() -> None:
    for model, where in ((decoder(True), "decoder"), (read_of_cell(0, swap=True), "cell")):
        report = elman.doctor(model, numbers(), lang="en")
        assert report.codes == ("states-swapped",)
        assert report.findings[0].where == where
    elman.doctor(decoder(False), numbers()).raise_if_bad()


def test_both_states_may_be_read() -> None:
    def forward(self, x: Tensor) -> Tensor:
        _, (h, c) = self.rnn(x)
        return self.fc(torch.cat([h[-1], c[-1]], -1))

    elman.doctor(Of(forward, rnn=elman.LSTM(I, H, batch_first=True), fc=nn.Linear(2 * H, C)), numbers()).raise_if_bad()


def test_findings_of_gates_speak_korean() -> None:
    layer = with_bias(nn.GRU(I, H, batch_first=True), "z", 20.0)
    model = Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=layer, fc=nn.Linear(H, C))
    finding = next(f for f in elman.doctor(model, numbers(), lang="ko").findings if f.code == "stuck-gate")
    assert "업데이트 게이트 z의 값이 1에 붙어 있습니다. 상태가 바뀌지 않는 죽은 유닛입니다" in finding.sentence
    swapped = elman.doctor(decoder(True), numbers(), lang="ko").findings[0]
    assert "두 상태가 거꾸로 들어갑니다" in swapped.sentence


@pytest.mark.parametrize(
    "layer", [nn.LSTM(I, H, proj_size=3, batch_first=True), elman.GRU(I, H, batch_first=True, zoneout=0.1)]
)
def test_a_layer_that_cannot_be_traced_is_said_to_be_there(layer: nn.Module) -> None:
    report = str(elman.doctor(layer, numbers()))
    assert "gates that work (the GRU or LSTM inside has a form that cannot be traced" in report


def test_the_advice_speaks_of_what_is_there() -> None:
    """Of no bias where there is none, and of no input where a layer reads states."""
    layer = nn.LSTM(I, H, bias=False, batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0[H : 2 * H] = -1.0
        layer.weight_hh_l0[H : 2 * H] = 0.0
    model = Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=layer, fc=nn.Linear(H, C))
    report = elman.doctor(model, 20 + torch.rand(4, 9, I), lang="en")
    mends = [finding.mend for finding in report.findings if finding.code == "stuck-gate"]
    assert mends
    assert all("no bias" in mend for mend in mends)
    upper = nn.LSTM(I, H, 2, batch_first=True)
    with torch.no_grad():
        upper.weight_ih_l1 *= 3000
        upper.weight_hh_l1 *= 3000
    model = Of(lambda self, x: self.fc(self.rnn(x)[0]), rnn=upper, fc=nn.Linear(H, C))
    mends = [f.mend for f in elman.doctor(model, numbers(), lang="en").findings if f.code == "saturated-gates"]
    assert mends == ["Look at the size of the weights."]
