"""The figures of a trace: what is drawn are the trace's numbers, on the axes given, with a sentence under them."""

import re

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
import itertools

from matplotlib import pyplot
from matplotlib.colors import to_rgba

import elman
from elman._fonts import fonts
from elman.explain import _drawing
from elman.explain._numbers import short

NAMES = ("network", "hidden", "activations", "sensitivity")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def trace():
    rnn = elman.RNN(3, 6, 2, bidirectional=True)
    return elman.trace(rnn, torch.randn(7, 2, 3), torch.randn(4, 2, 6), lengths=[7, 4])


def written(ax) -> str:
    return " ".join(ax.get_xlabel().split())


@pytest.mark.parametrize("name", NAMES)
def test_figure_draws_where_it_is_told_and_says_one_sentence(trace, name) -> None:
    figure, (ours, other) = pyplot.subplots(1, 2)
    untouched = len(other.get_children())
    ax, reading = getattr(trace, f"plot_{name}")(ax=ours)
    assert ax is ours
    assert len(other.get_children()) == untouched
    assert reading.endswith(".")
    assert reading in written(ax)
    figure.canvas.draw()  # a missing glyph would warn, and warnings are errors
    new, again = getattr(trace, f"plot_{name}")()
    assert new.figure is not figure
    assert again == reading


def test_heat_map_holds_the_states(trace) -> None:
    for layer, d, n in ((0, 0, 0), (1, 1, 1)):
        ax, reading = trace.plot_hidden(layer=layer, direction=d, batch=n)
        (image,) = ax.images
        shown = torch.from_numpy(image.get_array().filled(torch.nan)).T
        steps = (7, 4)[n]
        torch.testing.assert_close(shown[:steps], trace.hidden[layer, d, :steps, n])
        assert shown[steps:].isnan().all()
        assert (image.norm.vmin, image.norm.vmax) == (-1, 1)
        change = trace.hidden[layer, d, :steps, n].diff(dim=0).abs().mean(0)
        assert f"unit {int(change.argmin())} changes least" in reading


def test_network_has_a_box_for_every_state_and_both_ends(trace) -> None:
    ax, reading = trace.plot_network(batch=1)
    texts = [text.get_text() for text in ax.texts]
    assert [f"h_n[{row}]" in texts for row in range(4)] == [True] * 4
    assert "ends at step 0" in reading
    faces = {tuple(patch.get_facecolor()) for patch in ax.patches}
    shade = _drawing.colours()
    for n, there in ((1, True), (0, False)):
        value = float(trace.hidden[1, 1, 0, n, 3])
        assert (tuple(shade(value)) in faces) is there
    long = elman.trace(elman.RNN(2, 3), torch.randn(50, 2))
    assert "(steps 8 to 45 are left out)" in long.plot_network().reading


def test_activations_show_every_state_and_name_the_worst_layer() -> None:
    rnn = elman.RNN(3, 50, 2)
    with torch.no_grad():
        rnn.weight_ih_l1.mul_(30)
    trace = elman.trace(rnn, torch.randn(20, 2, 3))
    ax, reading = trace.plot_activations()
    stairs = [patch.get_data() for patch in ax.patches if hasattr(patch, "get_data")]
    assert len(stairs) == 2
    for layer, (values, edges, _) in enumerate(stairs):
        counts = torch.histogram(trace.hidden[layer].flatten(), torch.tensor(edges)).hist / trace.hidden[layer].numel()
        torch.testing.assert_close(torch.tensor(values), counts.to(torch.tensor(values).dtype), atol=2e-3, rtol=0)
        assert sum(values) == pytest.approx(1, abs=1e-6)
    share = float((trace.hidden[1].abs() > 0.99).float().mean())
    assert share > 0.2
    assert reading.startswith(f"In layer 1 {share:.0%} of the hidden states are saturated")
    silent = elman.trace(elman.RNN(3, 5, nonlinearity="relu"), torch.randn(20, 3)).plot_activations().reading
    assert "are 0, and through those no gradient passes" in silent


def test_sensitivity_is_drawn_by_lag(trace) -> None:
    for d in range(2):
        ax, reading = trace.plot_sensitivity(direction=d, batch=1)
        found = trace.sensitivity(direction=d, batch=1)
        assert reading == found.sentence
        line = ax.lines[-1]
        torch.testing.assert_close(torch.tensor(line.get_ydata()), found.by_lag()[:4].double())
        assert ax.get_yscale() == "log"


def test_figures_are_korean_where_there_is_a_font() -> None:
    """Titles, axes and readings; without Korean letters they stay English, which every font has."""
    rnn = elman.RNN(3, 6, 2, bidirectional=True)
    trace = elman.trace(rnn, torch.randn(7, 2, 3), lengths=[7, 4], lang="ko")
    for name in NAMES:
        ax, reading = getattr(trace, f"plot_{name}")()
        ax.figure.canvas.draw()  # a missing glyph would warn, and warnings are errors
        assert bool(re.search("[가-힣]", reading)) == (len(fonts()) > 1)
        assert reading in written(ax)


def test_text_is_drawn_as_it_is(trace) -> None:
    """No token is read as mathematics, and control characters do not vanish."""
    tokens = ["$x^2$", "</script>", "\n", "한", "$", "\u202e", "&amp;"]
    shown = ["$x^2$", "</script>", "\\n", "한", "$", "\\u202e", "&amp;"]
    if len(fonts()) == 1:  # no Korean letters on this machine: matplotlib would warn, as it should
        tokens[3] = shown[3] = "h"
    labelled = trace.label(tokens=tokens)
    ax, _ = labelled.plot_network()
    ax.figure.canvas.draw()
    assert [text.get_text() for text in ax.texts if text.get_text()][: len(shown)] == shown
    assert not any(text.get_parse_math() for text in ax.texts if text.get_text())
    ax, _ = labelled.plot_hidden()
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_xticklabels()] == shown
    assert not any(label.get_parse_math() for label in ax.get_xticklabels())


def test_strange_numbers_are_drawn_too() -> None:
    """One step, one unit, no input beyond it, NaN and infinity: each figure still comes out."""
    huge = elman.RNN.from_weights([[1e20]], [[1e20]], nonlinearity="relu")
    for trace in (
        elman.trace(elman.RNN(1, 1), torch.ones(1, 1)),
        elman.trace(huge, torch.ones(5, 1)),
        elman.trace(elman.RNN(2, 3), torch.full((4, 2), torch.nan)),
        elman.trace(elman.RNN(2, 3, nonlinearity="relu"), torch.zeros(4, 2)),
    ):
        for name in NAMES:
            ax, reading = getattr(trace, f"plot_{name}")()
            ax.figure.canvas.draw()
            assert reading


def test_missing_numbers_are_said() -> None:
    trace = elman.trace(elman.RNN(2, 3), torch.full((4, 2), torch.nan))
    assert "100% of the hidden states are NaN or infinite" in trace.plot_hidden().reading
    assert trace.plot_activations().reading.startswith("In layer 0 100% of the hidden states are NaN or infinite")


def test_one_unit_and_units_that_change_alike_are_said() -> None:
    """None of them changes least or most; one unit has one tick."""
    one = elman.trace(elman.RNN(2, 1), torch.randn(6, 2), lang="en")
    ax, reading = one.plot_hidden()
    change = short(one.hidden[0, 0, :, 0].diff(dim=0).abs().mean().item())
    assert reading == f"Each column is the state after one step; it changes by {change} from step to step on average."
    ax.figure.canvas.draw()
    low, high = sorted(ax.get_ylim())
    assert [tick for tick in ax.get_yticks() if low <= tick <= high] == [0]
    dead = elman.RNN(2, 3, nonlinearity="relu")
    torch.nn.init.constant_(dead.bias_ih_l0, -50.0)
    alike = elman.trace(dead, torch.randn(6, 2), lang="en")
    assert alike.plot_hidden().reading.endswith("; every unit changes by 0 from step to step on average.")


@pytest.mark.parametrize(("lang", "said"), [("en", "The sequence has no step"), ("ko", "시점이 없으므로")])
def test_a_sequence_without_a_step_is_called_that(monkeypatch, lang, said) -> None:
    monkeypatch.setattr(_drawing, "language", lambda trace: trace.lang)
    trace = elman.trace(elman.GRU(2, 3, bidirectional=True), torch.randn(4, 2, 2), lengths=[0, 4], lang=lang)
    for name in ("network", "hidden", "gates"):
        _, reading = getattr(trace, f"plot_{name}")()
        assert reading.startswith(said)
        assert not getattr(trace, f"plot_{name}")(batch=1).reading.startswith(said)


def test_colours_are_the_pages() -> None:
    shade = _drawing.colours()
    for share, colour in ((-1, _drawing.NEGATIVE), (0, _drawing.ZERO), (1, _drawing.POSITIVE)):
        assert shade(share) == pytest.approx(to_rgba(colour), abs=0.01)
    assert shade(5) == shade(1)


@pytest.mark.parametrize(("cls", "names"), [(elman.GRU, "rz"), (elman.LSTM, "ifo")])
def test_gates_over_time(cls, names) -> None:
    """Lines are the means over the units of trace.gate, and the sentence gives the time constant of the median."""
    trace = elman.trace(cls(3, 5, 2, bidirectional=True), torch.randn(7, 2, 3), lengths=[7, 4], lang="en")
    ax, reading = trace.plot_gates(layer=1, direction=1, batch=1)
    assert [line.get_label()[0] for line in ax.lines] == list(names)
    for line, name in zip(ax.lines, names, strict=True):
        expected = trace.gate(name)[1, 1, :4, 1].double().mean(1)
        assert line.get_xdata().tolist() == [0, 1, 2, 3]
        assert line.get_ydata().tolist() == pytest.approx(expected.tolist())
    keeper = names[1]
    median = float(trace.gate(keeper)[1][:, trace.there].median())
    assert f"{keeper} = {short(median)}" in reading
    assert f"1/(1 - {keeper}) = {short(1 / (1 - median))} steps" in reading
    with pytest.raises(ValueError, match="an RNN has no gates to draw"):
        elman.trace(elman.RNN(3, 5), torch.randn(4, 3)).plot_gates()


def test_heat_map_of_c_and_of_a_gate() -> None:
    trace = elman.trace(elman.LSTM(3, 5), torch.randn(7, 3), lang="en")
    for of, values, title in (("c", trace.c, "Cell state c of"), ("f", trace.gate("f"), "Forget gate f of")):
        ax, _ = trace.plot_hidden(of=of)
        torch.testing.assert_close(torch.tensor(ax.images[0].get_array()).float(), values[0, 0, :, 0].T)
        assert ax.get_title(loc="left").startswith(title)
    with pytest.raises(ValueError, match="no gate 'z'"):
        trace.plot_hidden(of="z")


def test_nan_and_infinity_are_grey_and_told_from_the_end() -> None:
    """In the network and the heat map; the colour of no step stands past a sequence's end alone."""
    x = torch.ones(6, 1, 2)
    x[2] = torch.nan
    trace = elman.trace(elman.RNN(2, 3), x, lengths=[4])
    grey = to_rgba(_drawing.NO_NUMBER)
    faces = [tuple(patch.get_facecolor()) for patch in trace.plot_network().ax.patches]
    assert faces.count(grey) == 2 + 3 * (2 + 2 + 1)  # of x[2], of h and output at steps 2 and 3, of h_n
    ax, _ = trace.plot_hidden()
    ax.figure.canvas.draw()
    (image,) = ax.images
    drawn = image.to_rgba(image.get_array())
    assert (drawn[:, 2:] == grey).all()
    assert not (drawn[:, :2] == grey).all(-1).any()
    (past,) = ax.patches
    assert (past.get_x(), past.get_width()) == (3.5, 2.0)
    assert past.get_facecolor() == to_rgba(_drawing.NO_STEP)


def test_a_single_step_is_drawn() -> None:
    """A line through one point would not be seen."""
    trace = elman.trace(elman.LSTM(2, 3), torch.randn(1, 2))
    ax, _ = trace.plot_gates()
    ax.figure.canvas.draw()
    for line, name in zip(ax.lines, "ifo", strict=True):
        mean = float(trace.gate(name).mean())
        assert line.get_xdata().tolist() == [-0.25, 0.25]
        assert line.get_ydata().tolist() == pytest.approx([mean, mean])
    ticks = trace.plot_sensitivity().ax.get_xticks()
    assert all(tick == int(tick) for tick in ticks)
    with pytest.raises(ValueError, match="a LeakyRNN has no gates"):
        elman.trace(elman.LeakyRNN(2, 3), torch.randn(1, 2)).plot_gates()


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_readings_and_ticks_fit_their_axes(lang) -> None:
    """Korean letters are wider, and steps are counted in ones, twos and fives."""
    trace = elman.trace(elman.GRU(3, 6, bidirectional=True), torch.randn(300, 3), lang=lang)
    figure, grid = pyplot.subplots(2, 3, figsize=(18, 10))
    for ax, name in zip(grid.flat, (*NAMES, "gates"), strict=False):
        wide = ax.get_window_extent().width
        getattr(trace, f"plot_{name}")(ax)
        assert ax.xaxis.label.get_window_extent(figure.canvas.get_renderer()).width <= wide * 1.02
    figure.canvas.draw()
    for ax in (grid[0, 1], grid[1, 1]):
        ticks = ax.get_xticklabels()
        assert [tick.get_text() for tick in ticks] == [str(t) for t in range(0, 300, 50)]
        boxes = [tick.get_window_extent() for tick in ticks]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
