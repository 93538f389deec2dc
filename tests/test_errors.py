"""Bad arguments and input: torch's exception class, the start of torch's message, and then a sentence that helps."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import elman

OURS = SimpleNamespace(RNN=elman.RNN, RNNCell=elman.RNNCell)
THEIRS = SimpleNamespace(RNN=torch.nn.RNN, RNNCell=torch.nn.RNNCell)
Call = Callable[[Any], object]


def paired(layer: torch.nn.Module) -> Callable[..., object]:
    """An LSTM that is called as the others are: what they take as the state, it takes twice."""
    return lambda *args, **kwargs: layer(*args[:1], *((hx, hx) for hx in args[1:]), **kwargs)


# The calls below on the other classes, under the names that they are written with.
GRUS = [SimpleNamespace(RNN=home.GRU, RNNCell=home.GRUCell) for home in (elman, torch.nn)]
LSTMS = [
    SimpleNamespace(
        RNN=lambda *a, home=home, **k: paired(home.LSTM(*a, **k)),
        RNNCell=lambda *a, home=home, **k: paired(home.LSTMCell(*a, **k)),
    )
    for home in (elman, torch.nn)
]


def ints(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.int64)


def doubles(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.float64)


def metas(*shape: int) -> torch.Tensor:
    return torch.ones(shape, device="meta")


x, h = torch.randn(5, 3, 10), torch.randn(1, 3, 20)

# What is wrong, the call, and the words of elman's own sentence: the axis, what came and what was expected.
CALLS: dict[str, tuple[Call, tuple[str, ...]]] = {
    "input is a list": (lambda m: m.RNN(10, 20)([1.0, 2.0]), ("list", "torch.Tensor")),
    "input is an array": (lambda m: m.RNN(10, 20)(numpy.ones((5, 3, 10), numpy.float32)), ("ndarray", "torch.Tensor")),
    "input is None": (lambda m: m.RNN(10, 20)(None), ("NoneType", "torch.Tensor")),
    "input holds integers": (lambda m: m.RNN(10, 20)(ints(5, 3, 10)), ("int64", "float32")),
    "input is double": (lambda m: m.RNN(10, 20)(doubles(5, 3, 10)), ("float64", "float32")),
    "input has no axis": (lambda m: m.RNN(10, 20)(torch.tensor(1.0)), ("time", "batch", "0")),
    "input has one axis": (lambda m: m.RNN(10, 20)(torch.randn(10)), ("time", "batch", "(10")),
    "input has four axes": (lambda m: m.RNN(10, 20)(torch.randn(1, 5, 3, 10)), ("time", "batch", "(1, 5, 3, 10")),
    "wrong feature size": (
        lambda m: m.RNN(10, 20)(torch.randn(5, 3, 9)),
        ("input_size", "time 5", "batch 3", "9", "10"),
    ),
    "wrong feature size, batch first": (
        lambda m: m.RNN(10, 20, batch_first=True)(torch.randn(5, 3, 9)),
        ("batch 5", "time 3", "9", "10"),
    ),
    "wrong feature size, unbatched": (lambda m: m.RNN(10, 20)(torch.randn(5, 9)), ("time 5", "9", "10")),
    "features on another axis": (lambda m: m.RNN(10, 20)(torch.randn(5, 10, 3)), ("10", "3")),
    "h_0 is a list": (lambda m: m.RNN(10, 20)(x, [1.0]), ("list", "torch.Tensor")),
    "h_0 is LSTM's pair": (lambda m: m.RNN(10, 20)(x, (h, h)), ("tuple", "torch.Tensor")),
    "h_0 has too many layers": (lambda m: m.RNN(10, 20)(x, torch.randn(2, 3, 20)), ("layer", "1", "2")),
    "h_0 lacks a direction": (
        lambda m: m.RNN(10, 20, 3, bidirectional=True)(x, torch.randn(3, 3, 20)),
        ("direction", "6", "3"),
    ),
    "h_0 has another batch": (lambda m: m.RNN(10, 20)(x, torch.randn(1, 4, 20)), ("batch", "3", "4")),
    "h_0 has another hidden size": (lambda m: m.RNN(10, 20)(x, torch.randn(1, 3, 21)), ("hidden_size", "20", "21")),
    "h_0 lacks an axis": (lambda m: m.RNN(10, 20)(x, torch.randn(3, 20)), ("(3, 20",)),
    "h_0 has an axis too many": (lambda m: m.RNN(10, 20)(x, torch.randn(1, 1, 3, 20)), ("(1, 1, 3, 20",)),
    "h_0 of a batch for unbatched input": (lambda m: m.RNN(10, 20)(torch.randn(5, 10), h), ("(1, 3, 20",)),
    "h_0 unbatched, wrong layers": (
        lambda m: m.RNN(10, 20)(torch.randn(5, 10), torch.randn(2, 20)),
        ("layer", "1", "2"),
    ),
    "h_0 is double": (lambda m: m.RNN(10, 20)(x, doubles(1, 3, 20)), ("float64", "float32")),
    "h_0 holds integers": (lambda m: m.RNN(10, 20)(x, ints(1, 3, 20)), ("int64", "float32")),
    "h_0 fits the swapped input": (
        lambda m: m.RNN(10, 20)(torch.randn(32, 7, 10), torch.randn(1, 32, 20)),
        ("time 32", "batch 7", "batch_first=True"),
    ),
    "h_0 fits the swapped input, batch first": (
        lambda m: m.RNN(10, 20, batch_first=True)(torch.randn(7, 32, 10), torch.randn(1, 32, 20)),
        ("batch 7", "time 32", "batch_first=False"),
    ),
    "h_0 itself is batch first": (
        lambda m: m.RNN(10, 20, 2, batch_first=True)(torch.randn(7, 5, 10), torch.randn(7, 2, 20)),
        ("layer", "batch", "2", "7"),
    ),
    "input on another device": (lambda m: m.RNN(10, 20)(metas(5, 3, 10)), ("meta", "cpu")),
    "h_0 on another device": (lambda m: m.RNN(10, 20)(x, metas(1, 3, 20)), ("meta", "cpu")),
    "weights on another device": (lambda m: m.RNN(10, 20, device="meta")(x), ("meta", "cpu")),
    "packed, wrong feature size": (lambda m: m.RNN(10, 20)(pack_sequence([torch.randn(5, 9)])), ("9", "10")),
    "packed, h_0 of another batch": (
        lambda m: m.RNN(10, 20)(pack_sequence([torch.randn(5, 10), torch.randn(3, 10)]), torch.randn(1, 3, 20)),
        ("batch", "2", "3"),
    ),
    "packed, h_0 lacks an axis": (
        lambda m: m.RNN(10, 20)(pack_sequence([torch.randn(5, 10)]), torch.randn(1, 20)),
        ("[1, 20]", "(layers * directions 1, batch 1, hidden_size 20)"),
    ),
    "packed, double": (lambda m: m.RNN(10, 20)(pack_sequence([doubles(5, 10)])), ("float64", "float32")),
    "complex input": (lambda m: m.RNN(10, 20)(x.to(torch.complex64)), ("complex64", "float32")),
    "cell input is a list": (lambda m: m.RNNCell(10, 20)([1.0]), ("list", "torch.Tensor")),
    "cell input has three axes": (lambda m: m.RNNCell(10, 20)(x), ("(5, 3, 10",)),
    "cell state has three axes": (lambda m: m.RNNCell(10, 20)(x[0], h), ("(1, 3, 20",)),
    "cell feature size": (lambda m: m.RNNCell(10, 20)(torch.randn(3, 9)), ("input_size", "9", "10")),
    "cell state of another batch": (lambda m: m.RNNCell(10, 20)(x[0], torch.randn(4, 20)), ("batch", "3", "4")),
    "cell state of another size": (lambda m: m.RNNCell(10, 20)(x[0], torch.randn(3, 21)), ("hidden_size", "20", "21")),
    "cell input is double": (lambda m: m.RNNCell(10, 20)(doubles(3, 10)), ("float64", "float32")),
    "cell state is double": (lambda m: m.RNNCell(10, 20)(x[0], doubles(3, 20)), ("float64", "float32")),
    "cell with an unknown nonlinearity": (lambda m: m.RNNCell(10, 20, nonlinearity="gelu")(x[0]), ("gelu",)),
}

CONSTRUCTIONS: dict[str, Call] = {
    "hidden_size 0": lambda m: m.RNN(10, 0),
    "hidden_size -1": lambda m: m.RNN(10, -1),
    "hidden_size 20.0": lambda m: m.RNN(10, 20.0),
    "input_size 0": lambda m: m.RNN(0, 20),
    "input_size -1": lambda m: m.RNN(-1, 20),
    "input_size 'a'": lambda m: m.RNN("a", 20),
    "num_layers 0": lambda m: m.RNN(10, 20, 0),
    "num_layers -1": lambda m: m.RNN(10, 20, -1),
    "dropout -0.1": lambda m: m.RNN(10, 20, 2, dropout=-0.1),
    "dropout 1.5": lambda m: m.RNN(10, 20, 2, dropout=1.5),
    "dropout nan": lambda m: m.RNN(10, 20, 2, dropout=float("nan")),
    "dropout True": lambda m: m.RNN(10, 20, 2, dropout=True),
    "nonlinearity gelu": lambda m: m.RNN(10, 20, nonlinearity="gelu"),
    "nonlinearity None": lambda m: m.RNN(10, 20, nonlinearity=None),
    "nonlinearity fourth": lambda m: m.RNN(10, 20, 1, "gelu"),
    "proj_size 3": lambda m: m.RNN(10, 20, proj_size=3),
    "bias 1": lambda m: m.RNN(10, 20, bias=1),
    "batch_first yes": lambda m: m.RNN(10, 20, batch_first="yes"),
    "dtype int64": lambda m: m.RNN(10, 20, dtype=torch.int64),
    "device nowhere": lambda m: m.RNN(10, 20, device="nowhere"),
    "cell hidden_size -1": lambda m: m.RNNCell(10, -1),
}
UNLOOKED = {"input_size 0", "bias 1", "batch_first yes"} if torch.__version__ < "2.13" else set()
"""What the constructors of older torches, which elman's are, take."""
REFUSED = [what for what in CONSTRUCTIONS if what not in UNLOOKED]

# What only an LSTM can be called with, and built with; a cell takes (3, 10).
x2, big, small, cell_h = torch.randn(3, 10), torch.randn(1, 3, 20), torch.randn(1, 3, 7), torch.randn(3, 20)
OF_LSTM: dict[str, tuple[Call, tuple[str, ...]]] = {
    "h_0 alone": (lambda m: m.LSTM(10, 20)(x, h), ("pair", "h_0, c_0", "tensor (1, 3, 20)")),
    "no pair but a list of one": (lambda m: m.LSTM(10, 20)(x, [h]), ("pair", "1 of them")),
    "c_0 is a list": (lambda m: m.LSTM(10, 20)(x, (h, [1.0])), ("list", "torch.Tensor")),
    "c_0 is None": (lambda m: m.LSTM(10, 20)(x, (h, None)), ("NoneType", "torch.Tensor")),
    "c_0 has another batch": (lambda m: m.LSTM(10, 20)(x, (h, torch.randn(1, 4, 20))), ("c_0", "batch 4", "3")),
    "c_0 has too many layers": (lambda m: m.LSTM(10, 20)(x, (h, torch.randn(2, 3, 20))), ("c_0", "layers", "2")),
    "c_0 has another size": (lambda m: m.LSTM(10, 20)(x, (h, torch.randn(1, 3, 21))), ("c_0", "hidden_size 21", "20")),
    "c_0 lacks an axis": (lambda m: m.LSTM(10, 20)(x, (h, torch.randn(3, 20))), ("h_0 as", "c_0 as", "(3, 20")),
    "both lack an axis": (lambda m: m.LSTM(10, 20)(x, (cell_h, cell_h)), ("(1, 3, 20)", "(3, 20")),
    "one sequence, states of a batch": (lambda m: m.LSTM(10, 20)(x2, (h, h)), ("(1, 20)", "(1, 3, 20")),
    "c_0 is double": (lambda m: m.LSTM(10, 20)(x, (h, doubles(1, 3, 20))), ("float64", "float32")),
    "c_0 on another device": (lambda m: m.LSTM(10, 20)(x, (h, metas(1, 3, 20))), ("meta", "cpu")),
    "projected, swapped": (
        lambda m: m.LSTM(10, 20, proj_size=7)(x, (big, small)),
        ("h_0", "c_0", "swapped", "pass (h_0, c_0)"),
    ),
    "projected, h_0 is not": (lambda m: m.LSTM(10, 20, proj_size=7)(x, (big, big)), ("proj_size 7", "20")),
    "projected, c_0 is too": (lambda m: m.LSTM(10, 20, proj_size=7)(x, (small, small)), ("hidden_size 20", "7")),
    "packed, c_0 of another batch": (
        lambda m: m.LSTM(10, 20)(pack_sequence([x[:, 0], x[:3, 1]]), (h[:, :2], h)),
        ("c_0", "batch", "2", "3"),
    ),
    "cell, h alone": (lambda m: m.LSTMCell(10, 20)(x2, cell_h), ("pair", "tensor (3, 20)")),
    "cell, c has three axes": (lambda m: m.LSTMCell(10, 20)(x2, (cell_h, h)), ("hx[1]", "(1, 3, 20")),
    "cell, h has three axes": (lambda m: m.LSTMCell(10, 20)(x2, (h, cell_h)), ("hx[0]", "(1, 3, 20")),
    "cell, c of another batch": (lambda m: m.LSTMCell(10, 20)(x2, (cell_h, torch.randn(4, 20))), ("batch", "4", "3")),
    "cell, c of another size": (lambda m: m.LSTMCell(10, 20)(x2, (cell_h, torch.randn(3, 21))), ("21", "20")),
    "cell, h is double": (lambda m: m.LSTMCell(10, 20)(x2, (doubles(3, 20), cell_h)), ("float64", "float32")),
    "a tensor of three states": (lambda m: m.LSTM(10, 20)(x, torch.randn(3, 3, 20)), ("c_0 as", "(1, 3, 20)")),
    "three states": (lambda m: m.LSTM(10, 20)(x, (h, h, h)), ("pair", "3 of them")),
    "a number": (lambda m: m.LSTM(10, 20)(x, 1.0), ("pair", "float")),
    "cell, three states": (lambda m: m.LSTMCell(10, 20)(x2, (cell_h,) * 3), ("pair", "3 of them")),
}
WITH_PROJECTION: dict[str, Call] = {
    "proj_size -1": lambda m: m.LSTM(10, 20, proj_size=-1),
    "proj_size 20": lambda m: m.LSTM(10, 20, proj_size=20),
    "proj_size 21": lambda m: m.LSTM(10, 20, proj_size=21),
    "of a GRU": lambda m: m.GRU(10, 20, proj_size=3),
    "of a GRU, 0": lambda m: m.GRU(10, 20, proj_size=0),
    "of an RNN, 0": lambda m: m.RNN(10, 20, proj_size=0),
}

# Python's own TypeErrors name the function, which torch calls RNNBase: their class alone is fixed.
SIGNATURES: dict[str, Call] = {
    "no sizes": lambda m: m.RNN(),
    "one size": lambda m: m.RNN(10),
    "unknown keyword": lambda m: m.RNN(10, 20, layers=2),
    "a size twice": lambda m: m.RNN(10, 20, hidden_size=20),
    "num_layers '2'": lambda m: m.RNN(10, 20, "2"),
    "dropout None": lambda m: m.RNN(10, 20, 2, dropout=None),
    "no input": lambda m: m.RNN(10, 20)(),
    "unknown keyword of the call": lambda m: m.RNN(10, 20)(x, h0=h),
    "cell with one size": lambda m: m.RNNCell(10),
}


def raised(call: Call, by: SimpleNamespace) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call(by)
    return caught.value


def start(message: str) -> str:
    """The first words of a message: up to its first number, and 25 characters at most."""
    return re.split(r"\d", message, maxsplit=1)[0][:25]


def assert_torchs(ours: Exception, theirs: Exception) -> None:
    assert isinstance(ours, type(theirs)), f"{ours!r} is no {type(theirs).__name__}"
    if "must have the type" in str(theirs):  # as torch said it before 2.13
        return
    assert str(ours).startswith(start(str(theirs))), f"{str(ours)!r} does not start as {str(theirs)!r}"


@pytest.mark.parametrize(("call", "says"), CALLS.values(), ids=list(CALLS))
def test_bad_call_gets_torchs_class_and_a_sentence(call: Call, says: tuple[str, ...]) -> None:
    ours, theirs = raised(call, OURS), raised(call, THEIRS)
    assert_torchs(ours, theirs)
    for words in says:
        assert words in str(ours)


def without_nonlinearity(table: dict[str, Any]) -> dict[str, Any]:
    return {what: value for what, value in table.items() if "nonlinearity" not in what}


UNCHECKED = {
    "h_0 is double",
    "h_0 holds integers",
    "packed, wrong feature size",
    "packed, h_0 of another batch",
    "packed, h_0 lacks an axis",
}
gated = pytest.mark.parametrize("homes", [GRUS, LSTMS], ids=["GRU", "LSTM"])


@gated
@pytest.mark.parametrize("what", without_nonlinearity(CALLS))
def test_bad_call_of_a_gated_layer_or_cell(what: str, homes: list[SimpleNamespace]) -> None:
    """Where torch's LSTM looks at nothing, reads other memory or ends somewhere inside, with RNN's and GRU's class."""
    call, says = CALLS[what]
    expected = GRUS[1] if homes is LSTMS and what in UNCHECKED else homes[1]
    ours, theirs = raised(call, homes[0]), raised(call, expected)
    if homes is LSTMS and what in UNCHECKED:
        assert isinstance(ours, type(theirs))
    else:
        assert_torchs(ours, theirs)
    for words in says:
        assert words in str(ours)


@gated
@pytest.mark.parametrize("what", [what for what in REFUSED if "proj" not in what and "nonlinearity" not in what])
def test_bad_construction_of_a_gated_layer_or_cell(what: str, homes: list[SimpleNamespace]) -> None:
    assert_torchs(*(raised(CONSTRUCTIONS[what], home) for home in homes))


@gated
@pytest.mark.parametrize("what", SIGNATURES)
def test_bad_signature_of_a_gated_layer_or_cell(what: str, homes: list[SimpleNamespace]) -> None:
    ours, theirs = (raised(SIGNATURES[what], home) for home in homes)
    assert isinstance(ours, type(theirs))


@pytest.mark.parametrize(("call", "says"), OF_LSTM.values(), ids=list(OF_LSTM))
def test_bad_states_of_an_lstm(call: Call, says: tuple[str, ...]) -> None:
    ours, theirs = raised(call, elman), raised(call, torch.nn)
    assert isinstance(ours, type(theirs)), f"{ours!r} is no {type(theirs).__name__}"
    if not any(inside in str(theirs) for inside in ("kldnn", "of tensor a", "lstm_cell()", "not subscriptable")):
        assert str(ours).startswith(start(str(theirs)))
    for words in says:
        assert words in str(ours)


@pytest.mark.parametrize("call", WITH_PROJECTION.values(), ids=list(WITH_PROJECTION))
def test_bad_projection_gets_torchs_class(call: Call) -> None:
    assert_torchs(raised(call, elman), raised(call, torch.nn))


@pytest.mark.parametrize("what", REFUSED)
def test_bad_construction_gets_torchs_class(what: str) -> None:
    call = CONSTRUCTIONS[what]
    assert_torchs(raised(call, OURS), raised(call, THEIRS))


@pytest.mark.parametrize("call", SIGNATURES.values(), ids=list(SIGNATURES))
def test_bad_signature_gets_torchs_class(call: Call) -> None:
    assert isinstance(raised(call, OURS), type(raised(call, THEIRS)))


def test_a_refused_call_leaves_the_layer_usable() -> None:
    layer = elman.RNN(10, 20)
    expected = layer(x, h)
    with pytest.raises(RuntimeError):
        layer(torch.randn(5, 3, 9))
    torch.testing.assert_close(layer(x, h), expected, rtol=0, atol=0)


def test_errors_are_the_same_in_every_backend(backend: str) -> None:
    """A backend asked for by name gives the same sentence: the checks come before the choice."""
    layer = elman.RNN(10, 20)
    with pytest.raises(RuntimeError, match=r"input\.size\(-1\) must be equal to input_size"):
        layer(torch.randn(5, 3, 9))
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        layer(x, torch.randn(1, 4, 20))
