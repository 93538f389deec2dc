"""Every number of one run, kept: the one truth behind the text, the figures and the page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elman.explain._arithmetic import Arithmetic, arithmetic, place
from elman.explain._cells import ANATOMY, Anatomy
from elman.explain._gated import GatedArithmetic, gated_arithmetic
from elman.explain._labels import Labels, make_labels
from elman.explain._language import speaking
from elman.explain._ledger import Ledger, ledger
from elman.explain._sensitivity import Sensitivity, sensitivity
from elman.explain._text import Table, notebook_html, summary, table
from elman.kernels.problem import Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from elman.explain._drawing import Drawing


def _there(states: Mapping[str, Tensor | None]) -> Mapping[str, Tensor]:
    return {name: state for name, state in states.items() if state is not None}


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
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

    problem: Problem
    batch_first: bool
    batched: bool
    layer: str
    x: Tensor
    h_0: Tensor
    weights: Mapping[str, Tensor]
    input_term: Tensor
    recurrent_term: Tensor
    b_ih: Tensor
    b_hh: Tensor
    pre_activation: Tensor
    gates: Tensor
    hidden: Tensor
    before: Tensor
    output: Tensor
    h_n: Tensor
    backend: str
    difference: float
    c_0: Tensor | None = None
    c: Tensor | None = None
    c_before: Tensor | None = None
    c_n: Tensor | None = None
    v_0: Tensor | None = None
    v: Tensor | None = None
    v_before: Tensor | None = None
    v_n: Tensor | None = None
    bilingual_notes: tuple[Mapping[str, str], ...] = ()
    lang: str = "en"
    labels: Labels = field(default_factory=Labels)
    tolerance_ratio: float = math.nan

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know about how it was traced."""
        return tuple(note[self.lang] for note in self.bilingual_notes)

    @property
    def anatomy(self) -> Anatomy:
        """Which gates the cell has and what they make."""
        return ANATOMY[self.problem.cell.name]

    @property
    def states(self) -> Mapping[str, Tensor]:
        """What is carried from step to step by name, (L, D, T, N, H) each: h, for an LSTM c, for a potential v."""
        return _there({"h": self.hidden, "c": self.c, "v": self.v})

    @property
    def states_before(self) -> Mapping[str, Tensor]:
        """The same as it entered each step."""
        return _there({"h": self.before, "c": self.c_before, "v": self.v_before})

    @property
    def starts(self) -> Mapping[str, Tensor]:
        """The first states, (L * D, N, H) each."""
        return _there({"h": self.h_0, "c": self.c_0, "v": self.v_0})

    @property
    def leak(self) -> Tensor | None:
        """α of a LeakyRNN, (L, D, T, N, H); None for the others."""
        return self._at_every_step(self.problem.leak)

    @property
    def drive(self) -> Tensor | None:
        """What was added to its pre-activation, (L, D, T, N, H): the drive given, and the noise as it was drawn, in
        form "potential" sqrt(2 / α) σ ξ, which α multiplies; None where there is neither."""
        return self._at_every_step(self.problem.drive)

    def _at_every_step(self, term: Tensor | None) -> Tensor | None:
        L, D, T, N, H = self.hidden.shape
        return None if term is None else term.expand(L * D, T, N, H).view(L, D, T, N, H)

    def gate(self, name: str) -> Tensor:
        """The value of a gate, (L, D, T, N, H): of an LSTM "i", "f", "g" or "o", of a GRU "r", "z" or "n".

        A LeakyRNN has one, "n", what the state leaks to, and with form "potential" "a".

        Raises:
            ValueError: the layer has no such gate.

        Example:
            >>> import elman, torch
            >>> trace = elman.trace(elman.LSTM(3, 2), torch.eye(3))
            >>> torch.equal(trace.c, trace.gate("f") * trace.c_before + trace.gate("i") * trace.gate("g"))
            True
        """
        names = [gate.name for gate in self.anatomy.gates] if self.anatomy.is_gated else []
        if name not in names:
            there = f"its gates are {', '.join(names)}" if names else "an RNN has no gates"
            raise ValueError(f"there is no gate {name!r}: {there}.")
        return self.gates.chunk(len(names), -1)[names.index(name)]

    @property
    def sizes(self) -> dict[str, int]:
        """T, N, I, H, L and D."""
        L, D, T, N, H = self.hidden.shape
        return {"T": T, "N": N, "I": self.x.shape[2], "H": H, "L": L, "D": D}

    @property
    def there(self) -> Tensor:
        """(T, N) bool: whether a step lies inside its sequence."""
        T, N = self.x.shape[:2]
        lengths = self.problem.lengths
        return torch.ones(T, N, dtype=torch.bool) if lengths is None else torch.arange(T)[:, None] < lengths

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
            targets: what should come out at each step, an outcome's name or a number; None where there is no loss.
                T of them, or N lists of T; numbers also as a tensor (T,) or (N, T).
            vocabulary: for each token the vector that the layer reads, (I,): an embedding's rows, for instance. One can
                then type a text of one's own into the page.
            translations: by language, "en" or "ko", what tokens, features and outcomes are called in it.
            beside: traces of other layers that read as many steps, by name: the page shows side by side how much each
                input step moves the last state of each.

        Raises:
            ValueError: a list is not as long as its axis, or head does not read output.

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
