"""A run as it can be asked: one number spelled out, words for its axes, text, figures and the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from elman.explain._arithmetic import Arithmetic, arithmetic, place
from elman.explain._gated import GatedArithmetic, gated_arithmetic
from elman.explain._labels import Labels, make_labels
from elman.explain._language import speaking
from elman.explain._ledger import Ledger, ledger
from elman.explain._record import Record
from elman.explain._sensitivity import Sensitivity, sensitivity
from elman.explain._text import Table, notebook_html, summary, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from elman.explain._drawing import Drawing


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Record):
    """What a layer computed for one input: every term of every hidden state, made by `elman.trace`.

    Sizes: T steps, N sequences, I input_size, H hidden_size, L layers, D directions, G gates (RNN 1, GRU 3, LSTM 4).
    The arrays are the same whatever batch_first said: time comes before batch. Past a sequence's end all of them are 0.
    Where an axis is G * H long, the gates stand one after another as the rows of the weights do: r | z | n,
    i | f | g | o.

    Attributes:
        problem: the cell, layers, directions, bias and lengths, as a backend takes them.
        batch_first: how the layer reads its input's axes.
        batched: whether the input had a batch axis.
        x: (T, N, I), the input.
        h_0: (L * D, N, H), the first state.
        weights: the parameters by torch's names.
        input_term: (L, D, T, N, G * H), W_ih times the layer's input.
        recurrent_term: (L, D, T, N, G * H), W_hh times the state before.
        b_ih, b_hh: (L, D, G * H), the biases; zeros without bias.
        pre_activation: (L, D, T, N, G * H), the sum of the four and the drive; a GRU's n multiplies W_hh h + b_hh by r
            before.
        gates: (L, D, T, N, G * H), tanh, relu or the sigmoid of it: see `gate`. An RNN's is the hidden state; a
            LeakyRNN's what the state leaks to, f of the sum, or with form "potential" the sum itself.
        hidden: (L, D, T, N, H), the hidden state.
        before: (L, D, T, N, H), the hidden state that entered each step.
        output, h_n: the layer's results, in the layer's own layout.
        backend: what ran beside the reference.
        difference: the largest difference between its results and the reference's.
        tolerance_ratio: the largest difference / (atol + rtol * |reference|), with the default tolerances of
            `torch.testing.assert_close`: up to 1 that function takes the two for equal, however large the states.
        c_0, c, c_before, c_n: the cell state of an LSTM, as h_0, hidden, before and h_n; None for the others.
        v_0, v, v_before, v_n: the potential of a LeakyRNN of form "potential", likewise. It is what that layer takes
            and gives as its state; hidden is f(v), and h_0 and h_n are f(v_0) and f(v_n).
        bilingual_notes: what a reader should know about how it was traced, in "en" and "ko".
        lang: the language of its sentences, "en" or "ko".
        labels: words for the axes, given by `label`.
    """

    bilingual_notes: tuple[Mapping[str, str], ...] = ()
    lang: str = "en"
    labels: Labels = field(default_factory=Labels)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know about how it was traced."""
        return tuple(note[self.lang] for note in self.bilingual_notes)

    @property
    def shapes(self) -> Ledger:
        """The axes and sizes of input, output and the states; `trace.shapes["h_n"]` maps axis names to sizes."""
        return ledger(self)

    def label(
        self,
        *,
        tokens: Sequence[Any] | None = None,
        features: Sequence[Any] | None = None,
        predictions: Sequence[Any] | None = None,
        title: str | Mapping[str, str] | None = None,
        note: str | Mapping[str, str] | None = None,
        head: nn.Linear | None = None,
        outcomes: Sequence[Any] | None = None,
        targets: Sequence[Any] | Tensor | None = None,
        vocabulary: Mapping[str, Any] | None = None,
        translations: Mapping[str, Mapping[str, str]] | None = None,
        beside: "Mapping[str, Trace] | None" = None,
    ) -> "Trace":
        """The same trace with words in place of numbers, and with what stands before and after the layer.

        All of it is data and shown as it is.

        Args:
            tokens: one for each step: T of them for all sequences alike, or N lists of T.
            features: one for each input feature, I of them.
            predictions: what is expected after each step, likeliest first, as (token, probability) pairs: T lists of
                pairs, and N of those where there is more than one sequence.
            title: of the page. A mapping from "en" and "ko" gives it in both languages.
            note: a paragraph under the title, likewise.
            head: the linear layer that reads output, y_t = W h_t + b. The page then shows y_t, a loss, and how its
                gradient flows back.
            outcomes: what the numbers of head are the scores of, one name each. The predictions follow from it.
                Default: its numbers are values.
            targets: what should come out at each step, an outcome's name or a number; None or NaN: there is no loss.
                T of them, or N lists of T; numbers also as a tensor (T,) or (N, T).
            vocabulary: for each token the vector that the layer reads, (I,): an embedding's rows, for instance. One can
                then type a text of one's own into the page.
            translations: by language, "en" or "ko", what tokens, features and outcomes are called in it.
            beside: traces of other layers that read as many steps, by name: the page shows side by side how much each
                input step moves the last state of each.

        Raises:
            ValueError: a list is not as long as its axis, head does not read output, or a target is infinite.

        Example:
            >>> import elman, torch
            >>> trace = elman.trace(elman.RNN(3, 2), torch.eye(3)).label(tokens=["i", "am", "here"])
            >>> trace.labels.tokens
            (('i', 'am', 'here'),)
        """
        changes = make_labels(
            self, tokens, features, predictions, title, note, head, outcomes, targets, vocabulary, translations, beside
        )
        return replace(self, labels=replace(self.labels, **changes))

    def at(
        self, t: int, layer: int = 0, direction: int = 0, unit: int = 0, batch: int = 0
    ) -> Arithmetic | GatedArithmetic:
        """One hidden state spelled out: every product, the biases, the sum and the result.

        Of a GRU or an LSTM it is one unit: the sum of every gate, and what the gates make of the state before.

        Args:
            t: the step; as every index, negative ones count from the end.
            layer: 0 is the one that reads the input.
            direction: 0 forward, 1 reverse.
            unit: the hidden unit.
            batch: the sequence.

        Returns:
            The arithmetic; printed it reads like a line of a notebook. `.formula` is that line alone. With gates
            it is a `GatedArithmetic`, whose `.gates["f"]` is the arithmetic of one gate.

        Raises:
            IndexError: there is no such number. The message names the axis and its size.

        Example:
            >>> import elman, torch
            >>> rnn = elman.RNN.from_weights([[0.1, 0.2], [0.3, 0.4]], [[0.7, 0.8], [0.9, 1.0]], [0.1, 0.2])
            >>> elman.trace(rnn, torch.eye(2)).at(0, unit=1).formula
            'tanh(0.2·1 + 0.4·0 + 0.8·0 + 1·0 + 0.2 + 0) = tanh(0.4) = 0.3799'
        """
        with speaking(self.lang):
            at = place(self, t, layer, direction, unit, batch)
            return gated_arithmetic(at) if self.anatomy.is_gated else arithmetic(at)

    def sensitivity(
        self, t: int | None = None, layer: int = -1, direction: int = 0, unit: int | None = None, batch: int = 0
    ) -> Sensitivity:
        """How much each input step moves a chosen hidden state, by automatic differentiation of the reference.

        For every step s it is the norm of dh_t/dx_s: of the whole Jacobian (Frobenius), or of its row for one unit.

        Args:
            t: the step of the chosen state. Default: the last one its direction reads, whose state h_n holds.
            layer: its layer. Default: the last.
            direction: 0 forward, 1 reverse.
            unit: one unit of it. Default: all.
            batch: the sequence.

        Returns:
            `.by_step` (T,), `.spectral_radius` of one step's Jacobian (the median over up to 32 steps; for a stack the
            largest of its layers'), and `.sentence`, which says whether gradients vanish or explode.

        Raises:
            IndexError: there is no such state.

        Example:
            >>> import elman, torch
            >>> rnn = elman.RNN.from_weights([[1.0]], [[0.5]], nonlinearity="relu")
            >>> elman.trace(rnn, torch.ones(4, 1)).sensitivity().by_step
            tensor([0.1250, 0.2500, 0.5000, 1.0000])
        """
        with speaking(self.lang):
            return sensitivity(self, t, layer, direction, unit, batch)

    def table(self) -> Table:
        """One row for each layer, direction, sequence, step, unit and gate: a text, HTML, or `.rows` for a data frame.

        Example:
            >>> import elman, torch
            >>> trace = elman.trace(elman.RNN(3, 2), torch.eye(3))
            >>> rows = trace.table().rows  # pandas.DataFrame(rows) reads them
            >>> len(rows), list(rows[0])[:5]
            (6, ['layer', 'direction', 'sequence', 'step', 'unit'])
        """
        return table(self)

    def plot_network(self, ax: "Axes | None" = None, *, batch: int = 0) -> "Drawing":
        """The network unrolled: steps from left to right, layers upwards, both directions.

        Args:
            ax: where to draw. Default: a new figure.
            batch: the sequence.

        Returns:
            (ax, reading): the axes and one sentence on how to read them, which also stands under the figure.
        """
        return self._drawn("network", ax, batch)

    def plot_hidden(
        self, ax: "Axes | None" = None, *, layer: int = -1, direction: int = 0, batch: int = 0, of: str = "h"
    ) -> "Drawing":
        """The hidden state over time as a heat map, units upwards. Arguments and result as for `plot_network`.

        `of` asks for another row of the cell: "c" for an LSTM's cell state, or a gate by its name, as `gate` takes it.
        """
        return self._drawn("hidden", ax, layer, direction, batch, of)

    def plot_gates(self, ax: "Axes | None" = None, *, layer: int = -1, direction: int = 0, batch: int = 0) -> "Drawing":
        """The gates of a GRU or an LSTM over time: mean and spread over the units, and how long the state lasts.

        Raises:
            ValueError: the layer has no gates.
        """
        return self._drawn("gates", ax, layer, direction, batch)

    def plot_activations(self, ax: "Axes | None" = None) -> "Drawing":
        """How the hidden states of each layer are distributed: saturation, or for relu silence."""
        return self._drawn("activations", ax)

    def plot_sensitivity(
        self, ax: "Axes | None" = None, *, layer: int = -1, direction: int = 0, unit: int | None = None, batch: int = 0
    ) -> "Drawing":
        """How much the input counts in the last state, by how many steps before it came."""
        return self._drawn("sensitivity", ax, layer, direction, unit, batch)

    def _drawn(self, figure: str, *arguments: Any) -> "Drawing":
        from elman.explain import _drawing, _figures

        with speaking(_drawing.language(self)):
            drawing: Drawing = getattr(_figures, figure)(self, *arguments)
        return drawing

    def save(self, path: str | Path, *, batch: Sequence[int] | None = None) -> Path:
        """Write the trace as one interactive page that needs no network: open it with a double click.

        Args:
            path: the file, `run.html` for instance. One that is there is replaced.
            batch: the sequences to show. Default: as many of the first ones as fit.

        Returns:
            The path.

        Raises:
            ValueError: there is nothing to show, or the page would be larger than 1 MB.
        """
        from elman.explain._page import save

        return save(self, Path(path), batch)

    def __repr__(self) -> str:
        with speaking(self.lang):
            return summary(self)

    def _repr_html_(self) -> str:
        with speaking(self.lang):
            return notebook_html(self)
