"""ONNX models of a problem's layers, built by hand: one standard RNN node a layer, or one step in plain products."""

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from benchmarks.problem import Array, Problem

OPSET = 21
ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu"}


def sequence_model(problem: Problem, steps: int, with_h0: bool = False) -> ModelProto:
    """x (steps, N, I) and, if so asked, h0 (L * D, N, H) -> output (steps, N, D * H), h_n (L * D, N, H)."""
    size = problem.size
    D, L, N, H = size.D, size.L, size.N, size.H
    nodes, constants = [], {}
    states = [f"h0_l{k}" for k in range(L)] if with_h0 and L > 1 else ["h0" if with_h0 else ""] * L
    if with_h0 and L > 1:
        constants["split"] = np.full(L, D, np.int64)
        nodes.append(helper.make_node("Split", ["h0", "split"], states, axis=0))
    constants["shape"] = np.array([steps, N, D * H], np.int64)
    below = "x"
    for k, cells in enumerate(problem.cells()):
        w_ih, w_hh, b_ih, b_hh = (np.stack(parts) for parts in zip(*cells, strict=True))
        constants |= {f"W{k}": w_ih, f"R{k}": w_hh, f"B{k}": np.concatenate((b_ih, b_hh), 1)}
        above = "output" if k == L - 1 else f"output_l{k}"
        nodes += [
            helper.make_node(
                "RNN",
                [below, f"W{k}", f"R{k}", f"B{k}", "", states[k]],
                [f"Y{k}", f"Y_h{k}"],
                hidden_size=H,
                direction="bidirectional" if D == 2 else "forward",
                activations=[ACTIVATIONS[size.nonlinearity]] * D,
            ),
            helper.make_node("Transpose", [f"Y{k}"], [f"Z{k}"], perm=[0, 2, 1, 3]),  # (T, D, N, H) -> (T, N, D, H)
            helper.make_node("Reshape", [f"Z{k}", "shape"], [above]),
        ]
        below = above
    nodes.append(helper.make_node("Concat", [f"Y_h{k}" for k in range(L)], ["h_n"], axis=0))
    inputs = {"x": (steps, N, size.I)} | ({"h0": (L * D, N, H)} if with_h0 else {})
    return model(nodes, inputs, {"output": (steps, N, D * H), "h_n": (L * D, N, H)}, constants)


def step_model(problem: Problem) -> ModelProto:
    """x (N, I), h0 (N, H), h1, ... -> y0 (N, H), y1, ...: one step of every layer, by Gemm and the activation."""
    size = problem.size
    nodes, constants, below = [], {}, "x"
    for k, [(w_ih, w_hh, b_ih, b_hh)] in enumerate(problem.cells()):
        constants |= {f"W{k}": w_ih, f"R{k}": w_hh, f"B{k}": b_ih + b_hh}
        nodes += [
            helper.make_node("Gemm", [below, f"W{k}", f"B{k}"], [f"a{k}"], transB=1),
            helper.make_node("Gemm", [f"h{k}", f"R{k}", f"a{k}"], [f"z{k}"], transB=1),
            helper.make_node(ACTIVATIONS[size.nonlinearity], [f"z{k}"], [f"y{k}"]),
        ]
        below = f"y{k}"
    state = (size.N, size.H)
    inputs = {"x": (size.N, size.I)} | {f"h{k}": state for k in range(size.L)}
    return model(nodes, inputs, {f"y{k}": state for k in range(size.L)}, constants)


def model(
    nodes: list, inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]], constants: dict[str, Array]
) -> ModelProto:
    """A checked model of float32 inputs and outputs."""

    def values(shapes: dict[str, tuple[int, ...]]) -> list:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "rnn", values(inputs), values(outputs), initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    checker.check_model(made)
    return made
