"""What the figures share: axes, colours, texts. Matplotlib is imported when something is drawn."""

import functools
import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import east_asian_width

import torch

from elman._fonts import fonts
from elman.explain._arithmetic import layer_name
from elman.explain._language import say
from elman.explain._text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from elman.explain._trace import Trace

NEGATIVE, ZERO, POSITIVE = "#2563ad", "#f1f1ec", "#c4452c"  # as on the page
INK, QUIET, LINE, ACCENT, TEAL = "#1a202b", "#5a6473", "#a3adbb", "#0a58ca", "#00737f"
NO_NUMBER, NO_STEP = "#808080", "#e3e6ea"  # NaN or infinity, as on the page; past a sequence's end
LETTERS, TICKS = 13, 2.5  # of a reading and along the time axis, an inch
MOST_TICKS = 16


class Drawing(NamedTuple):
    """A figure's axes, and one sentence on how to read them, which stands under them too."""

    ax: "Axes"
    reading: str


def language(trace: "Trace") -> str:
    """The language of what is drawn: Korean only where there is a font for it."""
    return trace.lang if len(fonts()) > 1 else "en"


def legend(ax: "Axes", title: str | None = None) -> None:
    """Beside the axes, where it covers no line."""
    ax.legend(frameon=False, fontsize=9, title=title, title_fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def axes(ax: "Axes | None", size: tuple[float, float]) -> "Axes":
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.figure(figsize=size, layout="constrained").add_subplot()


def read(ax: "Axes", sentence: str) -> Drawing:
    """Put the sentence under the axes, broken to their width."""
    from matplotlib.text import Text

    said = wrapped(sentence, max(30, int(width(ax) * LETTERS)))
    label = f"{ax.get_xlabel()}\n\n{said}" if ax.get_xlabel() else said
    ax.set_xlabel(label, color=QUIET, fontsize=9.5, parse_math=False)
    for text in ax.findobj(Text):
        text.set_fontfamily(fonts())
    return Drawing(ax, sentence)


def width(ax: "Axes") -> float:
    """In inches."""
    return float(ax.get_window_extent().width / ax.figure.get_dpi())


def wrapped(sentence: str, letters: int) -> str:
    """Lines of so many Latin letters, broken at spaces; a Korean one is as wide as two."""
    lines = [""]
    for word in sentence.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and sum(2 if east_asian_width(c) in "WF" else 1 for c in longer) > letters:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def write(ax: "Axes", x: float, y: float, text: str, **how: Any) -> None:
    """A text as it is: no mathematics in a token with dollar signs."""
    ax.text(x, y, text, ha="center", fontfamily=fonts(), parse_math=False, clip_on=True, **how)


@functools.cache
def colour_map() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("elman", [NEGATIVE, ZERO, POSITIVE]).with_extremes(bad=NO_NUMBER)


def colours() -> Any:
    """From a share of the full colour, -1 to 1, to a colour."""
    return lambda share: colour_map()(0.5 + 0.5 * max(-1.0, min(1.0, share)) if math.isfinite(share) else math.nan)


def ramp(layer: int, layers: int) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](0.12 + 0.68 * layer / max(1, layers - 1))


def rectangle(x: float, y: float, width: float, height: float, face: Any, edge: str = "none", zorder: float = 1) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=face, edgecolor=edge, lw=1.1, zorder=zorder)


def largest(tensor: torch.Tensor) -> float:
    finite = tensor[tensor.isfinite()].abs()
    return float(finite.max()) or 1.0 if finite.numel() else 1.0


def scale(trace: "Trace") -> float:
    """The value that has the full colour: 1 for tanh, the largest state for relu."""
    return 1.0 if trace.problem.cell.nonlinearity != "relu" else largest(trace.hidden)


def name(trace: "Trace", layer: int, direction: int) -> str:
    return layer_name(layer, direction, trace.sizes["D"])


def last_state(trace: "Trace", row: int, batch: int) -> torch.Tensor:
    return trace.h_n[row, batch] if trace.batched else trace.h_n[row]


def tick(trace: "Trace", t: int, batch: int) -> str:
    token = trace.labels.token(t, batch)
    return str(t) if token is None else visible(token)


def time_axis(ax: "Axes", trace: "Trace", batch: int) -> None:
    """The steps, or their tokens; of many, only some."""
    T = trace.sizes["T"]
    every = 1
    if trace.labels.tokens is None or T > 60:
        most = max(2, min(MOST_TICKS, int(width(ax) * TICKS)))
        every = next(n * 10**k for k in itertools.count() for n in (1, 2, 5) if n * 10**k * most >= T)
    steps = list(range(0, T, every))
    ax.set_xticks(steps, [tick(trace, t, batch) for t in steps], fontfamily=fonts(), parse_math=False)
    ax.set_xlabel(say("step", "시점"))


def bare(ax: "Axes") -> None:
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def plain_spines(ax: "Axes") -> None:
    ax.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(LINE)
