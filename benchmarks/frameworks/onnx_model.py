"""ONNX models of a problem's layers over sequences, built by hand: one standard RNN, GRU or LSTM node a layer."""

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from benchmarks.problem import Array, Problem
from benchmarks.sizes import Size

OPSET = 21
ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu"}
# Where ONNX's gates lie among torch's: of r, z, n it takes z, r, n, and of i, f, g, o it takes i, o, f, g.
ORDER = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}


def sequence_model(problem: Problem, steps: int, with_states: bool = False) -> ModelProto:
    """x (steps, N, I) and, if so asked, h0 (L * D, N, H) and of an LSTM c0 -> output (steps, N, D * H), h_n, c_n."""
    size = problem.size
    D, L, N, H = size.D, size.L, size.N, size.H
    nodes, constants = [], {}
    begins = {state: [f"{state}0"] if with_states else [""] * L for state in size.states}
    if with_states and L > 1:
        constants["split"] = np.full(L, D, np.int64)
        for state in size.states:
            begins[state] = [f"{state}0_l{k}" for k in range(L)]
            nodes.append(helper.make_node("Split", [f"{state}0", "split"], begins[state], axis=0))
    constants["shape"] = np.array([steps, N, D * H], np.int64)
    below = "x"
    for k, cells in enumerate(problem.directions()):
        w_ih, w_hh, b_ih, b_hh = (
            np.stack([reordered(part, size) for part in parts]) for parts in zip(*cells, strict=True)
        )
        constants |= {f"W{k}": w_ih, f"R{k}": w_hh, f"B{k}": np.concatenate((b_ih, b_hh), 1)}
        above = "output" if k == L - 1 else f"output_l{k}"
        nodes += [
            helper.make_node(
                size.layer,
                [below, f"W{k}", f"R{k}", f"B{k}", "", *(begins[state][k] for state in size.states)],
                [f"Y{k}", *(f"Y_{state}{k}" for state in size.states)],
                hidden_size=H,
                direction="bidirectional" if D == 2 else "forward",
                **attributes(size),
            ),
            helper.make_node("Transpose", [f"Y{k}"], [f"Z{k}"], perm=[0, 2, 1, 3]),  # (T, D, N, H) -> (T, N, D, H)
            helper.make_node("Reshape", [f"Z{k}", "shape"], [above]),
        ]
        below = above
    for state in size.states:
        nodes.append(helper.make_node("Concat", [f"Y_{state}{k}" for k in range(L)], [f"{state}_n"], axis=0))
    last = (L * D, N, H)
    inputs = {"x": (steps, N, size.I)} | ({f"{state}0": last for state in size.states} if with_states else {})
    return model(nodes, inputs, {"output": (steps, N, D * H)} | dict.fromkeys(problem.results[1:], last), constants)


def reordered(weight: Array, size: Size) -> Array:
    """A weight's rows, (G * H, ...), with the gates in ONNX's order."""
    gates = weight.reshape(size.gates, size.H, *weight.shape[1:])
    return gates[ORDER[size.cell]].reshape(weight.shape)


def attributes(size: Size) -> dict[str, Any]:
    """What one kind of node needs and the others have not."""
    if size.cell == "gru":
        return {"linear_before_reset": 1}  # r meets the recurrent term and its bias, as in torch
    return {"activations": [ACTIVATIONS[size.nonlinearity]] * size.D} if size.cell == "rnn" else {}


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
