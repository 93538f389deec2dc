"""Whether two source trees compute the same bits: random problems on each, in a process of its own.

    python tests/bits.py OLD_TREE NEW_TREE [COUNT] [SEED]

Output, last states and every gradient of RNN, GRU, LSTM and LeakyRNN, with and without dropout over time, for every way
of calling them, 1 to 4 threads, both dtypes. A change of structure leaves every bit as it was; this says which problem
is the first to differ, and by how much. Exits 1 where one does.
"""

import functools
import hashlib
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from cases import states_of
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._pytree import tree_flatten, tree_unflatten

Values = dict[str, Tensor]
WAYS = ("dense", "dense", "lengths", "reset", "lengths reset", "packed", "unbatched", "no grad", "stream", "per sample")
WAYS += ("operator", "second", "vjp", "written to", "reference", "terms")
CELLS = ("RNN", "GRU", "LSTM", "LeakyRNN")


class Problem:
    """One call, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.seed, self.way = seed, draw.choice(WAYS)
        wide = draw.random() < 0.1
        self.T, self.N = draw.randint(1, 30), draw.choice([1, 1, 2, 3, 5, 8, 17, 33])
        self.I, self.H = draw.randint(1, 40), draw.randint(1, 300 if wide else 70)
        self.L, self.D = draw.choice([1, 1, 2, 3]), 1 if self.way == "stream" else draw.choice([1, 2])
        self.batch_first = draw.random() < 0.3 and self.way != "operator"
        self.dtype = draw.choice([torch.float32, torch.float64])
        self.threads = draw.randint(1, 4)
        self.with_h0 = draw.random() < 0.6
        self.cell = draw.choice({"operator": CELLS[:3], "terms": CELLS[3:]}.get(self.way, CELLS))
        self.words = dict(
            bias=draw.random() < 0.8,
            dropout=0.4 if self.L > 1 and draw.random() < 0.3 and self.way not in ("stream", "per sample") else 0.0,
        )
        self.words |= self.of_cell(draw) | ({} if self.way == "operator" else self.over_time(draw))
        self.asks = draw.choice(["everything", "everything", "weights", "x", "x h0", "some"])
        self.loss = draw.choice(["both", "output", "last", "sum"])

    def of_cell(self, draw: random.Random) -> dict[str, Any]:
        """The words that the cell's class has alone."""
        if self.cell == "RNN":
            return {"nonlinearity": draw.choice(["tanh", "relu"])}
        if self.cell == "LSTM":
            return {"proj_size": self.H // 2 if draw.random() < 0.2 else 0}
        if self.cell == "GRU":
            return {}
        return {
            "nonlinearity": draw.choice(["tanh", "relu", "sigmoid", "softplus", "retanh"]),
            "form": draw.choice(["activation", "potential"]),
            "leak": [round(draw.uniform(0.05, 0.95), 2) for _ in range(self.H)] if draw.random() < 0.4 else 0.3,
            "learn_leak": draw.random() < 0.4,
            "noise": draw.choice([0.0, 0.1]),
        }

    def over_time(self, draw: random.Random) -> dict[str, Any]:
        """Of some the recurrent dropout and the zoneout."""
        rates = (0.2, 0.1) if self.cell == "LSTM" and draw.random() < 0.5 else 0.2
        drops = draw.random() < 0.2 and self.way != "stream"
        return {"recurrent_dropout": 0.3 if drops else 0.0, "zoneout": rates if draw.random() < 0.2 else 0.0}

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())

    def run(self) -> Values:
        import elman

        torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        layer = getattr(elman, self.cell)(
            self.I,
            self.H,
            self.L,
            bidirectional=self.D == 2,
            batch_first=self.batch_first,
            dtype=self.dtype,
            **self.words,
        )
        rows = (self.N, self.T) if self.batch_first else (self.T, self.N)
        x = torch.randn(*rows, self.I, dtype=self.dtype)
        widths = (self.words.get("proj_size") or self.H, self.H)[: 2 if self.cell == "LSTM" else 1]
        states = [torch.randn(self.L * self.D, self.N, width, dtype=self.dtype) for width in widths]
        lengths = torch.randint(0, self.T + 1, (self.N,))
        reset = torch.rand(rows) < 0.2
        draw = random.Random(-self.seed)
        for p in layer.parameters():
            p.requires_grad_(self.asks in ("everything", "weights") or (self.asks == "some" and draw.random() < 0.5))
        x.requires_grad_("x" in self.asks or self.asks in ("everything", "some"))
        for state in states:
            state.requires_grad_("h0" in self.asks or self.asks == "everything")
        method = "forward_" + self.way.replace(" ", "_")
        return getattr(self, method)(layer, x, in_hx(states) if self.with_h0 else None, lengths, reset)

    def gradients(
        self, layer: torch.nn.Module, x: Tensor, hx: Any, output: Tensor, last: Any, **beside: Tensor
    ) -> Values:
        states = {f"state {k}": state for k, state in enumerate(states_of(hx))}
        given = {"x": x} | states | dict(layer.named_parameters()) | beside
        wanted = {name: t for name, t in given.items() if t.requires_grad}
        found = results(output, last)
        if not wanted:
            return found
        grads = torch.autograd.grad(self.loss_of(output, last), list(wanted.values()), allow_unused=True)
        return found | {name: g for name, g in zip(wanted, grads, strict=True) if g is not None}

    def loss_of(self, output: Tensor, last: Any) -> Tensor:
        if self.loss == "sum":
            return output.sum() + sum(state.sum() for state in states_of(last))
        torch.manual_seed(self.seed + 1)
        of_output, *of_last = [(y * torch.randn_like(y)).sum() for y in (output, *states_of(last))]
        return {"output": of_output, "last": sum(of_last), "both": of_output + sum(of_last)}[self.loss]

    def forward_dense(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        return self.gradients(layer, x, hx, *layer(x, hx))

    def forward_lengths(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        return self.gradients(layer, x, hx, *layer(x, hx, lengths=lengths))

    def forward_reset(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        return self.gradients(layer, x, hx, *layer(x, hx, reset=reset))

    def forward_lengths_reset(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        return self.gradients(layer, x, hx, *layer(x, hx, lengths=lengths, reset=reset))

    def forward_packed(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        rows = pack_padded_sequence(x, lengths.clamp(min=1), self.batch_first, enforce_sorted=False)
        output, last = layer(rows, hx)
        return self.gradients(layer, x, hx, output.data, last)

    def forward_unbatched(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        one = x[0] if self.batch_first else x[:, 0]
        return self.gradients(layer, x, hx, *layer(one, in_hx([state[:, 0] for state in states_of(hx)])))

    def forward_no_grad(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        with torch.no_grad():
            return results(*layer(x, hx))

    def forward_stream(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        import elman

        stream = elman.Stream(layer, hx)
        steps = [stream(x_t) for x_t in x.detach().unbind(1 if self.batch_first else 0)]
        return results(torch.stack(steps), stream.state)

    def forward_per_sample(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        weights = {name: p.detach() for name, p in layer.named_parameters()}

        def loss(weights: Values, one: Tensor, *start: Tensor) -> Tensor:
            time, hx = one.unsqueeze(0 if self.batch_first else 1), in_hx([state.unsqueeze(1) for state in start])
            return self.loss_of(*functional_call(layer, weights, (time, hx)))

        states = [state.detach() for state in states_of(hx)]
        axes = (None, 0 if self.batch_first else 1, *[1] * len(states))
        return vmap(grad(loss), axes, randomness="same")(weights, x.detach(), *states)

    def forward_operator(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        states = states_of(hx) or [None] * (2 if self.cell == "LSTM" else 1)
        choice = [layer.nonlinearity] if self.cell == "RNN" else []
        of_layer = getattr(torch.ops.elman, self.cell.lower())
        output, *rest = of_layer(x, *states, [*layer.parameters()], lengths, reset, None, *choice, self.L, self.D == 2)
        return self.gradients(layer, x, hx, output, in_hx(rest[: len(states)]))

    def forward_second(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        given = [t for t in (x, *states_of(hx), *layer.parameters()) if t.requires_grad]
        output, last = layer(x, hx)
        if not given:
            return results(output, last)
        first = torch.autograd.grad(self.loss_of(output, last), given, create_graph=True, allow_unused=True)
        loss = sum(g.square().sum() for g in first if g is not None)
        found = torch.autograd.grad(loss, given, allow_unused=True) if loss.requires_grad else []
        return {str(i): g for i, g in enumerate((output, *states_of(last), *first, *found)) if g is not None}

    def forward_vjp(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        given = (x,) if hx is None else (x, hx)
        outputs, pull = torch.func.vjp(functools.partial(layer, lengths=lengths), *given)
        torch.manual_seed(self.seed + 1)
        leaves, form = tree_flatten(outputs)
        pulled = pull(tree_unflatten([torch.randn_like(y) for y in leaves], form))
        return dict(enumerate((*leaves, *tree_flatten(pulled)[0])))

    def forward_written_to(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        output, last = layer(x, hx)
        return self.gradients(layer, x, hx, output.mul_(0.5), last)

    def forward_reference(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        import elman

        with elman.use_backend("reference"):
            return self.gradients(layer, x, hx, *layer(x, hx, lengths=lengths))

    def forward_terms(self, layer: Any, x: Tensor, hx: Any, lengths: Tensor, reset: Tensor) -> Values:
        """A leak and a drive of the call, each the same along some of its axes."""
        draw = random.Random(self.seed + 2)
        leak, drive = (
            torch.rand([n if draw.random() < 0.5 else 1 for n in (*x.shape[:2], self.H)], dtype=self.dtype)
            for _ in range(2)
        )
        for term in (leak, drive):
            term.requires_grad_(draw.random() < 0.7)
        output, last = layer(x, hx, leak=leak, drive=drive, lengths=lengths if draw.random() < 0.5 else None)
        return self.gradients(layer, x, hx, output, last, leak=leak, drive=drive)


def in_hx(states: Sequence[Tensor]) -> Any:
    """Of states in a row what a layer takes as hx."""
    return tuple(states) if len(states) > 1 else states[0] if states else None


def results(output: Tensor, last: Any) -> Values:
    return {"output": output} | {f"last {k}": state for k, state in enumerate(states_of(last))}


def digest(t: Tensor) -> str:
    array = t.detach().contiguous().numpy()
    return hashlib.sha256(f"{array.shape} {array.dtype}".encode() + array.tobytes()).hexdigest()[:16]


def child(count: int, seed: int, only: int | None) -> None:
    """Prints a line a problem; with `only`, the values of that one, after all that come before it."""
    import elman

    if Path(elman.__file__).parent.parent != Path(os.environ["PYTHONPATH"]).resolve():
        raise SystemExit(f"elman is not that of the tree: {elman.__file__}")
    for i in range(count if only is None else only + 1):
        values = Problem(seed * 1_000_000 + i).run()
        if only is None:
            print(json.dumps({str(name): digest(t) for name, t in values.items()}), flush=True)
    if only is not None:
        torch.save({str(name): t.detach() for name, t in values.items()}, sys.stdout.buffer)


def ask(tree: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", __file__, "--child", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": tree, "OMP_WAIT_POLICY": "passive"}
    return subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.PIPE)


def main(old: str, new: str, count: int = 2000, seed: int = 1) -> int:
    trees = [str(Path(tree).resolve()) for tree in (old, new)]
    said = [process.communicate()[0].splitlines() for process in [ask(tree, count, seed) for tree in trees]]
    if [len(lines) for lines in said] != [count, count]:
        print(f"ended early, after {len(said[0])} and {len(said[1])} of {count} problems")
        return 1
    pairs = [[json.loads(line) for line in pair] for pair in zip(*said, strict=True)]
    different = [i for i, (one, other) in enumerate(pairs) if one != other]
    for i in different[:5]:
        names = [name for name in {**pairs[i][0], **pairs[i][1]} if pairs[i][0].get(name) != pairs[i][1].get(name)]
        values = [torch.load(io.BytesIO(ask(tree, count, seed, i).communicate()[0])) for tree in trees]
        print(f"problem {i}: {Problem(seed * 1_000_000 + i)}")
        for name in names:
            print(f"  {name}: {compared(*(each.get(name) for each in values))}")
    print(f"{len(different)} of {count} problems differ, of {sum(len(one) for one, _ in pairs)} values")
    return int(bool(different))


def compared(one: Tensor | None, other: Tensor | None) -> str:
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return " and ".join("missing" if t is None else f"{t.dtype} {tuple(t.shape)}" for t in (one, other))
    off = (one - other).abs()
    return f"{int((one != other).sum())} of {one.numel()} numbers, off by up to {off.max():.3g}"


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        numbers: list[int] = [int(word) for word in sys.argv[2:]]
        child(numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else None)
    else:
        sys.exit(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
