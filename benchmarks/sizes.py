"""The sizes that are measured, each with its reason.

T steps, N sequences, I inputs, H units, L layers, D directions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from elman.cli import bench

MODES = ("train", "infer", "stream", "packed", "rate")
CELLS = ("rnn", "gru", "lstm")
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
STATES = {"rnn": ("h",), "gru": ("h",), "lstm": ("h", "c")}


@dataclass(frozen=True)
class Size(bench.Size):
    """A size as `elman bench` has it, with a cell; quick ones are in the quick set too."""

    nonlinearity: str = "tanh"
    quick: bool = False
    group: str = ""
    cell: str = "rnn"

    def __str__(self) -> str:
        cell = "" if self.cell == "rnn" else f"{self.layer} "
        return f"{cell}{super().__str__()}{' relu' if self.nonlinearity == 'relu' else ''}"

    @property
    def layer(self) -> str:
        """The name of its class in torch.nn and in elman, and of its node in ONNX."""
        return self.cell.upper()

    @property
    def gates(self) -> int:
        """The blocks of H rows in each weight."""
        return GATES[self.cell]

    @property
    def states(self) -> tuple[str, ...]:
        """What is carried from step to step."""
        return STATES[self.cell]

    @property
    def operations(self) -> float:
        """Floating-point operations of a forward run; a training step has three times as many."""
        inputs = self.I + (self.L - 1) * self.D * self.H
        return 2.0 * self.T * self.N * self.D * self.gates * self.H * (inputs + self.L * self.H)


DEEPBENCH = tuple(
    Size("DeepBench's vanilla RNN: a large matrix, read again at every step", 50, N, H, H, group="DeepBench")
    for H in (1760, 2048, 2560)
    for N in (16, 32, 64, 128)
)

WHOLE = (
    Size("a single step of a single sequence: nothing but the call", 1, 1, 4, 16),
    Size("the example in torch's documentation: overhead, hardly any arithmetic", 5, 3, 10, 20, L=2, quick=True),
    Size("a small deep model in both directions: six recurrences of ten steps", 10, 40, 5, 8, L=3, D=2, quick=True),
    Size("many short windows of a few sensors", 12, 512, 6, 24),
    Size("a rollout of eight environments in reinforcement learning", 128, 8, 16, 64),
    Size("no size is a multiple of a block", 37, 5, 7, 48),
    Size("one sequence at a time: nothing to batch", 100, 1, 32, 64, quick=True),
    Size("a long univariate series, two at a time", 500, 2, 1, 32),
    Size("a small batch of short sequences, as in a course's exercise", 100, 32, 32, 64),
    Size("relu in place of tanh", 50, 16, 32, 96, nonlinearity="relu"),
    Size("the rows of a 28 x 28 picture as a sequence", 28, 128, 28, 128, quick=True),
    Size("a batch that is no multiple of the cores' vectors", 25, 100, 40, 96),
    Size("a character model's usual size", 100, 32, 64, 128, quick=True),
    Size("long sequences of few signals, as in neuroscience", 1000, 16, 3, 100, quick=True),
    Size("the 784 pixels of a picture one after the other", 784, 64, 1, 100),
    Size("one utterance, two layers in both directions", 250, 1, 40, 128, L=2, D=2),
    Size("a batch in two layers and both directions", 128, 32, 128, 128, L=2, D=2),
    Size("few sequences, a middling layer", 200, 8, 16, 200),
    Size("a word model of two layers", 35, 20, 200, 200, L=2),
    Size("three sequences for two threads", 64, 3, 128, 320),
    Size("one long sequence through a wide layer: a matrix-vector product at each step", 1000, 1, 32, 256, quick=True),
    Size("two wide layers: arithmetic begins to dominate", 100, 64, 128, 256, L=2),
    Size("W_hh fills the second cache: the matrix product decides", 50, 64, 256, 512, quick=True),
    Size("W_hh is several times the second cache", 50, 64, 1024, 1024),
    *DEEPBENCH,
)

STREAM = (
    Size("the smallest useful policy network", 100, 1, 8, 32),
    Size("one sensor stream", 100, 1, 32, 64, quick=True),
    Size("two layers", 100, 1, 24, 96, L=2),
    Size("no size is a multiple of a block", 100, 1, 5, 150),
    Size("a layer that fills half the second cache", 100, 1, 64, 384),
    Size("a few environments side by side", 100, 8, 16, 64, quick=True),
    Size("many sensors side by side", 100, 64, 3, 100),
    Size("a wide layer and a small batch", 100, 16, 128, 512),
)

PACKED = (
    Size("a handful of short sequences: sorting and packing cost most", 20, 7, 10, 20, L=2, quick=True),
    Size("sentences in both directions", 60, 32, 100, 64, D=2, quick=True),
    Size("a small batch of short sequences", 100, 32, 32, 64),
    Size("many short windows", 30, 256, 8, 40),
    Size("a character model's usual size", 100, 32, 64, 128, quick=True),
    Size("long recordings of few signals", 1000, 16, 3, 100),
    Size("utterances, two layers in both directions", 150, 24, 40, 128, L=2, D=2),
    Size("a wide layer", 50, 64, 128, 384),
)

RATE = (
    Size("the smallest layer called large", 100, 64, 128, 256),
    Size("W_hh fills the second cache", 50, 64, 256, 512, quick=True),
    Size("twice the batch", 50, 128, 256, 512),
    Size("no size is a power of two", 60, 100, 200, 700),
    Size("W_hh is several times the second cache", 50, 64, 1024, 1024),
)

SIZES: dict[str, tuple[Size, ...]] = {
    "train": WHOLE,
    "infer": WHOLE,
    "stream": STREAM,
    "packed": PACKED,
    "rate": RATE,
}
MEMORY = Size("peak memory of a training step", 1000, 32, 64, 128)


def of_cell(size: Size, cell: str) -> Size | None:
    """The same layer with another cell; None where it is measured for one cell alone.

    A reason that speaks of W_hh speaks of the plain layer's: a GRU's is three times, an LSTM's four times as large.
    """
    if cell != size.cell and (size.group or size.nonlinearity != "tanh"):
        return None
    return replace(size, cell=cell)


def wanted(mode: str, quick: bool = False, words: str = "", cells: Sequence[str] = CELLS[:1]) -> list[Size]:
    """The sizes of a mode: all or the quick ones, and of these the ones with all the words in their name or group."""
    made = [of_cell(size, cell) for cell in cells for size in SIZES[mode] if size.quick or not quick]
    return [size for size in made if size is not None and set(words.split()) <= {*str(size).split(), size.group}]
