"""torch.nn.RNN; and what a layer with its interface, such as elman's, shares with it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.frameworks import Call
from benchmarks.problem import Problem, Values

MODES = ("train", "infer", "stream", "packed", "rate")


def start(threads: int) -> None:
    """Two threads a product if so asked, and not more in the other pool."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)


def calls(mode: str, problem: Problem, dtype: torch.dtype = torch.float32) -> dict[str, Call]:
    """torch.nn.RNN in every mode; in the stream a layer with T = 1, and cells; for the rate a plain product too."""
    layer = Layer(nn.RNN, problem, dtype)
    if mode == "stream":
        return {"RNN": stream(layer, steps_of_layer), "RNNCell": stream(layer, steps_of_cells)}
    if mode == "packed":
        return {"PackedSequence": layer.train(packed), "equal lengths": layer.train(equal_lengths)}
    if mode == "rate":
        return {"train": layer.train(), "infer": layer.infer(), "product": product(problem)}
    return {"RNN": layer.train() if mode == "train" else layer.infer()}


def truth(mode: str, problem: Problem) -> dict[str, Values]:
    """The same in float64."""
    return {name: call.read(call.run()) for name, call in calls(mode, problem, torch.float64).items()}


class Layer:
    """A layer with torch.nn.RNN's interface, with the problem's weights, and its input."""

    def __init__(self, cls: Callable[..., nn.Module], problem: Problem, dtype: torch.dtype = torch.float32) -> None:
        size = problem.size
        self.problem = problem
        self.rnn = cls(size.I, size.H, size.L, nonlinearity=size.nonlinearity, bidirectional=size.D == 2, dtype=dtype)
        self.rnn.load_state_dict({name: torch.from_numpy(w) for name, w in problem.weights.items()})
        self.x = torch.from_numpy(problem.x).to(dtype).requires_grad_()
        self.lengths = torch.from_numpy(problem.lengths)
        self.cotangents = tuple(torch.from_numpy(d).to(dtype) for d in (problem.doutput, problem.dh_n))

    def infer(self) -> Call:
        """Forward under no_grad."""

        def run() -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                return self.rnn(self.x)

        return Call(run, partial(named, ("output", "h_n")))

    def train(self, forward: "Callable[[Layer], tuple[Tensor, Tensor]] | None" = None) -> Call:
        """Forward, and backward from output and h_n to the input and every weight."""
        wanted = {"x": self.x, **dict(self.rnn.named_parameters())}

        def run() -> tuple[Tensor, ...]:
            for tensor in wanted.values():
                tensor.grad = None
            output, h_n = self.rnn(self.x) if forward is None else forward(self)
            doutput = self.cotangents[0]
            if output.shape != doutput.shape:
                doutput = doutput.flatten(0, 1)[: output.shape[0] * output.shape[1]].view_as(output)
            torch.autograd.backward((output, h_n), (doutput, self.cotangents[1]))
            return output, h_n, *(tensor.grad for tensor in wanted.values())

        return Call(run, partial(named, ("output", "h_n", *(f"d{name}" for name in wanted))))


def named(names: tuple[str, ...], tensors: tuple[Tensor, ...]) -> Values:
    """A result's tensors as arrays, by name."""
    return {name: tensor.detach().numpy() for name, tensor in zip(names, tensors, strict=True)}


def packed(layer: Layer) -> tuple[Tensor, Tensor]:
    """Packs the padded input, runs, and pads the output again."""
    rows = pack_padded_sequence(layer.x, layer.lengths, enforce_sorted=False)
    output, h_n = layer.rnn(rows)
    return pad_packed_sequence(output, total_length=layer.x.shape[0])[0], h_n


def equal_lengths(layer: Layer) -> tuple[Tensor, Tensor]:
    """As many sequences with as many steps in all, but all equally long, so that nothing is padded."""
    return layer.rnn(layer.x[: int(layer.lengths.sum()) // len(layer.lengths)])


def stream(layer: Layer, steps: Callable[[Layer], Callable[[], tuple[list[Tensor], Tensor]]]) -> Call:
    """T calls of one step each, the state carried from one to the next."""
    run = torch.no_grad()(steps(layer))
    return Call(run, lambda result: named(("output", "h_n"), (torch.stack(result[0]), result[1])), layer.problem.size.T)


def steps_of_layer(layer: Layer) -> Callable[[], tuple[list[Tensor], Tensor]]:
    """The layer over sequences of one step."""
    rnn, inputs = layer.rnn, [x_t.unsqueeze(0) for x_t in layer.x.detach()]

    def run() -> tuple[list[Tensor], Tensor]:
        h, outputs = None, []
        for x_t in inputs:
            y, h = rnn(x_t, h)
            outputs.append(y[0])
        return outputs, h

    return run


def steps_of_cells(layer: Layer) -> Callable[[], tuple[list[Tensor], Tensor]]:
    """A cell a layer."""
    size, inputs = layer.problem.size, list(layer.x.detach())
    cells: list[Any] = []
    for w_ih, w_hh, b_ih, b_hh in (directions[0] for directions in layer.problem.cells()):
        cell = nn.RNNCell(w_ih.shape[1], size.H, nonlinearity=size.nonlinearity, dtype=layer.x.dtype)
        weights = dict(weight_ih=w_ih, weight_hh=w_hh, bias_ih=b_ih, bias_hh=b_hh)
        cell.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
        cells.append(cell)

    def run() -> tuple[list[Tensor], Tensor]:
        states: list[Tensor | None] = [None] * len(cells)
        outputs = []
        for x_t in inputs:
            for k, cell in enumerate(cells):
                states[k] = x_t = cell(x_t, states[k])
            outputs.append(x_t)
        return outputs, torch.stack(states)

    return run


def product(problem: Problem) -> Call:
    """A plain product of (N, H) by (H, H), as many as there are steps, into memory that is already there."""
    size = problem.size
    h = torch.from_numpy(problem.dh_n[0])
    w_hh = torch.from_numpy(problem.weights["weight_hh_l0"])
    y = torch.empty_like(h)

    def run() -> Tensor:
        for _ in range(size.T):
            torch.mm(h, w_hh, out=y)
        return y

    return Call(run, lambda y: {"product": y.numpy().copy()})
