"""torch.nn.RNN, GRU and LSTM; and what a layer with its interface, such as elman's, shares with it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.frameworks import Call
from benchmarks.problem import Problem, Values
from benchmarks.sizes import Size

Found = tuple[Tensor, Tensor | tuple[Tensor, ...]]  # output and h_n, or of an LSTM output and (h_n, c_n)
Steps = tuple[list[Tensor], Any]  # every step's output, and the states after the last
MODES = ("train", "infer", "stream", "packed", "rate")


def start(threads: int) -> None:
    """Two threads a product if so asked, and not more in the other pool."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)


def calls(mode: str, problem: Problem, dtype: torch.dtype = torch.float32) -> dict[str, Call]:
    """torch's layer in every mode; in the stream a layer with T = 1, and cells; for the rate a plain product too."""
    layer = Layer(nn, problem, dtype)
    name = problem.size.layer
    if mode == "stream":
        return {name: stream(layer, steps_of_layer), f"{name}Cell": stream(layer, steps_of_cells)}
    if mode == "packed":
        return {"PackedSequence": layer.train(packed), "equal lengths": layer.train(equal_lengths)}
    if mode == "rate":
        return {"train": layer.train(), "infer": layer.infer(), "product": product(problem)}
    return {name: layer.train() if mode == "train" else layer.infer()}


def truth(mode: str, problem: Problem) -> dict[str, Values]:
    """The same in float64."""
    return {name: call.read(call.run()) for name, call in calls(mode, problem, torch.float64).items()}


class Layer:
    """The layer of a library that has torch.nn's interface, with the problem's weights, and its input."""

    def __init__(self, library: Any, problem: Problem, dtype: torch.dtype = torch.float32) -> None:
        size = problem.size
        self.problem = problem
        cls = getattr(library, size.layer)
        self.rnn = cls(size.I, size.H, size.L, bidirectional=size.D == 2, dtype=dtype, **choices(size))
        self.rnn.load_state_dict({name: torch.from_numpy(w) for name, w in problem.weights.items()})
        self.x = torch.from_numpy(problem.x).to(dtype).requires_grad_()
        self.lengths = torch.from_numpy(problem.lengths)
        self.cotangents = tuple(torch.from_numpy(d).to(dtype) for d in problem.cotangents)

    def infer(self) -> Call:
        """Forward under no_grad."""

        def run() -> Found:
            with torch.no_grad():
                return self.rnn(self.x)

        return Call(run, lambda found: named(self.problem.results, results(found)))

    def train(self, forward: "Callable[[Layer], Found] | None" = None) -> Call:
        """Forward, and backward from the results to the input and every weight."""
        wanted = {"x": self.x, **dict(self.rnn.named_parameters())}

        def run() -> tuple[Tensor, ...]:
            for tensor in wanted.values():
                tensor.grad = None
            output, *last = results(self.rnn(self.x) if forward is None else forward(self))
            doutput, *dlast = self.cotangents
            if output.shape != doutput.shape:
                doutput = doutput.flatten(0, 1)[: output.shape[0] * output.shape[1]].view_as(output)
            torch.autograd.backward((output, *last), (doutput, *dlast))
            return output, *last, *(tensor.grad for tensor in wanted.values())

        return Call(run, partial(named, (*self.problem.results, *(f"d{name}" for name in wanted))))


def choices(size: Size) -> dict[str, str]:
    """What a class has beside what all three take: the plain one its nonlinearity."""
    return {"nonlinearity": size.nonlinearity} if size.cell == "rnn" else {}


def results(found: Found) -> tuple[Tensor, ...]:
    """output, h_n and, of an LSTM, c_n."""
    output, last = found
    return output, *(last if isinstance(last, tuple) else (last,))


def named(names: tuple[str, ...], tensors: tuple[Tensor, ...]) -> Values:
    """A result's tensors as arrays, by name."""
    return {name: tensor.detach().numpy() for name, tensor in zip(names, tensors, strict=True)}


def packed(layer: Layer) -> Found:
    """Packs the padded input, runs, and pads the output again."""
    rows = pack_padded_sequence(layer.x, layer.lengths, enforce_sorted=False)
    output, last = layer.rnn(rows)
    return pad_packed_sequence(output, total_length=layer.x.shape[0])[0], last


def equal_lengths(layer: Layer) -> Found:
    """As many sequences with as many steps in all, but all equally long, so that nothing is padded."""
    return layer.rnn(layer.x[: int(layer.lengths.sum()) // len(layer.lengths)])


def stream(layer: Layer, steps: Callable[[Layer], Callable[[], Steps]]) -> Call:
    """T calls of one step each, the state carried from one to the next."""
    run = torch.no_grad()(steps(layer))
    problem = layer.problem
    return Call(run, lambda steps: named(problem.results, results((torch.stack(steps[0]), steps[1]))), problem.size.T)


def steps_of_layer(layer: Layer) -> Callable[[], Steps]:
    """The layer over sequences of one step."""
    rnn, inputs = layer.rnn, [x_t.unsqueeze(0) for x_t in layer.x.detach()]

    def run() -> Steps:
        last, outputs = None, []
        for x_t in inputs:
            y, last = rnn(x_t, last)
            outputs.append(y[0])
        return outputs, last

    return run


def steps_of_cells(layer: Layer) -> Callable[[], Steps]:
    """A cell a layer."""
    size, inputs = layer.problem.size, list(layer.x.detach())
    cells: list[Any] = []
    pair = len(size.states) == 2
    for w_ih, w_hh, b_ih, b_hh in (directions[0] for directions in layer.problem.directions()):
        cell = getattr(nn, f"{size.layer}Cell")(w_ih.shape[1], size.H, dtype=layer.x.dtype, **choices(size))
        weights = dict(weight_ih=w_ih, weight_hh=w_hh, bias_ih=b_ih, bias_hh=b_hh)
        cell.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
        cells.append(cell)

    def run() -> Steps:
        states: list[Any] = [None] * len(cells)
        outputs = []
        for x_t in inputs:
            for k, cell in enumerate(cells):
                states[k] = cell(x_t, states[k])
                x_t = states[k][0] if pair else states[k]
            outputs.append(x_t)
        return outputs, tuple(map(torch.stack, zip(*states, strict=True))) if pair else torch.stack(states)

    return run


def product(problem: Problem) -> Call:
    """A plain product of (N, H) by (H, G * H), as many as there are steps, into memory that is already there."""
    size = problem.size
    h = torch.from_numpy(problem.cotangents[1][0])
    w_hh = torch.from_numpy(problem.weights["weight_hh_l0"]).t().contiguous()
    y = torch.empty(size.N, size.gates * size.H)

    def run() -> Tensor:
        for _ in range(size.T):
            torch.mm(h, w_hh, out=y)
        return y

    return Call(run, lambda y: {"product": y.numpy().copy()})
