"""Padding that influences results, with lengths=."""

import pytest
import torch
from doctor_models import IDS, KINDS, LENGTHS, C, Classifier, H, I, Last, N, Packed, T, Tagger, Words, kinds, stacks
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import elman


@kinds
def test_padding_that_is_read(kind: str, padded: Tensor) -> None:
    layer = KINDS[kind]
    for model, words in (
        (Classifier(layer, lambda o, h: h[-1], batch_first=True), "'rnn' ({}) read every sequence to the end"),
        (Classifier(layer, lambda o, h: o[:, -1], batch_first=True), "`o[:, -1]`"),
        (Classifier(layer, lambda o, h: o.mean(1), batch_first=True), "`o.mean(1)`"),
        (Tagger(layer, batch_first=True, bidirectional=True), "'rnn' ({}) read every sequence to the end"),
        (Words(layer, batch_first=True, bidirectional=False, padding_idx=0), ""),
    ):
        input = padded if isinstance(model, Tagger) else IDS * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])
        report = elman.doctor(model, input, lengths=LENGTHS, lang="en")
        if isinstance(model, Words):
            report.raise_if_bad()  # one direction, every step: what follows a sequence's end does not reach it
        else:
            assert report.codes == ("padding-read",)
            assert words.format(layer.__name__) in report.findings[0].sentence
    elman.doctor(Tagger(layer, batch_first=True), padded, lengths=LENGTHS).raise_if_bad()


@kinds
def test_padding_that_is_masked(kind: str, padded: Tensor) -> None:
    model = Packed(KINDS[kind])
    for lengths in (LENGTHS, torch.tensor(LENGTHS)):
        elman.doctor(model, padded, lengths=lengths).raise_if_bad()
        elman.doctor(model, (padded, lengths), lengths=lengths).raise_if_bad()
    elman.doctor(Last(kind), (padded, torch.tensor(LENGTHS)), lengths=LENGTHS).raise_if_bad()


@kinds
def test_outputs_at_padded_steps_may_be_anything(kind: str, padded: Tensor) -> None:
    class Told(Tagger):
        def forward(self, x: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
            logits = super().forward(x)
            return logits, logits.flatten(0, 1)

    elman.doctor(Told(KINDS[kind], batch_first=True), (padded, torch.tensor(LENGTHS)), lengths=LENGTHS).raise_if_bad()
    both = Told(KINDS[kind], batch_first=True, bidirectional=True)
    assert elman.doctor(both, (padded, torch.tensor(LENGTHS)), lengths=LENGTHS).codes == ("padding-read",)


@kinds
def test_one_step_of_padding_too_many(kind: str, padded: Tensor) -> None:
    class OneMore(Last):
        def forward(self, x: Tensor, ends: Tensor) -> Tensor:
            return super().forward(x, (ends + 1).clamp(max=T))

    report = elman.doctor(OneMore(kind), (padded, torch.tensor(LENGTHS)), lengths=LENGTHS)
    assert report.codes == ("padding-read",)
    assert "samples 1, 2, 3 and 4 (lengths 3, 5, 1 and 4)" in report.findings[0].evidence


class OwnMask(nn.Module):
    """Finds the lengths in the padded ids by itself."""

    def __init__(self, kind: str, padding_idx: int | None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, I, padding_idx=padding_idx)
        self.rnn = KINDS[kind](I, H, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids != 0).sum(1)
        packed = pack_padded_sequence(self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        state = self.rnn(packed)[1]
        return (state[0] if isinstance(state, tuple) else state)[-1]


@kinds
@pytest.mark.parametrize("padding_idx", [0, None])
def test_a_model_that_finds_its_padding_is_right(kind: str, padding_idx: int | None) -> None:
    ids = IDS * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])
    elman.doctor(OwnMask(kind, padding_idx), ids).raise_if_bad()
    elman.doctor(OwnMask(kind, padding_idx), ids, lengths=LENGTHS).raise_if_bad()


class OwnEnds(nn.Module):
    """Finds the lengths in padded ids or numbers, and returns as many steps as the longest has."""

    def __init__(self, kind: str, ids: bool, batch_first: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, I) if ids else None
        self.rnn = KINDS[kind](I, H, batch_first=batch_first)

    def forward(self, x: Tensor) -> Tensor:
        content = x != 0 if self.embedding is not None else (x != 0).any(-1)
        x = x if self.embedding is None else self.embedding(x)
        packed = pack_padded_sequence(x, content.sum(1), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


@kinds
@pytest.mark.parametrize("told", [True, False])
def test_changes_leave_the_padding_alone(kind: str, told: bool) -> None:
    """Changed, it would be content: other lengths, empty sequences, results of another shape."""
    ends = [2, 1, 1, 2, 1]
    content = torch.arange(6) < torch.tensor(ends)[:, None]
    for x in (torch.randint(1, 3, (5, 6)) * content, torch.randn(5, 6, I) * content[..., None]):
        report = elman.doctor(OwnEnds(kind, ids=x.dim() == 2), x, lengths=ends if told else None)
        report.raise_if_bad()
        assert {"samples apart", "state from batch to batch"} <= set(report.checked)


class MaskedMean(Tagger):
    """The mean over the steps that a mask names."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        output = self.rnn(x)[0] * mask[..., None]
        return self.fc(output.sum(1) / mask.sum(1, keepdim=True))


@kinds
def test_a_mask_among_the_arguments(kind: str, padded: Tensor) -> None:
    mask = (torch.arange(T) < torch.tensor(LENGTHS)[:, None]).float()
    elman.doctor(MaskedMean(KINDS[kind], batch_first=True), (padded, mask), lengths=LENGTHS).raise_if_bad()
    both = MaskedMean(KINDS[kind], batch_first=True, bidirectional=True)
    assert elman.doctor(both, {"x": padded, "mask": mask}, lengths=LENGTHS).codes == ("padding-read",)


@stacks
def test_elmans_lengths(stack: dict[str, object], padded: Tensor) -> None:
    report = elman.doctor(elman.RNN(I, H, batch_first=True, **stack), padded, lengths=LENGTHS, causal=False)
    report.raise_if_bad()
    assert "padding without influence" in report.checked


@kinds
@stacks
def test_packed_sequences(kind: str, stack: dict[str, object]) -> None:
    packed = pack_sequence([torch.randn(n, I) for n in LENGTHS], enforce_sorted=False)
    elman.doctor(KINDS[kind](I, H, **stack), packed).raise_if_bad()
    report = elman.doctor(KINDS[kind](I, H, **stack), packed, causal=True)
    assert report.codes == (("not-causal",) if stack["bidirectional"] else ())


class Scored(nn.Module):
    """A tagger over packed sequences that computes its loss by itself."""

    def __init__(self, kind: str, loss: str) -> None:
        super().__init__()
        self.rnn = KINDS[kind](I, H, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * H, C)
        self.loss = LOSSES[loss]

    def forward(self, x: Tensor, ends: Tensor, target: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, ends, batch_first=True, enforce_sorted=False)
        logits = self.fc(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0])
        return self.loss(logits, target, torch.arange(logits.shape[1]) < ends[:, None])


def masked(loss: Tensor, mask: Tensor) -> Tensor:
    return (loss * mask).sum() / mask.sum()


def in_a_row(values: Tensor, mask: Tensor) -> Tensor:
    return pack_padded_sequence(values, mask.sum(1), batch_first=True, enforce_sorted=False).data


def emitted(z: Tensor, y: Tensor, steps: Tensor, mask: Tensor) -> Tensor:
    """One label a sequence, that its steps emit somewhere."""
    steps = steps.clamp(max=z.shape[1])
    return F.ctc_loss(z.log_softmax(-1).transpose(0, 1), y[:, :1], steps, torch.ones(N, dtype=torch.int64))


LOSSES = {
    "flat": lambda z, y, mask: F.cross_entropy(z.flatten(0, 1), y.flatten()),
    "classes second": lambda z, y, mask: F.cross_entropy(z.transpose(1, 2), y),
    "time first": lambda z, y, mask: F.cross_entropy(z.transpose(0, 1).flatten(0, 1), y.T.flatten()),
    "nll": lambda z, y, mask: F.nll_loss(F.log_softmax(z, -1).flatten(0, 1), y.flatten()),
    "squares": lambda z, y, mask: F.mse_loss(z[..., 0], y.float()),
    "one late": lambda z, y, mask: F.cross_entropy(z[:, :-1].flatten(0, 1), y[:, 1:].flatten()),
    "squares by hand": lambda z, y, mask: ((z[..., 0] - y) ** 2).mean(),
    "distances by hand, of each sample": lambda z, y, mask: (y - z[..., 0]).abs().mean(1),
    "probabilities by hand": lambda z, y, mask: -z.log_softmax(-1).gather(-1, y[..., None]).mean(),
    "probabilities by hand, flat": lambda z, y, mask: -z.log_softmax(-1).flatten(0, 1).gather(1, y.view(-1, 1)).mean(),
    "all emissions": lambda z, y, mask: emitted(z, y, torch.full((N,), z.shape[1]), mask),
    "ignored": lambda z, y, mask: F.cross_entropy(z.flatten(0, 1), y.flatten(), ignore_index=0),
    "ignored, one late": lambda z, y, mask: F.cross_entropy(
        z[:, :-1].flatten(0, 1), y[:, 1:].flatten(), ignore_index=0
    ),
    "masked": lambda z, y, mask: masked(F.cross_entropy(z.transpose(1, 2), y, reduction="none"), mask),
    "chosen": lambda z, y, mask: F.cross_entropy(z[mask], y[mask]),
    "weighed": lambda z, y, mask: F.binary_cross_entropy_with_logits(z[..., 0], y / C, mask.float(), reduction="sum"),
    "zeros": lambda z, y, mask: F.mse_loss(z[..., 0] * mask, y.float(), reduction="sum"),
    "zeros by hand": lambda z, y, mask: ((z[..., 0] * mask - (y - 1)) ** 2).mean(),
    "squares masked": lambda z, y, mask: masked((z[..., 0] - y) ** 2, mask),
    "squares masked first": lambda z, y, mask: (((z[..., 0] - y) * mask) ** 2).sum() / mask.sum(),
    "squares chosen": lambda z, y, mask: ((z[..., 0][mask] - y[mask]) ** 2).mean(),
    "squares chosen late": lambda z, y, mask: ((z[..., 0] - y) ** 2)[mask].mean(),
    "squares filled": lambda z, y, mask: ((z[..., 0] - y) ** 2).masked_fill(~mask, 0).sum() / mask.sum(),
    "squares where": lambda z, y, mask: torch.where(mask, (z[..., 0] - y) ** 2, 0.0).sum(1) / mask.sum(1),
    "squares of each sample": lambda z, y, mask: ((z[..., 0] - y) ** 2 * mask).sum(1),
    "squares packed": lambda z, y, mask: ((in_a_row(z[..., 0], mask) - in_a_row(y, mask)) ** 2).mean(),
    "probabilities masked": lambda z, y, mask: masked(-z.log_softmax(-1).gather(-1, y[..., None])[..., 0], mask),
    "probabilities chosen": lambda z, y, mask: -z.log_softmax(-1)[mask].gather(-1, y[mask][:, None]).mean(),
    "probabilities ignored": lambda z, y, mask: -z.log_softmax(-1).gather(-1, y[..., None])[..., 0][y != 0].mean(),
    "one masked class less": lambda z, y, mask: masked(z.logsumexp(-1) - z.gather(-1, y[..., None])[..., 0], mask),
    "scores of the padding hidden": lambda z, y, mask: (z[..., 0] - 1e9 * ~mask).softmax(1).amax(1),
    "scores of the padding lowered": lambda z, y, mask: ((z[..., 0] - 30.0 * ~mask).softmax(1) * z[..., 1]).sum(1),
    "emissions of each sample": lambda z, y, mask: sum(
        F.ctc_loss(z[n].log_softmax(-1), y[n, :1], mask[n].sum()[None], torch.tensor([1])) for n in range(N)
    ),
    "emissions": lambda z, y, mask: emitted(z, y, mask.sum(1), mask),
    "last step": lambda z, y, mask: F.cross_entropy(z[torch.arange(N), mask.sum(1) - 1], y[:, 0]),
}
WRONG = list(LOSSES)[:11]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["nn.LSTM", "elman.RNN"])
def test_a_loss_over_padding(kind: str, loss: str, padded: Tensor) -> None:
    """The layer reads no padding; the loss of the padded steps counts all the same."""
    ends = torch.tensor(LENGTHS)
    target = torch.randint(1, C, (N, T)) * (torch.arange(T) < ends[:, None])
    report = elman.doctor(Scored(kind, loss), (padded, ends, target), lengths=LENGTHS, lang="en")
    assert "padding without influence" in report.checked
    found = [finding for finding in report.findings if finding.code == "padding-read"]
    assert len(found) == (loss in WRONG)
    if found:
        assert "counts the padded steps" in found[0].sentence
        assert ("input_lengths" if loss == "all emissions" else "ignore_index") in found[0].mend


@pytest.mark.parametrize("loss", ["ignored", "probabilities ignored"])
def test_targets_with_lengths_of_their_own_are_no_padding(loss: str, padded: Tensor) -> None:
    """A translation may go on where its source has ended, though both have T steps."""
    ends, own = torch.tensor(LENGTHS), torch.tensor([2, 7, 6, 4, 3])
    target = torch.randint(1, C, (N, T)) * (torch.arange(T) < own[:, None])
    assert not elman.doctor(Scored("nn.GRU", loss), (padded, ends, target), lengths=LENGTHS).codes


class OneNumber(nn.Module):
    """One number a sample, of the mean over all steps, the padded ones too."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(I, H, batch_first=True)
        self.fc = nn.Linear(H, 1)

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, ends, batch_first=True, enforce_sorted=False)
        output = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return self.fc(output.mean(1))[:, 0]


def test_the_finding_of_one_number_a_sample(padded: Tensor) -> None:
    assert elman.doctor(OneNumber(), (padded, torch.tensor(LENGTHS)), lengths=LENGTHS).codes == ("padding-read",)


class Forecaster(nn.Module):
    """Reads a packed past, and tells T steps of the future that follows it."""

    def __init__(self, loss: str) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(I, H, batch_first=True), nn.GRU(1, H, batch_first=True)
        self.fc = nn.Linear(H, 2)
        self.loss = FORECASTS[loss]

    def forward(self, x: Tensor, ends: Tensor, target: Tensor) -> Tensor:
        h_n = self.encoder(pack_padded_sequence(x, ends, batch_first=True, enforce_sorted=False))[1]
        times = torch.linspace(-1, 1, target.shape[1])[None, :, None].expand(len(x), -1, 1)
        return self.loss(self.fc(self.decoder(times, h_n)[0]), target)


FORECASTS = {
    "cross entropy": lambda z, y: F.cross_entropy(z.transpose(1, 2), y),
    "events": lambda z, y: F.binary_cross_entropy_with_logits(z[..., 0], y.float()),
    "written out": lambda z, y: ((z[..., 0] - y) ** 2).mean(),
}


@pytest.mark.parametrize("loss", FORECASTS)
@pytest.mark.parametrize("future", ["drawn", "few events"])
def test_a_future_that_is_alike_past_the_ends_of_the_past_is_no_padding(loss: str, future: str, padded: Tensor) -> None:
    ends = torch.tensor(LENGTHS)
    target = torch.randint(0, 2, (N, T)) if future == "drawn" else torch.zeros(N, T, dtype=torch.int64)
    target[0, 1] = target[-1, 0] = 1
    target[torch.arange(T) >= ends[:, None]] = 0
    assert not elman.doctor(Forecaster(loss), (padded, ends, target), lengths=LENGTHS).codes


class Translator(nn.Module):
    """Finds the source's lengths in the padded ids by itself; its loss leaves the target's padding out."""

    def __init__(self, kind: str, packs: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, I, padding_idx=0)
        self.encoder, self.decoder = KINDS[kind](I, H, batch_first=True), KINDS[kind](I, H, batch_first=True)
        self.fc = nn.Linear(H, 11)
        self.fc.weight.data *= 10  # so that the loss depends on the state by more than rounding
        self.packs = packs

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        words = self.embedding(source)
        if self.packs:
            words = pack_padded_sequence(words, (source != 0).sum(1), batch_first=True, enforce_sorted=False)
        output = self.decoder(self.embedding(target[:, :-1]), self.encoder(words)[1])[0]
        return F.cross_entropy(self.fc(output).transpose(1, 2), target[:, 1:], ignore_index=0)


@kinds
@pytest.mark.parametrize("own", [[2, 7, 6, 4, 3], LENGTHS], ids=["own lengths", "the same lengths"])
def test_targets_tell_no_model_the_lengths(kind: str, own: list[int]) -> None:
    """They have the shape of a mask, and are none: ids put into the padding would be words."""
    source = IDS * (torch.arange(T) < torch.tensor(LENGTHS)[:, None])
    target = IDS.flip(0) * (torch.arange(T) < torch.tensor(own)[:, None])
    report = elman.doctor(Translator(kind, packs=True), (source, target), lengths=LENGTHS)
    report.raise_if_bad()
    assert "padding without influence" in report.checked
    assert elman.doctor(Translator(kind, packs=False), (source, target), lengths=LENGTHS).codes == ("padding-read",)
