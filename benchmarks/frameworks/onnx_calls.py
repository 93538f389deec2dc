"""What ONNX Runtime and OpenVINO share: they run the same models, and differ in how they compile them."""

from collections.abc import Callable

import numpy as np

from benchmarks.frameworks import Call
from benchmarks.frameworks.onnx_model import ModelProto, sequence_model, step_model
from benchmarks.problem import Array, Problem, Values

MODES = ("infer", "stream")
Compiled = Callable[[list[Array]], list[Array]]  # a model's inputs in order -> its outputs in order


def calls(mode: str, problem: Problem, compile: Callable[[ModelProto], Compiled]) -> dict[str, Call]:
    """The whole sequence; the stream by RNN nodes of one step and by plain products."""
    if mode == "stream":
        return {"RNN": stream_of_nodes(problem, compile), "Gemm": stream_of_products(problem, compile)}
    infer = compile(sequence_model(problem, problem.size.T))
    return {"RNN": Call(lambda: infer([problem.x]), read)}


def stream_of_nodes(problem: Problem, compile: Callable[[ModelProto], Compiled]) -> Call:
    """One step of RNN nodes, the state in one array."""
    size = problem.size
    step, inputs = compile(sequence_model(problem, 1, with_h0=True)), list(problem.x[:, None])
    zeros = np.zeros((size.L, size.N, size.H), np.float32)

    def run() -> tuple[list[Array], Array]:
        h, outputs = zeros, []
        for x_t in inputs:
            y, h = step([x_t, h])
            outputs.append(y[0])
        return outputs, h

    return Call(run, lambda result: read([np.stack(result[0]), result[1]]), size.T)


def stream_of_products(problem: Problem, compile: Callable[[ModelProto], Compiled]) -> Call:
    """One step of two products and an activation a layer, the state in one array a layer."""
    size = problem.size
    step, inputs = compile(step_model(problem)), list(problem.x)
    zeros = [np.zeros((size.N, size.H), np.float32)] * size.L

    def run() -> tuple[list[Array], list[Array]]:
        states, outputs = zeros, []
        for x_t in inputs:
            states = step([x_t, *states])
            outputs.append(states[-1])
        return outputs, states

    return Call(run, lambda result: read([np.stack(result[0]), np.stack(result[1])]), size.T)


def read(results: list[Array]) -> Values:
    """output and h_n."""
    return {"output": np.array(results[0]), "h_n": np.array(results[1])}
