"""ONNX models of one step in plain products: Gemm and the cell's functions, for streams."""

from typing import Any

import numpy as np
from onnx import ModelProto, helper

from benchmarks.frameworks.onnx_model import ACTIVATIONS, model
from benchmarks.problem import Problem
from benchmarks.sizes import Size


def step_model(problem: Problem) -> ModelProto:
    """x (N, I) and each layer's states h0 (N, H), of an LSTM c0, h1, ... -> the states after the step, in their order.

    A state is named by its letter and its layer, and after the step by the letter twice.
    """
    size = problem.size
    nodes: list[Any] = []
    constants, below = {}, "x"
    for k, [(w_ih, w_hh, b_ih, b_hh)] in enumerate(problem.directions()):
        constants |= {f"W{k}": w_ih, f"R{k}": w_hh}
        nodes += CELLS[size.cell](size, k, below)
        if size.cell == "gru":
            constants |= {f"B{k}": b_ih, f"C{k}": b_hh}
        else:
            constants |= {f"B{k}": b_ih + b_hh}
        below = f"hh{k}"
    if size.cell == "gru":
        constants["one"] = np.ones((), np.float32)
    shape = (size.N, size.H)
    states = [f"{state}{k}" for k in range(size.L) for state in size.states]
    inputs = {"x": (size.N, size.I)} | dict.fromkeys(states, shape)
    return model(nodes, inputs, {f"{name[0]}{name}": shape for name in states}, constants)


def terms(k: int, below: str) -> list[Any]:
    """The pre-activation of all gates, z."""
    return [
        helper.make_node("Gemm", [below, f"W{k}", f"B{k}"], [f"a{k}"], transB=1),
        helper.make_node("Gemm", [f"h{k}", f"R{k}", f"a{k}"], [f"z{k}"], transB=1),
    ]


def rnn(size: Size, k: int, below: str) -> list[Any]:
    """The Elman cell."""
    return [*terms(k, below), helper.make_node(ACTIVATIONS[size.nonlinearity], [f"z{k}"], [f"hh{k}"])]


def gru(size: Size, k: int, below: str) -> list[Any]:
    """Gates r, z, n: a holds the input's terms, b the recurrent ones."""
    return [
        helper.make_node("Gemm", [below, f"W{k}", f"B{k}"], [f"a{k}"], transB=1),
        helper.make_node("Gemm", [f"h{k}", f"R{k}", f"C{k}"], [f"b{k}"], transB=1),
        helper.make_node("Split", [f"a{k}"], [f"a{gate}{k}" for gate in "rzn"], axis=1, num_outputs=3),
        helper.make_node("Split", [f"b{k}"], [f"b{gate}{k}" for gate in "rzn"], axis=1, num_outputs=3),
        *(
            node
            for gate in "rz"
            for node in (
                helper.make_node("Add", [f"a{gate}{k}", f"b{gate}{k}"], [f"s{gate}{k}"]),
                helper.make_node("Sigmoid", [f"s{gate}{k}"], [f"{gate}{k}"]),
            )
        ),
        helper.make_node("Mul", [f"r{k}", f"bn{k}"], [f"rb{k}"]),
        helper.make_node("Add", [f"an{k}", f"rb{k}"], [f"sn{k}"]),
        helper.make_node("Tanh", [f"sn{k}"], [f"n{k}"]),
        helper.make_node("Sub", ["one", f"z{k}"], [f"rest{k}"]),
        helper.make_node("Mul", [f"rest{k}", f"n{k}"], [f"new{k}"]),
        helper.make_node("Mul", [f"z{k}", f"h{k}"], [f"kept{k}"]),
        helper.make_node("Add", [f"new{k}", f"kept{k}"], [f"hh{k}"]),
    ]


def lstm(size: Size, k: int, below: str) -> list[Any]:
    """Gates i, f, g, o."""
    return [
        *terms(k, below),
        helper.make_node("Split", [f"z{k}"], [f"z{gate}{k}" for gate in "ifgo"], axis=1, num_outputs=4),
        *(helper.make_node("Sigmoid", [f"z{gate}{k}"], [f"{gate}{k}"]) for gate in "ifo"),
        helper.make_node("Tanh", [f"zg{k}"], [f"g{k}"]),
        helper.make_node("Mul", [f"f{k}", f"c{k}"], [f"kept{k}"]),
        helper.make_node("Mul", [f"i{k}", f"g{k}"], [f"new{k}"]),
        helper.make_node("Add", [f"kept{k}", f"new{k}"], [f"cc{k}"]),
        helper.make_node("Tanh", [f"cc{k}"], [f"t{k}"]),
        helper.make_node("Mul", [f"o{k}", f"t{k}"], [f"hh{k}"]),
    ]


CELLS = {"rnn": rnn, "gru": gru, "lstm": lstm}
