"""What is replaced between forward and backward: the gradients of torch's layer or its exception, never a dead process.

    python tests/memory_cases.py 2000 7       2,000 random cases of seed 7, in a process of their own
    python tests/memory_cases.py --case 'GRU call 123'    one of them, here

A case is a line, "cell way number", of an RNN "way number"; everything else is drawn from it. Wrong is: other gradients
than torch's layer has after the same replacement, an exception where torch has none, none where torch has one (unless
the gradients are those of what forward saw), and a process that dies.
"""

import random
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import ModuleType

import definition
import memory_again
import memory_misuse
import torch
from children import FINE, ask, serve
from memory_ways import WAYS, Run, Values
from replacements import CHANGES, COUNTED, DATA, HIDDEN, LAYOUTS
from torch import Tensor
from torch.utils.checkpoint import CheckpointError

import elman
from elman.call.usual import Usual

Outcome = Values | Exception
CELLS = ("RNN", "GRU", "LSTM")
WITHOUT_ROOM = {"storage emptied", "storage halved"}
FORWARD_AFTER = ("at forward", "inference", "stream", "checkpoint")
"""The ways on which something runs forward after the change."""


class Case:
    """One way, one layer and its arguments, and what is replaced, all drawn from a line of text."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.way = line.rsplit(" ", 1)[0]
        self.cell = next((cell for cell in CELLS if self.way.startswith(f"{cell} ")), "RNN")
        self.way = self.way.removeprefix(f"{self.cell} ")
        draw = random.Random(line)
        one_sided = self.way in ("cell", "stream")
        self.layers = 1 if self.way == "cell" else draw.choice([1, 1, 2, 3])
        self.directions = 1 if one_sided else draw.choice([1, 1, 2])
        self.sizes = draw.choice(
            [(5, 3, 4, 6), (7, 2, 3, 17), (1, 1, 1, 1), (4, 9, 5, 33), (3, 4, 24, 130), (12, 1, 8, 8)]
        )
        nonlinearity, bias = draw.choice(["tanh", "tanh", "relu"]), draw.random() < 0.8
        self.words = dict(bias=bias) | (dict(nonlinearity=nonlinearity) if self.cell == "RNN" else {})
        if self.cell == "LSTM" and self.sizes[3] > 1 and self.way not in ("cell", "compiled") and draw.random() < 0.3:
            self.words["proj_size"] = (self.sizes[3] + 1) // 2
        self.batch_first = self.way != "cell" and draw.random() < 0.3
        extra = draw.choice(["", "", "lengths", "reset", "lengths reset"]) if self.way in ("call", "operator") else ""
        self.extra = extra.split()
        dropout = self.layers > 1 and not extra and not one_sided and self.way != "operator" and draw.random() < 0.3
        self.dropout = 0.5 if dropout else 0.0
        # of a second derivative's long sums float32 is not enough to tell right from wrong
        self.dtype = torch.float64 if self.way == "second" else draw.choice([torch.float32, torch.float64])
        self.threads = draw.choice([1, 2])
        self.with_h0 = draw.random() < 0.7
        self.asks = [draw.random() < 0.8 for _ in range(2)], draw.random()  # x and h0, and the share of weights
        self.options = dict(
            grad_layout=draw.choice(
                ["plain", "plain", "expanded", "repeated", "columns", "transposed", "strided", "negated", "zeros"]
            ),
            loss="both" if self.way == "cell" else draw.choice(["both", "both", 0, 1]),
            accumulates=draw.random() < 0.5,
            in_a_hook=draw.random() < 0.2,
            choice=draw.randrange(4),
        )
        targets = ["x", "x", "h0", "weights", "weights", "weight", "output", "h_n", *self.extra, *self.extra]
        if self.cell == "LSTM":
            targets += ["c0", "c_n"]
        kinds = [*DATA, *DATA, *CHANGES] if self.way != "stream" else list(DATA)
        if self.way == "watched":  # runs forward again in plain operators, on the numbers that are there
            kinds = [kind for kind in kinds if kind not in HIDDEN]
        if self.way == "compiled":
            self.layers, self.sizes, self.batch_first = min(self.layers, 2), (3, 4, 5, 6), False
            self.words, self.dropout, self.dtype, self.with_h0 = dict(bias=True), 0.0, torch.float32, True
        self.changes = [
            (draw.choice(targets), draw.choice(kinds), draw.randrange(99)) for _ in range(draw.choice([1, 1, 2]))
        ]
        if self.changes[0][1] in {*WITHOUT_ROOM, "a tensor of zeros without memory"}:
            del self.changes[1:]  # torch's own operators read past its end, and end the process
        self.beside: ModuleType = torch.nn
        """Where the layer is that elman's is compared with."""
        if self.cell == "GRU" and any(target == "h0" and kind in HIDDEN for target, kind, _ in self.changes):
            if self.way in ("packed", "cell"):
                self.changes = [change for change in self.changes if change[1] not in HIDDEN]
            else:  # torch's reads an h_0 from before beside one from after
                self.beside, self.words["bias"], self.dropout = definition, True, 0.0
        self.forgotten: set[str] = set()
        """Whose gradient autograd loses: what has another dtype or shape than its gradient, or was set to another
        tensor, is another leaf to it."""

    def layer(self, home: ModuleType) -> torch.nn.Module:
        torch.manual_seed(1)
        _, _, I, H = self.sizes
        if self.way == "cell":
            layer = getattr(home, f"{self.cell}Cell")(I, H, dtype=self.dtype, **self.words)
        else:
            sides = dict(batch_first=self.batch_first, bidirectional=self.directions == 2, dropout=self.dropout)
            layer = getattr(home, self.cell)(I, H, self.layers, dtype=self.dtype, **self.words, **sides)
        draw = random.Random(self.line + "weights")
        for p in layer.parameters():
            p.requires_grad_(draw.random() < max(self.asks[1], 0.3))
        return layer

    def tensors(self) -> dict[str, Tensor | None]:
        torch.manual_seed(2)
        T, N, I, H = self.sizes
        rows = (N, T) if self.batch_first else (T, N)
        shape = (N,) if self.way == "cell" else (self.layers * self.directions, N)
        with_h0 = self.with_h0 or self.way in ("cell", "stream")

        def first(width: int) -> Tensor | None:
            return torch.randn(*shape, width, dtype=self.dtype).requires_grad_(self.asks[0][1]) if with_h0 else None

        return {
            # the output asks for a gradient whatever the weights do
            "x": torch.randn(*rows, I, dtype=self.dtype).requires_grad_(self.asks[0][0] or not self.asks[0][1]),
            "h0": first(self.words.get("proj_size", H)),
            "lengths": torch.randint(0, T + 1, (N,)).index_fill_(0, torch.tensor([0]), T)
            if "lengths" in self.extra
            else None,
            "reset": torch.rand(rows) < 0.3 if "reset" in self.extra else None,
            "c0": first(H) if self.cell == "LSTM" else None,
        }

    def run(self, layer: torch.nn.Module, changed: bool, way: str | None = None) -> Outcome:
        """What the way computes, or what it raised. A change that torch itself refuses is left out."""
        run = Run(layer, self.tensors(), self.options, lambda: None)
        done = []

        def change() -> None:
            if done or not changed:  # a hook may be called again
                return
            done.append(True)
            weights, before = list(layer.parameters()), {n: leaf(t) for n, t in run.wanted.items()}
            for target, name, place in self.changes:
                if target.startswith("weight"):
                    chosen = weights if target == "weights" else [weights[place % len(weights)]]
                else:
                    chosen = [t for t in [run.tensors.get(target)] if t is not None]
                for t in chosen:
                    torch.manual_seed(5)
                    try:
                        CHANGES[name](t)
                    except (RuntimeError, TypeError, IndexError, NotImplementedError):
                        continue
            self.forgotten = {n for n, t in run.wanted.items() if before.get(n) != leaf(t)}

        run.change = change
        Usual.PATIENCE = self.options["choice"] % 2  # a run of a new form, or of one that is known
        torch.set_num_threads(self.threads)
        torch.manual_seed(3)
        plain = torch.backends.mkldnn.flags(enabled=run.ours)  # oneDNN's LSTM reads past the end of what is replaced
        try:
            with plain:
                found = WAYS[way or self.way](run)
        except Exception as error:  # noqa: BLE001 - whatever torch's layer raises is what is compared
            return error
        return {name: t.detach().clone() for name, t in found.items()}

    def said(self) -> str:
        sizes = "T{} N{} I{} H{}".format(*self.sizes)
        kind = f"{self.words} {self.dtype} {self.extra} {self.options}"
        return f"{sizes} L{self.layers} D{self.directions} {kind} {self.changes}"


def leaf(tensor: Tensor) -> tuple[object, ...]:
    """What autograd knows a leaf by."""
    return tensor.shape, tensor.dtype, torch.autograd.graph.get_gradient_edge(tensor).node


def difference(actual: Values, expected: Values, without: set[str] = frozenset()) -> str | None:
    for name in {**actual, **expected}.keys() - without:  # no gradient is a gradient of zeros
        one, other = (values.get(name) for values in (actual, expected))
        one, other = (torch.zeros_like(b) if a is None else a for a, b in ((one, other), (other, one)))
        close = torch.testing.assert_close
        if other.dtype in (torch.bfloat16, torch.float16) and other.numel():  # which torch rounds to at every step
            one_rounding = torch.finfo(other.dtype).eps * other.abs().max().item()
            close = partial(close, rtol=0.016, atol=one_rounding)
        try:
            close(one, other, equal_nan=True)
        except AssertionError as error:
            return f"{name}: {error}"
    return None


def verdict(line: str) -> str:
    """ "fine", or what is wrong."""
    for kind, module in (("misuse: ", memory_misuse), ("again: ", memory_again)):
        if line.startswith(kind):
            return module.verdict(line)
    case = Case(line)
    ours = case.run(case.layer(elman), True)
    names = {name for _, name, _ in case.changes}
    refusable = case.way == "compiled" or names & {*COUNTED, *WITHOUT_ROOM}
    # torch broadcasts and promotes a bias, and its LSTM reads past the end of weights that are too short
    refusable = refusable or (case.way in FORWARD_AFTER and not names <= set(LAYOUTS))
    if isinstance(ours, Exception) and refusable:
        return FINE
    if names & WITHOUT_ROOM and is_of_forward(case, ours):
        return FINE  # torch's own operators read past the end, and may end the process
    theirs = case.run(case.layer(case.beside), True)
    if isinstance(ours, Exception):
        if isinstance(theirs, Exception):
            return FINE
        return f"STRICT {type(ours).__name__}: {ours} [{case.said()}]"
    found = "torch raises" if isinstance(theirs, Exception) else difference(ours, theirs)
    if found is None or is_more_than_torchs(case, ours, theirs, names):
        return FINE
    if isinstance(theirs, Exception):
        return f"LAX torch raises {type(theirs).__name__}: {theirs} [{case.said()}]"
    return f"WRONG {found} [{case.said()}]"


def is_more_than_torchs(case: Case, ours: Values, theirs: Outcome, names: set[str]) -> bool:
    """Whether ours are right where torch's layer raises or has others."""
    if is_of_forward(case, ours):
        return True  # which is more than torch keeps of a leaf of two axes
    if isinstance(theirs, CheckpointError):  # it holds shapes against each other, of other tensors in torch's layer
        again = case.run(case.layer(torch.nn), True, "at forward")
        return not isinstance(again, Exception) and difference(ours, again) is None
    if isinstance(theirs, RuntimeError) and "Expected sequence length to be larger than 0" in str(theirs):
        return True  # elman's layer runs no steps
    if case.way == "compiled" and names & set(LAYOUTS):
        return True  # a graph keeps its arguments themselves, and so the replaced numbers: that of nn.Linear too
    return case.way == "cell" and "storage halved" in names  # torch's operator, which reads past the end


def is_of_forward(case: Case, ours: Outcome) -> bool:
    """Whether ours are the gradients of what forward saw."""
    unchanged = case.run(case.layer(torch.nn), False)
    return isinstance(unchanged, Exception) or difference(ours, unchanged, case.forgotten) is None


def lines(count: int, seed: int) -> list[str]:
    """The ways and the cells, drawn."""
    ways = list(WAYS)
    weights = [3 if way == "call" else 1 for way in ways]
    draw, cell = random.Random(seed), random.Random(f"{seed} cells")
    return [
        f"{cell.choice(('', 'GRU ', 'LSTM '))}{draw.choices(ways, weights)[0]} {seed * 1_000_000 + i}"
        for i in range(count)
    ]


def main(count: int, seed: int) -> int:
    found: Counter[str] = Counter()
    for line, said in ask([Path(__file__), "--child"], lines(count, seed), 3600):
        found[said.split()[0]] += 1
        if said != FINE:
            print(f"{line}: {said}", flush=True)
    print(dict(found))
    return int(found[FINE] != count)


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        serve(verdict)
    elif sys.argv[1:2] == ["--case"]:
        print(verdict(sys.argv[2]))
    else:
        sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
