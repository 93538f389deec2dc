"""trace keeps what the layer computes: compared with torch.nn.RNN, with products written out, with its autograd."""

import itertools
import re
from pathlib import Path

import pytest
import torch
from cases import CASES, DTYPES, SMALL, Case
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman
from elman.explain import _run
from elman.explain._numbers import fixed, rounded, short
from elman.explain._trace import Trace

LENGTHS = [7, 1, 0, 5]


def layer_alone(rnn: nn.RNN, layer: int, d: int) -> nn.RNN:
    """One direction of one layer of a stack, as a layer of torch's own, with time first."""
    suffix = f"_l{layer}{'_reverse' if d else ''}"
    weights = {name: p for name, p in rnn.named_parameters() if name.endswith(suffix)}
    alone = nn.RNN(
        weights[f"weight_ih{suffix}"].shape[1],
        rnn.hidden_size,
        nonlinearity=rnn.nonlinearity,
        bias=rnn.bias,
        dtype=weights[f"weight_ih{suffix}"].dtype,
    )
    alone.load_state_dict({name.removesuffix(suffix) + "_l0": p for name, p in weights.items()})
    return alone


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_state_and_term_is_torchs(case: Case, dtype: torch.dtype) -> None:
    """Each layer and direction is run alone by torch; its states, and the products that enter them, are compared."""
    rnn, x, h0 = case.layer(nn.RNN, dtype), case.input(dtype).detach(), case.h0(dtype).detach()
    trace = elman.trace(rnn, x, h0)
    output, h_n = rnn(x, h0)
    torch.testing.assert_close(trace.output, output)
    torch.testing.assert_close(trace.h_n, h_n)
    below = x.transpose(0, 1) if case.batch_first else x
    torch.testing.assert_close(trace.x, below, rtol=0, atol=0)
    for layer in range(case.L):
        above = []
        for d in range(case.D):
            alone = layer_alone(rnn, layer, d)
            first = h0[layer * case.D + d : layer * case.D + d + 1]
            read = below.flip(0) if d else below
            states, _ = alone(read, first)
            before = torch.cat([first, states[:-1]])
            kept = {
                "hidden": states,
                "before": before,
                "input_term": read @ alone.weight_ih_l0.T,
                "recurrent_term": before @ alone.weight_hh_l0.T,
            }
            kept["pre_activation"] = kept["input_term"] + kept["recurrent_term"]
            for name in ("b_ih", "b_hh"):
                bias = getattr(alone, f"bias_{name[2:]}_l0") if case.bias else torch.zeros(case.H, dtype=dtype)
                torch.testing.assert_close(getattr(trace, name)[layer, d], bias)
                kept["pre_activation"] = kept["pre_activation"] + bias
            for name, value in kept.items():
                torch.testing.assert_close(
                    getattr(trace, name)[layer, d],
                    value.flip(0) if d else value,
                    msg=lambda said, n=name: f"{n}: {said}",
                )
            above.append(states.flip(0) if d else states)
        below = torch.cat(above, -1)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.id)
@pytest.mark.parametrize("cls", [elman.RNN, nn.RNN])
def test_unbatched_input_is_one_sequence(case: Case, cls: type[nn.Module]) -> None:
    rnn, x = case.layer(cls), torch.randn(case.T, case.I)
    h0 = torch.randn(case.L * case.D, case.H)
    trace = elman.trace(rnn, x, h0)
    for got, expected in zip((trace.output, trace.h_n), case.layer(nn.RNN)(x, h0), strict=True):
        torch.testing.assert_close(got, expected)
    assert trace.hidden.shape == (case.L, case.D, case.T, 1, case.H)
    assert list(trace.shapes["input"]) == ["time", "feature"]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_lengths_are_those_of_a_packed_sequence(batch_first: bool, bidirectional: bool, packed: bool) -> None:
    lengths = LENGTHS[:2] + LENGTHS[3:] if packed else LENGTHS  # torch packs no empty sequence
    options = dict(num_layers=2, bidirectional=bidirectional, batch_first=batch_first)
    rnn = elman.RNN(3, 5, **options)
    theirs = nn.RNN(3, 5, **options)
    theirs.load_state_dict(rnn.state_dict())
    T, N, D = 7, len(lengths), 2 if bidirectional else 1
    x = torch.randn((N, T, 3) if batch_first else (T, N, 3))
    if packed:
        trace = elman.trace(theirs, pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False))
    else:
        trace = elman.trace(rnn, x, lengths=lengths)
    some = [n for n in range(N) if lengths[n]]
    chosen = x[some] if batch_first else x[:, some]
    given = pack_padded_sequence(chosen, [lengths[n] for n in some], batch_first, enforce_sorted=False)
    output, h_n = theirs(given)
    output, _ = pad_packed_sequence(output, batch_first)
    torch.testing.assert_close(trace.output[some] if batch_first else trace.output[:, some], output)
    torch.testing.assert_close(trace.h_n[:, some], h_n)
    for name in ("input_term", "recurrent_term", "pre_activation", "hidden", "before"):
        assert not getattr(trace, name)[:, :, ~trace.there].any(), name
    assert trace.there.sum(0).tolist() == lengths
    assert trace.hidden.shape == (2, D, T, N, 5)


def test_padding_is_not_read() -> None:
    rnn, x = elman.RNN(3, 5, bidirectional=True), torch.randn(7, 4, 3)
    clean = elman.trace(rnn, x, lengths=LENGTHS)
    x[~clean.there] = torch.nan
    torch.testing.assert_close(elman.trace(rnn, x, lengths=LENGTHS).hidden, clean.hidden)


def test_difference_is_that_of_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    rnn, x = elman.RNN(3, 5, 2), torch.randn(7, 4, 3)
    trace = elman.trace(rnn, x)
    assert trace.backend == "numba"
    with elman.use_backend("reference"):
        by_definition = rnn(x)
    with elman.use_backend("numba"):
        by_kernels = rnn(x)
    apart = max(float((a - b).detach().abs().max()) for a, b in zip(by_definition, by_kernels, strict=True))
    assert trace.difference == pytest.approx(apart, rel=1e-6)
    assert trace.difference < 1e-6
    with elman.use_backend("torch"):
        assert elman.trace(rnn, x).backend == "torch"
    right = _run.run

    def broken(*arguments):
        output, (h_n,) = right(*arguments)
        return output, (h_n + 0.25,)

    monkeypatch.setattr(_run, "run", broken)
    wrong = elman.trace(rnn, x)
    assert wrong.difference == pytest.approx(0.25, abs=1e-6)
    assert wrong.tolerance_ratio == pytest.approx(0.25 / (1e-5 + 1.3e-6 * float(trace.h_n.abs().min())), rel=1e-4)
    allowed = f"(up to {short(wrong.tolerance_ratio)} times what torch.testing.assert_close allows)"
    assert f"the largest difference is 0.25 {allowed}" in repr(wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e6])
def test_tolerance_ratio_is_that_of_assert_close(monkeypatch: pytest.MonkeyPatch, dtype, size) -> None:
    """States half and twice as far off as is allowed, small and large: assert_close takes only the first."""
    rnn, right = elman.RNN.from_weights([[1.0]], [[0.0]], nonlinearity="relu").to(dtype), _run.run
    rtol, atol = _run.TOLERANCES[dtype]
    x, outputs = torch.full((4, 1), size, dtype=dtype), []
    for factor in (0.5, 2.0):

        def off(*arguments, factor=factor):
            output, last = right(*arguments)
            outputs.append(output + factor * (atol + rtol * output))
            return outputs[-1], last

        monkeypatch.setattr(_run, "run", off)
        trace = elman.trace(rnn, x)
        assert trace.tolerance_ratio == pytest.approx(factor, rel=0.1)
        assert trace.difference == pytest.approx(factor * (atol + rtol * size), rel=0.1)
        if factor < 1:
            torch.testing.assert_close(outputs[-1][:, 0], trace.output)
        else:
            with pytest.raises(AssertionError, match="not close"):
                torch.testing.assert_close(outputs[-1][:, 0], trace.output)


def test_a_difference_that_is_no_number_is_infinite(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend's NaN where the reference has a number counts; NaN or infinity in both does not."""
    rnn, x, right = elman.RNN(3, 5), torch.randn(7, 4, 3), _run.run

    def broken(*arguments):
        output, h_n = right(*arguments)
        output[2, 1, 3] = torch.nan
        return output, h_n

    assert elman.trace(rnn, x * torch.nan).difference == 0
    huge = elman.RNN.from_weights([[1e30]], [[1e30]], nonlinearity="relu")
    assert elman.trace(huge, torch.ones(5, 1)).difference == 0
    monkeypatch.setattr(_run, "run", broken)
    assert elman.trace(rnn, x).difference == torch.inf
    assert elman.trace(rnn, x).tolerance_ratio == torch.inf
    assert "the largest difference is inf (up to inf times" in repr(elman.trace(rnn, x))


def test_states_that_are_no_numbers_are_said() -> None:
    x = torch.randn(4, 1, 3)
    x[2:] = torch.nan
    said = repr(elman.trace(elman.RNN(3, 5), x))
    assert "layer 0: 50% of the hidden states are NaN or infinite" in said
    assert "saturated" not in said


def test_layer_is_left_as_it_was() -> None:
    """Training mode, dropout, gradients and the random state stay; dropout is left out and a note says so."""
    rnn = elman.RNN(3, 5, 2, dropout=0.5)
    x = torch.randn(7, 4, 3, requires_grad=True)
    state = torch.get_rng_state()
    trace = elman.trace(rnn, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert rnn.training
    assert rnn.dropout == 0.5
    assert all(p.grad is None for p in rnn.parameters())
    assert x.grad is None
    torch.testing.assert_close(trace.output, rnn.eval()(x)[0])
    assert not trace.output.requires_grad
    assert trace.notes == ("Dropout between the layers was left out, as in eval mode.",)
    assert elman.trace(rnn, x).notes == ()
    with torch.no_grad():
        rnn.weight_ih_l0.zero_()
    assert trace.weights["weight_ih_l0"].any()


def test_short_dtypes_are_traced_in_float32() -> None:
    rnn, x = elman.RNN(3, 5, dtype=torch.bfloat16), torch.randn(7, 2, 3, dtype=torch.bfloat16)
    trace = elman.trace(rnn, x)
    assert trace.hidden.dtype == torch.float32
    torch.testing.assert_close(trace.output.bfloat16(), rnn(x)[0])
    assert (trace.backend, trace.difference < 1e-6) == ("numba", True)


def test_autocast_does_not_blur_the_trace() -> None:
    rnn, x = elman.RNN(3, 5, 2), torch.randn(7, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trace = elman.trace(rnn, x)
        sentence = trace.sensitivity().sentence
    torch.testing.assert_close(trace.hidden, elman.trace(rnn, x).hidden)
    assert trace.difference < 1e-6
    assert sentence == trace.sensitivity().sentence


def test_no_step_and_no_sequence() -> None:
    rnn = elman.RNN(3, 5, 2, bidirectional=True)
    for shape in ((0, 2, 3), (4, 0, 3), (0, 3)):
        trace = elman.trace(rnn, torch.randn(shape))
        assert trace.difference == 0
        assert str(trace)
        assert trace.table().rows == []
        with pytest.raises(IndexError, match=r"0 (steps|sequences)"):
            trace.at(0)
        with pytest.raises(IndexError, match=r"0 sequences|no step"):
            trace.sensitivity()
        with pytest.raises(ValueError, match="nothing to show"):
            trace.save("never.html")
    trace = elman.trace(rnn, torch.randn(4, 2, 3), lengths=[0, 0])
    torch.testing.assert_close(trace.h_n, torch.zeros(4, 2, 5))
    assert str(trace)


def test_what_is_no_rnn_is_refused() -> None:
    x = torch.randn(5, 2, 3)
    for module, word in ((nn.Linear(3, 4), "Linear"), (nn.GRUCell(3, 4), "GRUCell")):
        with pytest.raises(TypeError, match=f"got {word}"):
            elman.trace(module, x)
    with pytest.raises(TypeError, match="pass the layer inside it, '0', with what that layer reads"):
        elman.trace(nn.Sequential(nn.RNN(3, 4)), x)
    with pytest.raises(TypeError, match="got LSTMCell: it explains whole sequences"):
        elman.trace(nn.LSTMCell(3, 4), x)
    for cls in (elman.LSTM, nn.LSTM):
        with pytest.raises(TypeError, match="without projection; this one has proj_size=2"):
            elman.trace(cls(3, 4, proj_size=2), x)
    with pytest.raises(TypeError, match="complex"):
        elman.trace(elman.RNN(3, 4, dtype=torch.complex64), x.to(torch.complex64))
    with pytest.raises(RuntimeError, match="input was read as"):
        elman.trace(elman.RNN(4, 4), x)
    with pytest.raises(ValueError, match="lengths"):
        elman.trace(elman.RNN(3, 4), x, lengths=[1])


# One number


def test_at_spells_out_each_number() -> None:
    """Every number's products, biases and sum lead to torch's own state, by Python's arithmetic."""
    rnn = nn.RNN(3, 4, 2, bidirectional=True, dtype=torch.float64)
    x, h0 = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(4, 2, 4, dtype=torch.float64)
    trace = elman.trace(rnn, x, h0, lengths=[5, 3])
    for layer, d, t, n, unit in itertools.product(range(2), range(2), range(5), range(2), range(4)):
        if t >= (5, 3)[n]:
            with pytest.raises(IndexError, match="past the end of sequence 1, whose length is 3"):
                trace.at(t, layer, d, unit, n)
            continue
        number = trace.at(t, layer, d, unit, n)
        assert number.value == float(trace.hidden[layer, d, t, n, unit])
        assert torch.tanh(torch.tensor(number.pre_activation)).item() == pytest.approx(number.value, abs=1e-6)
        assert number.input_term == pytest.approx(float(trace.input_term[layer, d, t, n, unit]), abs=1e-12)
        assert number.recurrent_term == pytest.approx(float(trace.recurrent_term[layer, d, t, n, unit]), abs=1e-12)
        suffix = f"l{layer}{'_reverse' if d else ''}"
        for product in (*number.from_input, *number.from_state):
            name, place = product.weight.split("[")
            row, column = map(int, place.rstrip("]").split(", "))
            assert name in (f"weight_ih_{suffix}", f"weight_hh_{suffix}")
            assert product.factors[0] == getattr(rnn, name)[row, column].item()
            assert row == unit
            what, place = product.source.split("[")
            step, k = map(int, place.rstrip("]").split(", "))
            source = {
                "x": lambda t, k, n=n: x[t, n, k],
                "h_0": lambda row, k, n=n: h0[row, n, k],
                "h": lambda t, k, n=n, at=(layer, d): trace.hidden[*at, t, n, k],
                "y0": lambda t, k, n=n: trace.hidden[0, k // 4, t, n, k % 4],
            }[what]
            assert product.factors[1] == source(step, k).item()
    output, _ = rnn(x[:, :1], h0[:, :1])
    assert trace.at(-1, -1, 0, 2).value == pytest.approx(output[-1, 0, 2].item())


def test_formula_reads_like_a_line_on_paper() -> None:
    rnn = elman.RNN.from_weights([[0.12, -0.5], [0.25, 1]], [[0.75, 0.5], [-0.25, 0.125]], [0.1, -0.2], [0, 0.3])
    trace = elman.trace(rnn, torch.tensor([[1.0, -2.0], [0.5, 0.0]])).label(tokens=["one", "two"])
    assert trace.at(0).formula == "tanh(0.12·1 + 0.25·(-2) + 0.75·0 - 0.25·0 + 0.1 + 0) = tanh(-0.28) = -0.2729"
    h = trace.hidden[0, 0, 0, 0].tolist()
    total = -0.5 * 0.5 + 0.5 * h[0] + 0.125 * h[1] - 0.2 + 0.3
    assert trace.at(1, unit=1).formula == (
        f"tanh(-0.5·0.5 + 1·0 + 0.5·({rounded(h[0])}) + 0.125·({rounded(h[1])}) - 0.2 + 0.3)"
        f" = tanh({rounded(total)}) = {rounded(torch.tanh(torch.tensor(total)).item())}"
    )
    assert str(trace.at(1, unit=1)).splitlines()[0] == "layer 0, step 1 (two), unit 1"
    for name in ("weight_ih_l0[1] · x[1]", "weight_hh_l0[1] · h[0]", "bias_ih_l0[1]", "bias_hh_l0[1]"):
        assert name in str(trace.at(1, unit=1))
    assert "weight_hh_l0[1] · h_0[0]" in str(trace.at(0, unit=1))


def test_of_many_products_the_largest_are_shown() -> None:
    rnn = elman.RNN(20, 9, bias=False)
    trace = elman.trace(rnn, torch.randn(3, 20))
    number = trace.at(2)
    shown = number.formula.split("…")[0]
    largest = sorted(number.from_input, key=lambda product: -abs(product.value))[:4]
    for product in largest:
        assert f"{rounded(abs(product.factors[0]))}·" in shown
    assert shown.count("·") == 4
    assert "the largest 4 of 20 products with the input are shown" in str(number)


def test_index_errors_name_the_axis() -> None:
    trace = elman.trace(elman.RNN(3, 4), torch.randn(5, 2, 3))
    for place, said in (
        (dict(t=5), "t = 5: the trace has 5 steps, 0 to 4"),
        (dict(t=-6), "t = -6: the trace has 5 steps"),
        (dict(t=0, layer=1), "layer = 1: the trace has 1 layers"),
        (dict(t=0, direction=1), "direction = 1: the trace has 1 directions"),
        (dict(t=0, unit=4), "unit = 4: the trace has 4 units"),
        (dict(t=0, batch=2), "batch = 2: the trace has 2 sequences"),
    ):
        with pytest.raises(IndexError, match=said):
            trace.at(**place)
    with pytest.raises(TypeError, match="unit should be a whole number"):
        trace.at(0, unit=1.5)


def test_numbers_are_rounded_as_on_paper() -> None:
    assert [fixed(v) for v in (0.5, 0.00005, -0.00004, 0.03125, -0.03125, 12345.6, 9999.99999)] == [
        "0.5000",
        "0.0001",
        "0.0000",
        "0.0313",
        "-0.0313",
        "1.235e+4",
        "10000.0000",
    ]
    assert [fixed(float(v)) for v in ("nan", "inf", "-inf")] == ["nan", "inf", "-inf"]
    assert [rounded(v) for v in (0.5, 1.0, -0.0, 0.1234499, 100.0, 1e10)] == [
        "0.5",
        "1",
        "0",
        "0.1234",
        "100",
        "1.000e+10",
    ]
    assert [short(v) for v in (0.0, 1.5e-7, 0.001234, 99.99, 123456.0)] == ["0", "1.50e-7", "0.00123", "100", "1.23e5"]


# Shapes, table, text


@pytest.mark.parametrize("cls", [elman.RNN, nn.RNN])
def test_ledger_is_that_of_the_tensors(cls: type[nn.Module]) -> None:
    for batch_first, bidirectional, layers in itertools.product((False, True), (False, True), (1, 3)):
        rnn = cls(5, 8, layers, batch_first=batch_first, bidirectional=bidirectional)
        x = torch.randn(40, 10, 5)
        h0 = torch.randn(layers * (1 + bidirectional), 10 if not batch_first else 40, 8)
        output, h_n = rnn(x, h0)
        shapes = elman.trace(rnn, x, h0).shapes
        for name, tensor in (("input", x), ("h_0", h0), ("output", output), ("h_n", h_n)):
            assert tuple(shapes[name].values()) == tensor.shape
        first = ["batch", "time"] if batch_first else ["time", "batch"]
        assert list(shapes["input"]) == list(shapes["output"]) == [*first, "feature"]
        assert list(shapes["h_0"]) == list(shapes["h_n"]) == ["layer·direction", "batch", "feature"]


def test_table_holds_every_number_once() -> None:
    rnn, x = elman.RNN(3, 4, 2, bidirectional=True), torch.randn(5, 2, 3)
    trace = elman.trace(rnn, x, lengths=[5, 2]).label(tokens=list("abcde"))
    rows = trace.table().rows
    assert len(rows) == 2 * 2 * (5 + 2) * 4
    for row in rows:
        place = row["layer"], ("forward", "reverse").index(row["direction"]), row["step"], row["sequence"], row["unit"]
        for name in ("input_term", "recurrent_term", "pre_activation", "hidden"):
            assert row[name] == getattr(trace, name)[place].item()
        assert row["b_ih"] == trace.b_ih[place[0], place[1], place[4]].item()
        assert row["token"] == "abcde"[row["step"]]
    text = str(trace.table()).splitlines()
    assert text[0].split() == list(rows[0])
    assert text[1].split() == [fixed(v) if isinstance(v, float) else str(v) for v in rows[0].values()]
    assert text[-1] == "… 72 more rows in .rows"


def test_print_says_what_matters() -> None:
    trace = elman.trace(elman.RNN(3, 4), torch.randn(5, 2, 3)).label(tokens=list("abcde"))
    text = str(trace)
    for part in ("RNN(3, 4)", "(time 5, batch 2, feature 3)", "numba kernels against the reference", "a b c d e"):
        assert part in text
    assert trace.sensitivity().sentence in text
    saturated = elman.trace(elman.RNN.from_weights([[5.0]], [[0.0]]), torch.tensor([[1.0], [-1.0], [0.01], [1.0]]))
    assert "layer 0: 75% of the hidden states are saturated" in str(saturated)
    silent = elman.RNN.from_weights([[1.0]], [[0.0]], nonlinearity="relu")
    assert "50% of the hidden states are 0" in str(elman.trace(silent, torch.tensor([[1.0], [-1.0]])))


HOSTILE = ["</script>", "<img src=x onerror=alert(1)>", "&amp;", "'\"", "\n", "$x$", "\u202e", "[[data]]"]


def test_html_shows_text_as_itself() -> None:
    trace = elman.trace(elman.RNN(3, 2), torch.randn(8, 3)).label(tokens=HOSTILE, title="<b>bold</b>", note="<i>")
    for markup in (trace._repr_html_(), trace.table()._repr_html_()):
        assert "<img" not in markup
        assert "</script" not in markup
        assert "<b>bold" not in markup
        assert "&lt;img src=x onerror=alert(1)&gt;" in markup
        assert "&amp;amp;" in markup
        assert "\u202e" not in markup


def test_labels_fit_their_axes() -> None:
    trace = elman.trace(elman.RNN(3, 2), torch.randn(4, 2, 3), lengths=[4, 2])
    assert trace.label(tokens="abcd").labels.token(1, 1) == "b"
    assert trace.label(tokens=[list("abcd"), list("ef")]).labels.tokens == (tuple("abcd"), ("e", "f", "", ""))
    assert trace.label(tokens=[1, 2, 3, 4]).labels.token(0, 0) == "1"
    guesses = [[[("a", 0.5), ("b", 0.25)]] * 4, [[("c", 1.0)]] * 2]
    assert trace.label(predictions=guesses).labels.expected(1, 1)[0].token == "c"
    assert trace.label(predictions=guesses).labels.expected(3, 1) == ()
    for targets in (torch.arange(4.0), torch.arange(8).view(2, 4)):
        assert trace.label(targets=targets).labels.targets == trace.label(targets=targets.tolist()).labels.targets
    with pytest.raises(ValueError, match="targets should be 2 lists"):
        trace.label(targets=torch.zeros(4, 2))
    assert trace.label(title="t").labels.title == {"en": "t", "ko": "t"}
    kept = trace.label(tokens="abcd").label(features=["x", "y", "z"])
    assert kept.labels.tokens is not None
    assert kept.labels.features == ("x", "y", "z")
    for wrong, said in (
        (dict(tokens="abc"), "tokens should have 4, one for each step, got 3"),
        (dict(tokens=[list("abcd")]), "tokens should be 2 lists, one for each sequence, got 1"),
        (dict(tokens=[list("abcd"), list("efg")]), r"tokens\[1\] should have 4"),
        (dict(features=["x"]), "features should name the 3 input features, got 1"),
        (dict(title={"fr": "bonjour"}), "title is a text, or a mapping from 'en' and 'ko'"),
    ):
        with pytest.raises(ValueError, match=said):
            trace.label(**wrong)


# Sensitivity


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_sensitivity_is_the_norm_of_torchs_jacobian(bidirectional: bool, nonlinearity: str) -> None:
    T, H, D = 6, 5, 2 if bidirectional else 1
    rnn = nn.RNN(3, H, 2, nonlinearity=nonlinearity, bidirectional=bidirectional, dtype=torch.float64)
    x = torch.randn(T, 2, 3, dtype=torch.float64)
    trace = elman.trace(rnn, x)
    jacobian = torch.autograd.functional.jacobian(lambda x: rnn(x)[0][:, 1], x)  # (T, D * H, T, N, I)
    for d in range(D):
        for t in (None, 0, 3):
            step = (0 if d else T - 1) if t is None else t
            own = jacobian[step, d * H : (d + 1) * H, :, 1]  # (H, T, I)
            torch.testing.assert_close(trace.sensitivity(t, direction=d, batch=1).by_step, own.norm(dim=(0, 2)))
            torch.testing.assert_close(trace.sensitivity(t, direction=d, unit=2, batch=1).by_step, own[2].norm(dim=1))
        assert torch.equal(jacobian[0, :, :, 0], torch.zeros(D * H, T, 3, dtype=torch.float64))
    for layer in range(2):
        found = trace.sensitivity(3, layer=layer, batch=1)
        radii = torch.stack([radius_of_steps(trace, rnn, k) for k in range(layer + 1)])
        assert found.spectral_radius == pytest.approx(radii.max().item())
        assert found.carrier == radii.argmax()
        w_hh = getattr(rnn, f"weight_hh_l{found.carrier}").detach()
        assert found.weight_radius == pytest.approx(torch.linalg.eigvals(w_hh).abs().max().item())


def radius_of_steps(trace: Trace, rnn: nn.RNN, layer: int) -> torch.Tensor:
    """The median over all steps of the spectral radius of diag(f'(a_t)) W_hh."""
    states = trace.hidden[layer, 0, :, 1]
    slopes = 1 - states**2 if rnn.nonlinearity == "tanh" else (states > 0).double()
    w_hh = getattr(rnn, f"weight_hh_l{layer}").detach()
    return torch.stack([torch.linalg.eigvals(torch.diag(slope) @ w_hh).abs().max() for slope in slopes]).median()


def test_spectral_radius_is_that_of_the_whole_stack() -> None:
    """dh_t/dh_{t-1} of all layers at once, by autograd, has the radius that is said: here the lower layer carries."""
    rnn = nn.RNN(3, 4, 2, dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_hh_l0.mul_(3)
    x, h = torch.randn(1, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda h: rnn(x, h)[1], h).reshape(8, 8)
    found = elman.trace(rnn, x, h).sensitivity()
    assert found.spectral_radius == pytest.approx(torch.linalg.eigvals(jacobian).abs().max().item())
    assert found.carrier == 0


def test_sensitivity_of_lengths_and_lags() -> None:
    rnn, x = elman.RNN(3, 5, bidirectional=True, dtype=torch.float64), torch.randn(7, 2, 3, dtype=torch.float64)
    trace = elman.trace(rnn, x, lengths=[7, 4])
    alone = elman.trace(rnn, x[:4, 1:])
    for d in range(2):
        found, expected = trace.sensitivity(direction=d, batch=1), alone.sensitivity(direction=d)
        torch.testing.assert_close(found.by_step[:4], expected.by_step)
        assert not found.by_step[4:].any()
        assert found.t == (0 if d else 3)
    torch.testing.assert_close(alone.sensitivity().by_lag(), alone.sensitivity().by_step.flip(0))
    torch.testing.assert_close(alone.sensitivity(direction=1).by_lag(), alone.sensitivity(direction=1).by_step)
    with pytest.raises(IndexError, match="past the end"):
        trace.sensitivity(5, batch=1)


def test_sensitivity_says_what_it_means() -> None:
    """A linear chain multiplies by its weight at each step: the norms and the radius are powers known beforehand."""
    for weight, word in ((0.5, "vanish"), (2.0, "explode"), (1.0, "are carried")):
        rnn = elman.RNN.from_weights([[1.0]], [[weight]], nonlinearity="relu")
        found = elman.trace(rnn, torch.ones(6, 1)).sensitivity()
        torch.testing.assert_close(found.by_lag(), weight ** torch.arange(6.0))
        assert found.spectral_radius == found.weight_radius == weight
        assert found.sentence.startswith(
            f"Gradients {word}: in the state of layer 0 at step 5 the input 5 steps earlier"
        )
        assert f"about {short(weight)} " in found.sentence
    long = elman.trace(elman.RNN.from_weights([[1.0]], [[0.5]], nonlinearity="relu"), torch.ones(121, 1))
    torch.testing.assert_close(long.sensitivity().by_lag(), 0.5 ** torch.arange(121.0), atol=0, rtol=1e-6)
    cut = elman.RNN.from_weights([[1.0]], [[0.0]], nonlinearity="relu")
    for lang, said in (
        ("en", "the input 3 steps earlier does not count at all;"),
        ("ko", "전혀 영향을 주지 않습니다."),
    ):
        assert said in elman.trace(cut, torch.ones(4, 1), lang=lang).sensitivity().sentence
    one = elman.trace(elman.RNN(2, 3), torch.ones(1, 2)).sensitivity()
    assert "one input only" in one.sentence
    huge = elman.RNN.from_weights([[1.0]], [[1e30]], nonlinearity="relu")
    assert "not finite" in elman.trace(huge, torch.ones(5, 1)).sensitivity().sentence
    x = torch.tensor([[1.0], [torch.nan], [1.0]])
    for lang, end in (("en", "there are NaN or infinite numbers on its way."), ("ko", "NaN이나 무한대가 있습니다.")):
        assert elman.trace(elman.RNN(1, 2), x, lang=lang).sensitivity().sentence.endswith(end)  # no radius is NaN
    dead = elman.RNN.from_weights([[-1.0]], [[1.0]], nonlinearity="relu")
    assert "does not move" in elman.trace(dead, torch.ones(5, 1)).sensitivity().sentence


# Korean


def korean(text: str) -> bool:
    """Whether no English word is left beside the names that code has."""
    names = (
        r"weight_\w+|bias_\w+|h_\w+|x\[|y\d|NaN|tanh|relu|RNN|numba|reference|trace\.\w+|run\.html|output|tokens?|eval"
        r"|torch\.testing\.assert_close"
    )
    left = re.sub(names, "", text)
    return bool(re.search("[가-힣]", text)) and not re.search("[A-Za-z]{4,}", left)


def test_a_trace_speaks_korean() -> None:
    """Every sentence of it, whatever the locale says."""
    torch.manual_seed(0)
    cases = {
        "소실": (0.5, 8),
        "폭발": (2.0, 8),
        "유지됩니다": (1.0, 8),
        "작아집니다": (0.2, 2),
        "커집니다": (4.0, 2),
        "하나만 읽었습니다": (1.0, 1),
    }
    for said, (weight, steps) in cases.items():
        rnn = elman.RNN.from_weights([[1.0]], [[weight]], nonlinearity="relu")
        found = elman.trace(rnn, torch.ones(steps, 1), lang="ko").sensitivity()
        assert said in found.sentence
        assert korean(found.sentence)
    rnn = elman.RNN(9, 12, 2, bidirectional=True)
    trace = elman.trace(rnn, torch.randn(5, 3, 9), lang="ko").label(tokens=list("가나다라마"))
    assert trace.lang == "ko"
    number = str(trace.at(1, layer=1, direction=1, unit=2))
    assert number.startswith("층 1 역방향, 시점 1 (나), 유닛 2, 시퀀스 0\n")
    assert korean(number)
    assert all(korean(line) for line in str(trace).splitlines() if line.startswith(("-", "다음")))
    assert "층 0: 포화된(±0.99을 넘는) 은닉 상태가 없으므로" in str(trace)
    broken = elman.trace(elman.RNN(2, 3), torch.full((4, 2), torch.nan), lang="ko")
    assert "은닉 상태의 100%가 NaN이거나 무한대입니다" in str(broken)
    assert "유한한 수가 아닙니다" in broken.sensitivity().sentence


def test_the_locale_decides_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for value, lang in (("ko_KR.UTF-8", "ko"), ("en_US.UTF-8", "en"), ("de_DE", "en"), ("C.UTF-8", "en")):
        monkeypatch.setenv("LANG", value)
        assert elman.trace(elman.RNN(2, 3), torch.ones(4, 2)).lang == lang
    with pytest.raises(ValueError, match="lang is one of 'en', 'ko'"):
        elman.trace(elman.RNN(2, 3), torch.ones(4, 2), lang="fr")


# The documentation


@pytest.mark.parametrize(("name", "first"), [("explain.md", "layer 0"), ("explain.ko.md", "층 0")])
def test_documented_code_runs(
    name: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python blocks of the documents, one after another; what they say is printed, is printed."""
    pytest.importorskip("matplotlib").use("Agg")
    text = (Path(__file__).parent.parent / "docs" / name).read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(code, names)
    assert (tmp_path / "run.html").is_file()
    printed = capsys.readouterr().out
    shown = re.search(rf"```\n({first}.*?)```", text, flags=re.DOTALL)
    assert shown is not None
    assert shown[1] in printed
    blocks = re.findall(r"```\n(.*?)```", re.sub(r"```\w+\n.*?```", "", text, flags=re.DOTALL), flags=re.DOTALL)
    assert len(blocks) == 2
    assert all(block in printed for block in blocks)
    columns = re.findall(r"^\| (?:i|am|here|now) \|(.*?)\|(.*?)\|$", text, flags=re.MULTILINE)
    by_row = [[value.split(", ") for value in column if value.strip()] for column in zip(*columns, strict=True)]
    output = names["output"].tolist()
    assert [[value.strip() for value in row] for row in by_row[0]] == [[fixed(v) for v in state] for state in output]
    later = elman.RNN.from_weights(
        [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]], [[0.9, 1.0], [1.1, 1.2]], [0.1, 0.2], convention="W x"
    )
    states = [[fixed(v) for v in state] for state in later(torch.eye(4))[0].tolist()]
    assert [[value.strip() for value in row] for row in by_row[1]] == states
