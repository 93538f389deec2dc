"""elman.RNN, GRU and LSTM."""

from collections.abc import Callable

import elman
from benchmarks.frameworks import Call, torch_rnn
from benchmarks.frameworks.torch_rnn import Found, Layer, Steps
from benchmarks.problem import Problem

MODES = torch_rnn.MODES
start = torch_rnn.start


def calls(mode: str, problem: Problem) -> dict[str, Call]:
    """elman's layer in every mode; variable length both by lengths= and by a PackedSequence."""
    layer = Layer(elman, problem)
    if mode == "stream":
        return {"Stream": torch_rnn.stream(layer, steps_of_stream)}
    if mode == "packed":
        forwards = {
            "lengths": by_lengths,
            "PackedSequence": torch_rnn.packed,
            "equal lengths": torch_rnn.equal_lengths,
        }
        return {name: layer.train(forward) for name, forward in forwards.items()}
    if mode == "rate":
        return {"train": layer.train(), "infer": layer.infer()}
    return {problem.size.layer: layer.train() if mode == "train" else layer.infer()}


def by_lengths(layer: Layer) -> Found:
    """The padded input with its lengths."""
    return layer.rnn(layer.x, lengths=layer.lengths)


def steps_of_stream(layer: Layer) -> Callable[[], Steps]:
    """A Stream, from a fresh state."""
    stream, inputs = elman.Stream(layer.rnn), list(layer.x.detach())

    def run() -> Steps:
        stream.reset()
        return [stream(x_t) for x_t in inputs], stream.state

    return run
