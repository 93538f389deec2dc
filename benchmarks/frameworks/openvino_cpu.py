"""OpenVINO on the CPU."""

import openvino as ov

from benchmarks.frameworks import Call, onnx_calls
from benchmarks.frameworks.onnx_calls import Compiled
from benchmarks.frameworks.onnx_model import ModelProto
from benchmarks.problem import Problem

MODES = onnx_calls.MODES
CORE = ov.Core()


def start(threads: int) -> None:
    """The threads, one request at a time, and float32 inside even where the processor offers less."""
    CORE.set_property(
        "CPU",
        {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"},
    )


def calls(mode: str, problem: Problem) -> dict[str, Call]:
    """Inference with the same models as ONNX Runtime's."""
    return onnx_calls.calls(mode, problem, compile)


def compile(model: ModelProto) -> Compiled:
    """A request's call; inputs are read where they lie, outputs are copies, as a carried state must be."""
    request = CORE.compile_model(CORE.read_model(model.SerializeToString()), "CPU").create_infer_request()
    return lambda arrays: list(request.infer(arrays, share_inputs=True).values())
