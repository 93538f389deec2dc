"""elman bench: a layer of elman's beside torch's on this machine. Agreement comes first, then time."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elman.cli import options
from elman.tasks.errors import SettingError, UserError
from elman.tasks.files.places import refuse_existing
from elman.tasks.settings import CELLS

if TYPE_CHECKING:
    from torch import Tensor, nn

    Call = Callable[[], object]


@dataclass(frozen=True)
class Size:
    """A layer, its input, and why it is measured: T steps, N sequences, I inputs, H units, L layers, D directions."""

    why: str
    T: int
    N: int
    I: int
    H: int
    L: int = 1
    D: int = 1

    def __str__(self) -> str:
        layers = f" L{self.L}" if self.L > 1 else ""
        return f"T{self.T} N{self.N} I{self.I} H{self.H}{layers}{' both ways' if self.D == 2 else ''}"


SIZES = (
    Size("the example in torch's documentation: overhead, hardly any arithmetic", 5, 3, 10, 20, L=2),
    Size("a small deep model in both directions: six recurrences of ten steps", 10, 40, 5, 8, L=3, D=2),
    Size("one sequence at a time, as in reinforcement learning: nothing to batch", 100, 1, 32, 64),
    Size("a small batch of short sequences, as in a course's exercise", 100, 32, 32, 64),
    Size("a character model's usual size", 100, 32, 64, 128),
    Size("long sequences of few signals, as in neuroscience", 1000, 16, 3, 100),
    Size("two wide layers: arithmetic begins to dominate", 100, 64, 128, 256, L=2),
    Size("W_hh fills the second cache: the matrix product decides", 50, 64, 256, 512),
)
NAMES = ("elman", "torch")

# Where another process takes a core, torch's threads wait for it at every step: its 0.1 ms call was seen to take 96 ms,
# beside one thread of elman's that took no longer than usual. Such a ratio says nothing, and it flatters elman.
_OTHERS = 0.1


@dataclass(frozen=True)
class Row:
    """One size in one mode: the median milliseconds of a call for each layer, and torch's over elman's."""

    size: Size
    mode: str
    elman_ms: float
    torch_ms: float
    calls: int
    others: float | None
    """Cores that other processes kept busy meanwhile; None where the system does not say."""

    @property
    def disturbed(self) -> bool:
        """Whether others were busy enough to spoil it."""
        return self.others is not None and self.others > _OTHERS

    @property
    def ratio(self) -> float:
        """How many times as fast elman is."""
        return self.torch_ms / self.elman_ms


class Problem:
    """Both layers of a cell with the same weights, one input, and the gradients that arrive at their outputs."""

    def __init__(self, size: Size, cell: str) -> None:
        import torch

        import elman

        torch.manual_seed(0)
        self.layers: dict[str, nn.Module] = {
            name: getattr(module, cell.upper())(size.I, size.H, size.L, bidirectional=size.D == 2)
            for name, module in zip(NAMES, (elman, torch.nn), strict=True)
        }
        self.layers["elman"].load_state_dict(self.layers["torch"].state_dict())
        self.input = torch.randn(size.T, size.N, size.I, requires_grad=True)
        self.wanted = {name: {"x": self.input, **dict(layer.named_parameters())} for name, layer in self.layers.items()}
        rows = size.T * size.N  # weight gradients are sums over them, here of the order of one
        self.states = ("h_n", "c_n") if cell == "lstm" else ("h_n",)
        self.cotangents = (
            torch.randn(size.T, size.N, size.D * size.H) / rows**0.5,
            *(torch.randn(size.L * size.D, size.N, size.H) / size.N**0.5 for _ in self.states),
        )

    def train(self, name: str) -> tuple["Tensor", ...]:
        """output and the last states; and backward from all of them to the input and every weight."""
        import torch

        for tensor in self.wanted[name].values():
            tensor.grad = None
        output, last = self.layers[name](self.input)
        outputs = (output, *last) if isinstance(last, tuple) else (output, last)
        torch.autograd.backward(outputs, self.cotangents)
        return outputs

    def infer(self, name: str) -> object:
        """Forward alone, without autograd."""
        import torch

        with torch.no_grad():
            return self.layers[name](self.input)

    def compare(self) -> None:
        """AssertionError, with the tensor's name, where one differs by more than torch.testing's default tolerance."""
        import torch

        ours, theirs = self._values("elman"), self._values("torch")
        for key, value in theirs.items():
            torch.testing.assert_close(ours[key], value, msg=partial("{}: {}".format, key))

    def _values(self, name: str) -> dict[str, "Tensor | None"]:
        """All results and every gradient of one training step, by name."""
        results = dict(zip(("output", *self.states), self.train(name), strict=True))
        gradients = {f"d{key}": tensor.grad for key, tensor in self.wanted[name].items()}
        return {**results, **gradients}


def medians(calls: dict[str, "Call"], rounds: int, seconds: float) -> tuple[dict[str, float], int]:
    """Each call's median milliseconds, taken in turn for some seconds a round; and how often the rarest ran."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()  # the other layer has just used the caches and the threads
            end = time.perf_counter() + seconds
            while (start := time.perf_counter()) < end:
                call()
                times[name].append(1000 * (time.perf_counter() - start))
    from statistics import median

    return {name: median(values) for name, values in times.items()}, min(map(len, times.values()))


def measure(size: Size, cell: str, rounds: int, seconds: float) -> Iterator[Row]:
    """Training and inference at one size; AssertionError, before any timing, where the layers disagree."""
    problem = Problem(size, cell)
    problem.compare()
    for mode, run in (("training", problem.train), ("inference", problem.infer)):
        start, busy = time.perf_counter(), _busy_elsewhere()
        ms, calls = medians({name: partial(run, name) for name in NAMES}, rounds, seconds)
        others = None if busy is None else (_busy_elsewhere() - busy) / (time.perf_counter() - start)
        yield Row(size, mode, ms["elman"], ms["torch"], calls, others)


def _busy_elsewhere() -> Any:
    """Processor seconds that all processes but this one have used since the machine started; None where unknown."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()


def machine() -> dict[str, object]:
    """What the figures depend on."""
    import platform
    from importlib.metadata import version

    import torch

    cpuinfo = Path("/proc/cpuinfo")
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return {
        "processor": models[0].split(":")[1].strip() if models else platform.processor() or platform.machine(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("elman", "torch", "numba")},
    }


def bench(
    cell: Annotated[str, typer.Option(help=f"Which layers: {', '.join(CELLS)}.")] = "rnn",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the figures to this file too, as JSON.", metavar="FILE")
    ] = None,
    overwrite: options.Overwrite = False,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the time, and rougher figures.")] = False,
) -> dict[str, Any]:
    """Compare elman's layer with torch's on this machine: first their numbers, then their time, at eight sizes."""
    if cell not in CELLS:
        raise SettingError("cell", ", ".join(CELLS), cell)
    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    about = machine()
    print("; ".join(f"{key} {value}" for key, value in about.items()))
    print(f"{cell.upper()}, float32, median milliseconds a call; every number agrees before any is timed\n")
    print(f"{'':32}{'training':^28}{'inference':^28}")
    print(f"{'':32}{'elman':>9}{'torch':>9}{'ratio':>8}  {'elman':>9}{'torch':>9}{'ratio':>8}")
    rows: list[Row] = []
    for size in SIZES:
        print(f"{size!s:32}", end="", flush=True)
        try:
            for row in measure(size, cell, rounds=5 if quick else 15, seconds=0.01 if quick else 0.04):
                print(
                    f"{row.elman_ms:9.3f}{row.torch_ms:9.3f}{row.ratio:7.1f}x{'? ' if row.disturbed else '  '}",
                    end="",
                    flush=True,
                )
                rows.append(row)
        except AssertionError as error:
            print()
            raise UserError(f"elman and torch disagree at {size}, so nothing is timed there: {error}") from error
        print()
    _say_means(rows)
    figures = {
        "machine": about,
        "cell": cell,
        "rows": [asdict(row) | {"ratio": row.ratio, "disturbed": row.disturbed} for row in rows],
    }
    if output is not None:
        import json

        from elman.tasks.training.checkpoint import write_atomically

        write_atomically(output, (json.dumps(figures, indent=1) + "\n").encode())
    return figures


def _say_means(rows: list[Row]) -> None:
    """The geometric means of the ratios, or why there are none."""
    if any(row.disturbed for row in rows):
        print(
            f"? other processes kept more than {_OTHERS} of a core busy: no mean is given, measure again without them "
            "(README.md, On a busy machine, says what they do to a program)"
        )
        return
    from statistics import geometric_mean

    modes = ("training", "inference")
    means = [geometric_mean(row.ratio for row in rows if row.mode == mode) for mode in modes]
    print(f"{'geometric mean of the ratios':50}{means[0]:7.1f}x{'':20}{means[1]:7.1f}x")
