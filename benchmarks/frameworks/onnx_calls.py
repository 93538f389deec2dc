"""What ONNX Runtime and OpenVINO share: they run the same models, and differ in how they compile them."""

from collections.abc import Callable

import numpy as np

from benchmarks.frameworks import Call
from benchmarks.frameworks.onnx_model import ModelProto, sequence_model
from benchmarks.frameworks.onnx_step import step_model
from benchmarks.problem import Array, Problem, Values

MODES = ("infer", "stream")
Compiled = Callable[[list[Array]], list[Array]]  # a model's inputs in order -> its outputs in order
Steps = tuple[list[Array], list[Array]]  # every step's output, and the states after the last


def calls(mode: str, problem: Problem, compile: Callable[[ModelProto], Compiled]) -> dict[str, Call]:
    """The whole sequence; the stream by nodes of one step and by plain products."""
    name = problem.size.layer
    if mode == "stream":
        return {name: stream_of_nodes(problem, compile), "Gemm": stream_of_products(problem, compile)}
    infer = compile(sequence_model(problem, problem.size.T))
    return {name: Call(lambda: infer([problem.x]), lambda results: problem.named(map(np.array, results)))}


def stream_of_nodes(problem: Problem, compile: Callable[[ModelProto], Compiled]) -> Call:
    """One step of RNN, GRU or LSTM nodes, each state of all layers in one array."""
    size = problem.size
    step, inputs = compile(sequence_model(problem, 1, with_states=True)), list(problem.x[:, None])
    zeros = [np.zeros((size.L, size.N, size.H), np.float32)] * len(size.states)

    def run() -> Steps:
        states, outputs = zeros, []
        for x_t in inputs:
            y, *states = step([x_t, *states])
            outputs.append(y[0])
        return outputs, states

    def read(steps: Steps) -> Values:
        return problem.named([np.stack(steps[0]), *map(np.array, steps[1])])

    return Call(run, read, size.T)


def stream_of_products(problem: Problem, compile: Callable[[ModelProto], Compiled]) -> Call:
    """One step of two products and the cell's functions a layer, each state of each layer in an array."""
    size = problem.size
    step, inputs = compile(step_model(problem)), list(problem.x)
    kinds = len(size.states)
    zeros = [np.zeros((size.N, size.H), np.float32)] * (size.L * kinds)

    def run() -> Steps:
        states, outputs = zeros, []
        for x_t in inputs:
            states = step([x_t, *states])
            outputs.append(states[-kinds])  # the last layer's h
        return outputs, states

    def read(steps: Steps) -> Values:
        outputs, states = steps
        return problem.named([np.stack(outputs), *(np.stack(states[kind::kinds]) for kind in range(kinds))])

    return Call(run, read, size.T)
