"""Random right models have no findings, and the same with one mistake have it."""

import pytest
import torch
from doctor_models import KINDS, Classifier, Tagger, hidden
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman

READINGS = ("every step", "last step", "h_n", "mean", "max", "packed", "packed steps", "ends")


class Any(nn.Module):
    """Ids or numbers in, perhaps batch norm, a recurrent layer, one of several readings, dropout, a linear layer."""

    def __init__(
        self, kind: str, reading: str, ids: bool, norm: bool, flatten: bool, I: int, H: int, **options
    ) -> None:
        super().__init__()
        self.reading, self.flatten = reading, flatten
        self.embedding = nn.Embedding(9, I) if ids else None
        self.norm = nn.BatchNorm1d(I) if norm else None
        self.rnn = KINDS[kind](I, H, **options)
        self.dropout = nn.Dropout(0.3)
        self.directions = 2 if self.rnn.bidirectional else 1
        self.linear = nn.Linear(H * self.directions, 3)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        x = x if self.embedding is None else self.embedding(x)
        if self.norm is not None:
            x = self.norm(x.flatten(0, 1)).view_as(x)
        axis = 1 if self.rnn.batch_first else 0
        if lengths is None:
            output, state = self.rnn(x)
        else:
            options = dict(batch_first=self.rnn.batch_first)
            packed = pack_padded_sequence(x, torch.as_tensor(lengths), enforce_sorted=False, **options)
            output, state = self.rnn(packed)
            output, _ = pad_packed_sequence(output, **options)
        h = hidden(state)
        H = self.rnn.hidden_size
        read = {
            "every step": lambda: output,
            "last step": lambda: output.select(axis, -1),
            "h_n": lambda: torch.cat(tuple(h[-self.directions :]), -1),
            "mean": lambda: output.mean(axis),
            "max": lambda: output.amax(axis),
            "packed": lambda: torch.cat(tuple(h[-self.directions :]), -1),
            "packed steps": lambda: output,
            "ends": lambda: torch.cat([output.select(axis, -1)[:, :H], output.select(axis, 0)[:, H:]], -1),
        }[self.reading]()
        read = self.linear(self.dropout(read))
        return read.flatten(0, 1) if self.flatten and read.dim() == 3 else read


@st.composite
def models(draw: st.DrawFn, wrong: bool = False):
    """A model, its input, and the doctor's arguments."""
    bidirectional = draw(st.booleans())
    readings = [r for r in READINGS if not (bidirectional and r == "last step")]
    reading = draw(st.sampled_from(["every step", "mean", "packed"] if wrong else readings))
    ids, N, T = draw(st.booleans()), draw(st.integers(2, 9)), draw(st.integers(2, 11))
    batch_first = draw(st.booleans())
    model = dict(
        kind=draw(st.sampled_from(list(KINDS))),
        reading=reading,
        ids=ids,
        norm=draw(st.booleans()),
        flatten=draw(st.booleans()),
        I=draw(st.integers(1, 8)),
        H=draw(st.integers(2, 12)),
        num_layers=draw(st.integers(1, 3)),
        bidirectional=bidirectional,
        batch_first=batch_first,
    )
    return model, (N, T), draw(st.integers(0, 99))


def build(example, wrong: bool = False):
    options, (N, T), seed = example
    options = options | dict(dropout=0.2 if options["num_layers"] > 1 else 0.0)  # it stands between layers
    torch.manual_seed(seed)
    model = Any(**options)
    shape = (N, T) if options["batch_first"] != wrong else (T, N)
    x = torch.randint(9, shape) if options["ids"] else torch.randn(*shape, options["I"])
    arguments: dict[str, object] = dict(batch_dim=0 if options["batch_first"] != wrong else 1)
    if options["reading"].startswith("packed") and not wrong:
        arguments["lengths"] = torch.randint(1, T + 1, (N,))
    arguments["causal"] = not options["bidirectional"] and not wrong
    return model, x, arguments


def right(kind: str, reading: str, sizes: tuple[int, int], seed: int, **options: object):
    """An example as `models` draws them."""
    plain = dict(ids=False, norm=False, flatten=False, num_layers=1, bidirectional=False, batch_first=False)
    return dict(kind=kind, reading=reading, **(plain | options)), sizes, seed


@pytest.mark.parametrize(
    "example",
    [
        right("nn.LSTM", "max", (2, 2), 5, I=3, H=3, num_layers=2),
        right("nn.RNN", "max", (3, 4), 50, I=2, H=3, num_layers=3, ids=True, norm=True),
        right("nn.LSTM", "max", (7, 7), 7, I=3, H=3, num_layers=3, norm=True, batch_first=True),
        right("nn.GRU", "max", (2, 2), 11, I=8, H=2, ids=True, norm=True),
        right("elman.RNN", "max", (2, 2), 68, I=1, H=2, ids=True, bidirectional=True, batch_first=True),
        right(
            "nn.LSTM",
            "packed",
            (2, 11),
            81,
            I=1,
            H=2,
            num_layers=2,
            ids=True,
            norm=True,
            bidirectional=True,
            batch_first=True,
        ),
        right(
            "elman.RNN",
            "packed",
            (4, 6),
            5,
            I=1,
            H=9,
            num_layers=2,
            ids=True,
            norm=True,
            bidirectional=True,
            batch_first=True,
        ),
        right("nn.RNN", "packed", (2, 2), 0, I=1, H=2, num_layers=2),
    ],
    ids=[
        "the maximum is at the first step everywhere",
        "also with weights a little different",
        "also in a large batch, where the biases decide",
        "the maximum is never at a later step",
        "the backward half's maximum is never before the last step",
        "a sequence of one word, whose id is 0",
        "the weighed gradient happens to cancel at the last step",
        "of two steps every sequence has but one",
    ],
)
def test_what_chance_makes_look_wrong_is_no_finding(example) -> None:
    model, x, arguments = build(example)
    elman.doctor(model, x, **arguments).raise_if_bad()


@given(models())
def test_random_right_models_have_no_findings(example) -> None:
    model, x, arguments = build(example)
    report = elman.doctor(model, x, **arguments)
    report.raise_if_bad()
    assert "samples apart" in report.checked


@given(models(wrong=True))
def test_random_models_with_swapped_axes_are_found(example) -> None:
    model, x, arguments = build(example, wrong=True)
    report = elman.doctor(model, x, **arguments)
    assert "batch-mixed" in report.codes
    finding = next(finding for finding in report.findings if finding.code == "batch-mixed")
    assert finding.where == "rnn"
    assert f"batch_first={not model.rnn.batch_first} would fit" in finding.mend


@given(
    st.sampled_from(list(KINDS)),
    st.integers(2, 9),
    st.integers(2, 9),
    st.integers(1, 3),
    st.integers(2, 8),
    st.integers(0, 99),
)
def test_random_last_steps_of_two_directions_are_found(kind: str, N: int, T: int, L: int, H: int, seed: int) -> None:
    torch.manual_seed(seed)
    model = Classifier(KINDS[kind], lambda o, h: o[:, -1, :6], 6, batch_first=True, bidirectional=True, num_layers=L)
    model.rnn = KINDS[kind](4, 6, L, batch_first=True, bidirectional=True)
    model.fc = nn.Linear(12, H)
    model.read = lambda o, h: o[:, -1]
    assert elman.doctor(model, torch.randn(N, T, 4)).codes == ("two-direction-last-step",)
    model.read = lambda o, h: torch.cat([o[:, -1, :6], o[:, 0, 6:]], -1)
    elman.doctor(model, torch.randn(N, T, 4)).raise_if_bad()


@given(st.sampled_from(list(KINDS)), st.integers(2, 9), st.integers(2, 9), st.booleans(), st.integers(0, 99))
def test_random_bidirectional_taggers_are_not_causal(kind: str, N: int, T: int, batch_first: bool, seed: int) -> None:
    torch.manual_seed(seed)
    model = Tagger(KINDS[kind], batch_first=batch_first, bidirectional=True)
    x = torch.randn(N, T, 4) if batch_first else torch.randn(T, N, 4)
    assert elman.doctor(model, x, batch_dim=0 if batch_first else 1, causal=True).codes == ("not-causal",)
