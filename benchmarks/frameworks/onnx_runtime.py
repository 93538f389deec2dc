"""ONNX Runtime on the CPU."""

import onnxruntime as ort

from benchmarks.frameworks import Call, onnx_calls
from benchmarks.frameworks.onnx_calls import Compiled
from benchmarks.frameworks.onnx_model import ModelProto
from benchmarks.problem import Problem

MODES = onnx_calls.MODES
OPTIONS = ort.SessionOptions()  # all graph optimisations are its default


def start(threads: int) -> None:
    """The threads of an operator; operators run one after the other."""
    OPTIONS.intra_op_num_threads = threads
    OPTIONS.inter_op_num_threads = 1


def calls(mode: str, problem: Problem) -> dict[str, Call]:
    """Inference with one RNN node a layer, and the stream."""
    return onnx_calls.calls(mode, problem, compile)


def compile(model: ModelProto) -> Compiled:
    """A session's call."""
    session = ort.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))
