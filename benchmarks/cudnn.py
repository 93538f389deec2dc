"""torch's layers on a GPU, and elman's on the same machine's processor: `python -m benchmarks.cudnn FILE.json`.

Facts for whoever writes a backend for GPUs. Writes FILE.json, every 50 rows, and FILE.md from it. I = H everywhere; a
packed batch has lengths of 1 to T, drawn alike. A training step is forward, and backward from every result to the input
and every weight. Inference is forward of a layer in evaluation mode, without autograd. Times are of calls one behind
the other with one synchronisation at the end: what a program waits for.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from benchmarks import machine

CELLS = {"RNN": 1, "GRU": 3, "LSTM": 4}
"""The layers, and the blocks of H rows in their weights."""
KINDS = ("train", "infer", "graph", "products", "error")
"""What is measured: see Row.what."""
PRECISIONS = ("float32", "tf32", "bfloat16")
STEPS = (64, 1024)
COARSE = ((1, 16, 64, 256), (32, 128, 512, 1024))
FINE = ((1, 4, 16, 32, 64, 256), (32, 64, 128, 256, 512, 1024))
"""N and H: the first are measured before the others."""
OF_GRAPHS = (1, 64)
"""N of what is measured in CUDA graphs."""
LONGEST = 5e11
"""Operations of a training step on the processor, above which it is left out: some seconds."""


@dataclass(frozen=True)
class Row:
    """One measurement: milliseconds, or for `error` the largest one."""

    what: str
    """train, infer, graph (infer in a CUDA graph), products (T of (N, H) by (H, G H) in a CUDA graph), error."""
    where: str
    """cuDNN, or elman or torch on the processor, with its threads."""
    cell: str
    precision: str
    T: int
    N: int
    H: int
    packed: bool = False
    value: float = 0.0

    @property
    def operations(self) -> float:
        """Its multiplications and additions, all sequences of T steps and I = H."""
        forward = 4.0 * self.T * self.N * CELLS[self.cell] * self.H**2
        return forward * (3 if self.what == "train" else 1)


def precise(precision: str) -> torch.dtype:
    """Tells cuDNN and cuBLAS, and returns the dtype."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype: torch.dtype = getattr(torch, "float32" if precision == "tf32" else precision)
    return dtype


def step_of(layer: torch.nn.Module, row: Row, dtype: torch.dtype, device: str) -> Callable[[], Any]:
    """The call that is timed."""
    generator = torch.Generator().manual_seed(0)
    x: Any = torch.randn(row.T, row.N, row.H, generator=generator).to(device, dtype)
    if row.packed:
        lengths = torch.randint(1, row.T + 1, (row.N,), generator=generator)
        lengths[0] = row.T
        x = pack_padded_sequence(x, lengths, enforce_sorted=False)
    data = (x.data if row.packed else x).requires_grad_(row.what == "train")
    if row.what != "train":
        layer.eval()  # in training mode cuDNN writes down what its backward pass would read

        def infer() -> Any:
            with torch.no_grad():
                return layer(x)

        return infer
    inputs = [data, *layer.parameters()]

    def train() -> Any:
        output, last = layer(x)
        results = [output.data if row.packed else output, *(last if isinstance(last, tuple) else (last,))]
        return torch.autograd.grad(results, inputs, [torch.ones_like(result) for result in results])

    return train


def milliseconds(step: Callable[[], Any], device: str, seconds: float = 0.05) -> float:
    """The median of three rounds, each of as many calls as fit into so many seconds."""
    wait: Callable[[], Any] = torch.cuda.synchronize if device == "cuda" else lambda: None
    step(), wait()
    begin = time.perf_counter()
    step(), wait()
    calls = max(1, int(seconds / (time.perf_counter() - begin)))
    rounds = []
    for _ in range(3):
        begin = time.perf_counter()
        for _ in range(calls):
            step()
        wait()
        rounds.append(1000 * (time.perf_counter() - begin) / calls)
    return statistics.median(rounds)


def captured(step: Callable[[], Any]) -> Callable[[], None]:
    """The same kernels, started all at once."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        step(), step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def on_gpu(row: Row) -> Row:
    """A measurement there."""
    dtype = precise(row.precision)
    if row.what == "products":
        h = torch.zeros(row.N, row.H, device="cuda", dtype=dtype)
        w = torch.randn(row.H, CELLS[row.cell] * row.H, device="cuda", dtype=dtype)
        gates = torch.empty(row.N, w.shape[1], device="cuda", dtype=dtype)
        return replace(
            row, value=milliseconds(captured(lambda: [torch.mm(h, w, out=gates) for _ in range(row.T)]), "cuda")
        )
    layer = getattr(torch.nn, row.cell)(row.H, row.H).to("cuda", dtype)
    step = step_of(layer, row, dtype, "cuda")
    return replace(row, value=milliseconds(captured(step) if row.what == "graph" else step, "cuda"))


def on_processor(row: Row, threads: int) -> Row:
    """A measurement of elman's layer or torch's beside the GPU."""
    torch.set_num_threads(threads)
    layer = getattr(elman if row.where.startswith("elman") else torch.nn, row.cell)(row.H, row.H)
    return replace(row, value=milliseconds(step_of(layer, row, torch.float32, "cpu"), "cpu"))


def error(row: Row) -> Row:
    """The largest difference of an output of cuDNN's from elman's on the processor in float64, the weights alike."""
    torch.manual_seed(0)
    layer = getattr(elman, row.cell)(row.H, row.H, dtype=torch.float64)
    dtype = precise(row.precision)
    theirs = getattr(torch.nn, row.cell)(row.H, row.H).to("cuda", dtype)
    theirs.load_state_dict(layer.state_dict())
    layer.load_state_dict(theirs.state_dict())  # as they were rounded
    x = torch.randn(row.T, row.N, row.H).to(dtype)
    with torch.no_grad():
        found, expected = theirs(x.to("cuda"))[0], layer(x.double())[0]
    return replace(row, value=(found.cpu().double() - expected).abs().max().item())


def sizes() -> Iterator[tuple[int, int, int]]:
    """T, N, H: the coarse ones first."""
    seen = set()
    for many, units in (COARSE, FINE):
        for t, n, h in itertools.product(STEPS, many, units):
            if (t, n, h) not in seen:
                seen.add((t, n, h))
                yield t, n, h


def wanted(threads: int) -> Iterator[Row]:
    """All that is measured, what matters most first."""
    for cell, precision, h in itertools.product(CELLS, ("float64", *PRECISIONS), COARSE[1]):
        yield Row("error", "cuDNN", cell, precision, 64, 16, h)
    for cell, precision, n, h in itertools.product(CELLS, PRECISIONS, OF_GRAPHS, COARSE[1]):
        for what in ("graph", "products"):
            yield Row(what, "cuDNN", cell, precision, 64, n, h)
    coarse = len(STEPS) * len(COARSE[0]) * len(COARSE[1])
    chosen = list(sizes())
    for some in (chosen[:coarse], chosen[coarse:]):
        yield from layers(some, packed=False)
        for cell, (t, n, h), what in itertools.product(CELLS, some, ("train", "infer")):
            row = Row(what, f"elman, {threads} threads", cell, "float32", t, n, h)
            if row.operations < LONGEST:
                yield row
                if t == STEPS[0]:
                    yield replace(row, where=f"torch, {threads} threads")
        yield from layers(some, packed=True)


def layers(some: list[tuple[int, int, int]], packed: bool) -> Iterator[Row]:
    """cuDNN's at these sizes."""
    for cell, (t, n, h), precision in itertools.product(CELLS, some, PRECISIONS):
        for what in ("train", "infer"):
            yield Row(what, "cuDNN", cell, precision, t, n, h, packed)


def measure(row: Row, threads: int) -> Row:
    """One of them."""
    if row.what == "error":
        return error(row)
    return on_gpu(row) if row.where == "cuDNN" else on_processor(row, threads)


def key(row: Row) -> Row:
    """What it is, without what it gave."""
    return replace(row, value=0.0)


def markdown(about: dict[str, Any], rows: list[Row]) -> str:
    """The tables of what there is."""
    values = {key(row): row.value for row in rows}
    threads = about["threads"]
    told = [f"{name}: {value}" for name, value in about.items() if name != "frameworks"]
    lines = ["# cuDNN's layers beside elman's on the processor", "", *(f"- {line}" for line in told), ""]

    def cell_of(row: Row) -> str:
        value = values.get(row)
        return "" if value is None else f"{value:.3g}"

    def table(title: str, columns: list[str], body: list[tuple[str, list[str]]]) -> None:
        body = [(name, entries) for name, entries in body if any(entries)]
        if body:
            lines.extend(
                [f"## {title}", "", "| " + " | ".join(["", *columns]) + " |", "| --- |" + " ---: |" * len(columns)]
            )
            lines.extend("| " + " | ".join([name, *entries]) + " |" for name, entries in body)
            lines.append("")

    ordered = sorted(sizes())
    for cell in CELLS:
        for packed in (False, True):
            columns, of_size = [], {size: list[str]() for size in ordered}
            for what in ("train", "infer"):
                places = [("cuDNN", precision) for precision in PRECISIONS]
                places += [] if packed else [(f"{name}, {threads} threads", "float32") for name in ("elman", "torch")]
                for where, precision in places:
                    columns.append(f"{what}, {precision if where == 'cuDNN' else where}")
                    for size in ordered:
                        of_size[size].append(cell_of(Row(what, where, cell, precision, *size, packed=packed)))
            title = f"{cell}, {'packed' if packed else 'dense'}, ms"
            table(title, columns, [(f"T{t} N{n} H{h}", of_size[t, n, h]) for t, n, h in ordered])
    body = []
    for cell, n, h in itertools.product(CELLS, OF_GRAPHS, COARSE[1]):
        entries = []
        for precision in PRECISIONS:
            entries += [
                cell_of(Row(what, "cuDNN", cell, precision, 64, n, h)) for what in ("infer", "graph", "products")
            ]
        body.append((f"{cell} T64 N{n} H{h}", entries))
    columns = [f"{precision}: {what}" for precision in PRECISIONS for what in ("layer", "in a graph", "products alone")]
    table("Inference in a CUDA graph, and T products (N, H) by (H, G H) in one, ms", columns, body)
    body = []
    for cell, h in itertools.product(CELLS, COARSE[1]):
        errors = [cell_of(Row("error", "cuDNN", cell, precision, 64, 16, h)) for precision in ("float64", *PRECISIONS)]
        body.append((f"{cell} H{h}", errors))
    table("Largest difference of an output from elman's in float64, T64 N16", ["float64", *PRECISIONS], body)
    return "\n".join(lines)


def main() -> None:
    """Measures what the file lacks until the minutes are over, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0, help="after which it stops (default: 8)")
    parser.add_argument("--what", nargs="*", default=KINDS, choices=KINDS, help="only these (default: all)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the processor's layers")
    options = parser.parse_args()
    about: dict[str, Any] = machine.describe(options.threads, ["elman", "torch"]) | {"commit": machine.commit()}
    rows: list[Row] = []
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        about |= {"gpu": properties.name, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}  # type: ignore[no-untyped-call]
    elif not options.file.exists():
        sys.exit("there is no GPU, and no file of one to make tables of")
    if options.file.exists():
        before, found = json.loads(options.file.read_text()).values()
        rows = [Row(**row) for row in found]
        if torch.cuda.is_available() and before != about:
            sys.exit(f"{options.file} is of another machine, version or commit")
        about = before
    have, end = {key(row) for row in rows}, time.monotonic() + 60 * options.minutes
    for row in wanted(about["threads"]) if torch.cuda.is_available() else ():
        if time.monotonic() > end:
            print("the minutes are over; the same command goes on where this one stopped")
            break
        if row not in have and row.what in options.what:
            rows.append(measure(row, about["threads"]))
            print(rows[-1], flush=True)
            if len(rows) % 50 == 0:
                save(options.file, about, rows)
    save(options.file, about, rows)
    options.file.with_suffix(".md").write_text(markdown(about, rows))


def save(file: Path, about: dict[str, Any], rows: list[Row]) -> None:
    """The whole file anew."""
    kept = ",\n".join(json.dumps(asdict(row)) for row in rows)
    file.write_text(f'{{"about": {json.dumps(about, indent=1)},\n"rows": [\n{kept}\n]}}\n')


if __name__ == "__main__":
    main()
